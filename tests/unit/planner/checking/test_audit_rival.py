"""A bound is refuted when something that anybody can see is better."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.plan import Plan
from plans_by_hand import NO_RULES, Given, Seating, by_hand, planned

BUSY = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 6))
OTHER = a_board_gpu(index=1)
RUNNING = Given(
    observed=an_observed(BUSY, OTHER),
    demands=(a_demand("a", "1g.10gb", 2),),
    owned=(owned(BUSY.slices[0], "a", 0), owned(BUSY.slices[1], "a", 1)),
)
MOVED = by_hand(RUNNING, {"a/0": BUSY.slices[0], "a/1": planned(OTHER, "1g.10gb", 0)})


def proving(made: Plan, *goals: Goal) -> Plan:
    """The plan with those goals called settled."""
    assert made.certificate is not None
    said = tuple(
        replace(o, bound=o.value if o.goal in goals else None) for o in made.certificate.objectives
    )
    return replace(made, certificate=replace(made.certificate, objectives=said))


def test_staying_is_cheaper_than_a_bound_that_calls_a_needless_move_optimal() -> None:
    assert RUNNING.complaints(proving(MOVED, Goal.SERVED, Goal.SERVED_OF_MODEL)) == ()
    assert RUNNING.complaints(proving(MOVED, Goal.COST)) == (
        f"the certificate bounds {Goal.COST} by 2, but 1 is reached if all stay where they are",
    )


def test_staying_says_nothing_of_goals_behind_the_first_that_differs() -> None:
    # The move costs a GPU, which nothing here is proved of.
    assert RUNNING.complaints(proving(MOVED, Goal.MOVED, Goal.DESTROYED)) == ()


def test_staying_is_no_rival_where_it_serves_fewer() -> None:
    given = replace(RUNNING, demands=(a_demand("a", "1g.10gb", 3),))
    seating: Seating = {f"a/{number}": planned(OTHER, "1g.10gb", number) for number in range(3)}
    made = by_hand(given, seating)
    assert given.complaints(proving(made, Goal.SERVED, Goal.SERVED_OF_MODEL, Goal.COST)) == ()


def test_staying_is_no_rival_where_it_breaks_a_condition() -> None:
    given = replace(RUNNING, demands=(a_demand("a", "1g.10gb", 2, most_per_gpu=1),))
    spread = by_hand(given, {"a/0": BUSY.slices[0], "a/1": planned(OTHER, "1g.10gb", 0)})
    assert given.complaints(proving(spread, Goal.COST)) == ()


def test_a_target_that_runs_already_may_stay() -> None:
    given = replace(RUNNING, demands=(a_target("a", 20, ("1g.10gb", 10)),))
    seating: Seating = {"a/0": BUSY.slices[0], "a/1": planned(OTHER, "1g.10gb", 0)}
    made = proving(by_hand(given, seating), Goal.COST)
    assert any("2, but 1 is reached" in line for line in given.complaints(made))


def test_a_target_that_running_slices_do_not_reach_is_given_up_by_staying() -> None:
    given = replace(RUNNING, demands=(a_target("a", 30, ("1g.10gb", 10)),))
    nobody = by_hand(given, {"a/0": None})
    assert given.complaints(proving(nobody, *Goal)) == ()
    pinned = replace(given, demands=(replace(given.demands[0], pinned=True),))
    three = by_hand(
        pinned,
        {"a/0": BUSY.slices[0], "a/1": BUSY.slices[1], "a/2": planned(OTHER, "1g.10gb", 0)},
    )
    assert pinned.complaints(proving(three, Goal.COST)) == ()


def test_giving_a_target_up_moves_nobody_else() -> None:
    gpu = with_slices(BUSY, ("1g.10gb", 3))
    other = a_demand("b", "1g.10gb")
    given = Given(
        observed=an_observed(gpu, OTHER),
        demands=(a_target("a", 30, ("1g.10gb", 10)), other),
        owned=(*RUNNING.owned, owned(gpu.slices[2], "b")),
    )
    made = by_hand(given, {"a/0": None, "b/0": planned(OTHER, "1g.10gb", 0)})
    (told,) = given.complaints(proving(made, Goal.SERVED, Goal.COST, Goal.MOVED))
    assert "by 3, but 2 is reached if all stay where they are" in told


GUEST = with_slices(a_board_gpu(), ("4g.40gb", 0))


def asking(*demands: Demand, rules: Rules = NO_RULES) -> Given:
    """One GPU, half of it somebody else's."""
    return Given(observed=an_observed(GUEST), demands=demands, rules=rules)


