"""Conditions between replicas, and limits on moving them, hold in the final state."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, Rules
from plans_by_hand import NO_RULES, Given, Seating, by_hand, planned

FIRST, SECOND = a_board_gpu(), a_board_gpu(index=1)
BUSY = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
MOVE: Seating = {"a/0": planned(SECOND, "1g.10gb", 0), "a/1": BUSY.slices[1]}


def empty(*demands: Demand) -> Given:
    """Two empty GPUs."""
    return Given(observed=an_observed(FIRST, SECOND), demands=demands)


def running(rules: Rules = NO_RULES, **changes: object) -> Given:
    """Two replicas on the first GPU, the second empty."""
    return Given(
        observed=an_observed(BUSY, SECOND),
        demands=(a_demand("a", "1g.10gb", 2, **changes),),
        owned=(owned(BUSY.slices[0], "a", 0), owned(BUSY.slices[1], "a", 1)),
        rules=rules,
    )


def test_replicas_are_spread_when_asked() -> None:
    given = empty(a_demand("a", replicas=3, most_per_gpu=2))
    places = [planned(FIRST, "2g.20gb", start) for start in (0, 2, 4)]
    crowded = by_hand(given, {"a/0": places[0], "a/1": places[1], "a/2": places[2]})
    assert given.complaints(crowded) == ("GPU-0 holds 3 replicas of a, and at most 2 may be there",)
    other = planned(SECOND, "2g.20gb", 0)
    spread = by_hand(given, {"a/0": places[0], "a/1": places[1], "a/2": other})
    assert given.complaints(spread) == ()


def test_every_gpu_of_a_replica_has_those_it_wants_near() -> None:
    given = empty(a_demand("a", replicas=2, near=("b",)), a_demand("b", "1g.10gb"))
    near: Seating = {"a/0": planned(FIRST, "2g.20gb", 0), "b/0": planned(FIRST, "1g.10gb", 6)}
    beside = by_hand(given, {**near, "a/1": planned(FIRST, "2g.20gb", 2)})
    assert given.complaints(beside) == ()
    apart = by_hand(given, {**near, "a/1": planned(SECOND, "2g.20gb", 0)})
    assert given.complaints(apart) == ("GPU-1 holds a and no replica of b, which has to be near",)


def test_to_be_near_is_asked_by_one_side_only() -> None:
    given = empty(a_demand("a", near=("b",)), a_demand("b", "1g.10gb"))
    made = by_hand(given, {"a/0": None, "b/0": planned(FIRST, "1g.10gb", 0)})
    assert given.complaints(made) == ()


def test_no_gpu_of_a_replica_has_those_it_wants_away() -> None:
    given = empty(a_demand("a", away=("b",)), a_demand("b", "1g.10gb"))
    here = planned(FIRST, "2g.20gb", 0)
    beside = by_hand(given, {"a/0": here, "b/0": planned(FIRST, "1g.10gb", 6)})
    assert given.complaints(beside) == ("GPU-0 holds a beside b, which has to be away",)
    apart = by_hand(given, {"a/0": here, "b/0": planned(SECOND, "1g.10gb", 6)})
    assert given.complaints(apart) == ()


def test_a_pinned_replica_stays() -> None:
    given = running(pinned=True)
    assert given.complaints(by_hand(given, MOVE)) == (
        "a/0 is pinned, but does not stay where it runs",
    )
    assert given.complaints(by_hand(given, {"a/0": None, "a/1": BUSY.slices[1]})) == (
        "a/0 is pinned, but does not stay where it runs",
    )
    staying = by_hand(given, {"a/0": BUSY.slices[0], "a/1": BUSY.slices[1]})
    assert given.complaints(staying) == ()


def test_no_more_replicas_move_than_may() -> None:
    one, none = running(Rules(most_moves=1)), running(Rules(most_moves=0))
    assert one.complaints(by_hand(one, MOVE)) == ()
    assert none.complaints(by_hand(none, MOVE)) == (
        "1 running replicas leave their slice, and at most 0 may",
    )


def test_changing_slices_among_each_other_is_moving() -> None:
    given = running(Rules(most_moves=1))
    swapped = by_hand(given, {"a/0": BUSY.slices[1], "a/1": BUSY.slices[0]}, pausing=("a/0",))
    assert given.complaints(swapped) == ("2 running replicas leave their slice, and at most 1 may",)


def test_replicas_that_have_to_go_do_not_count_as_moves() -> None:
    given = running(Rules(most_moves=0, drained=frozenset({"GPU-0"})))
    seating: Seating = {f"a/{number}": planned(SECOND, "1g.10gb", number) for number in (0, 1)}
    assert given.complaints(by_hand(given, seating)) == ()


def test_a_pinned_replica_on_a_gpu_that_may_not_be_used_has_to_go() -> None:
    drained = Rules(drained=frozenset({"GPU-0"}))
    given = running(drained, pinned=True)
    seating: Seating = {f"a/{number}": planned(SECOND, "1g.10gb", number) for number in (0, 1)}
    assert given.complaints(by_hand(given, seating)) == ()


def test_a_replica_whose_demand_changed_may_move_though_it_is_pinned() -> None:
    demands = (a_demand("a", "2g.20gb", 2, pinned=True),)
    given = replace(running(), demands=demands)
    seating: Seating = {f"a/{number}": planned(SECOND, "2g.20gb", 2 * number) for number in (0, 1)}
    assert given.complaints(by_hand(given, seating)) == ()