def refuted(given: Given, made: Plan) -> bool:
    """Whether it is refuted that no more can be served."""
    complaints = given.complaints(proving(made, Goal.SERVED))
    assert all("one more replica" in line for line in complaints), complaints
    return bool(complaints)


def test_a_replica_that_still_fits_refutes_that_no_more_can_be_served() -> None:
    given = asking(a_demand("a"))
    made = by_hand(given, {"a/0": None})
    (told,) = given.complaints(proving(made, Goal.SERVED))
    assert "(priority 0) by 0, but one more replica of a fits: 2g.20gb at 4:2 of GPU-0" in told


def test_nothing_is_refuted_where_nothing_was_claimed() -> None:
    given = asking(a_demand("a"))
    assert given.complaints(proving(by_hand(given, {"a/0": None}), Goal.COST)) == ()


def test_a_bound_that_leaves_room_for_one_more_is_not_refuted_by_it() -> None:
    given = asking(a_demand("a", replicas=2))
    made = proving(by_hand(given, {"a/0": None, "a/1": None}), Goal.SERVED)
    assert made.certificate is not None
    for bound, refutes in ((0, True), (1, False), (2, False)):
        said = tuple(
            replace(o, bound=bound if o.goal is Goal.SERVED else None)
            for o in made.certificate.objectives
        )
        spoilt = replace(made, certificate=replace(made.certificate, objectives=said))
        assert bool(given.complaints(spoilt)) == refutes


def test_nothing_is_refuted_where_nothing_fits() -> None:
    given = asking(a_demand("a", "4g.40gb"))
    assert not refuted(given, by_hand(given, {"a/0": None}))


def test_a_gpu_that_may_not_be_used_has_no_room() -> None:
    given = asking(a_demand("a"), rules=Rules(drained=frozenset({"GPU-0"})))
    assert not refuted(given, by_hand(given, {"a/0": None}))


def test_room_for_another_priority_refutes_only_what_is_said_of_that() -> None:
    given = asking(a_demand("a", priority=1), a_demand("b", "4g.40gb", priority=2))
    made = proving(by_hand(given, {"a/0": None, "b/0": None}), Goal.SERVED)
    (told,) = given.complaints(made)
    assert "(priority 1) by 0, but one more replica of a" in told


HERE = planned(GUEST, "1g.10gb", 6)


def test_room_beside_too_many_of_its_own_is_none() -> None:
    for most, fits in ((1, False), (2, True)):
        given = asking(a_demand("a", "1g.10gb", 2, most_per_gpu=most))
        assert refuted(given, by_hand(given, {"a/0": HERE, "a/1": None})) == fits


def test_room_without_those_it_wants_near_is_none() -> None:
    given = asking(a_demand("a", near=("b",)), a_demand("b", "1g.10gb"))
    assert refuted(given, by_hand(given, {"a/0": None, "b/0": HERE}))
    alone = asking(a_demand("a", near=("b",)), a_demand("b", "1g.10gb", 0))
    assert not refuted(alone, by_hand(alone, {"a/0": None}))


def test_room_beside_those_that_want_to_be_away_is_none() -> None:
    for mine, theirs in ((("b",), ()), ((), ("a",))):
        given = asking(a_demand("a", away=mine), a_demand("b", "1g.10gb", away=theirs))
        assert not refuted(given, by_hand(given, {"a/0": None, "b/0": HERE}))


def test_a_replica_is_near_itself_and_never_away_from_itself() -> None:
    for demand, fits in ((a_demand("a", near=("a",)), True), (a_demand("a", away=("a",)), False)):
        given = asking(demand)
        assert refuted(given, by_hand(given, {"a/0": None})) == fits
