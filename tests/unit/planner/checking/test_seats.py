"""A throughput target is met by what its slices contribute together, or has none of them."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_target, an_observed
from gpuslice.model.demand import ReplicaId
from gpuslice.model.plan import Unplaced
from plans_by_hand import Given, by_hand, planned

GPU = a_board_gpu()
SMALL = [planned(GPU, "1g.10gb", start) for start in range(4)]
HALF = planned(GPU, "3g.40gb", 4)
TARGET = a_target("a", 10_000, ("1g.10gb", 2_000), ("3g.40gb", 8_000), replicas=3)
GIVEN = Given(observed=an_observed(GPU), demands=(TARGET,))
SHORT = "a gets 4000 thousandths of tokens per second, and its target is 10000"
ABSENT = "a has no slice, and is not listed once, as a/0"


def test_slices_that_reach_the_target_together_are_enough() -> None:
    assert GIVEN.complaints(by_hand(GIVEN, {"a/0": SMALL[0], "a/2": HALF})) == ()


def test_slices_that_do_not_reach_the_target_are_not_enough() -> None:
    made = by_hand(GIVEN, {"a/0": SMALL[0], "a/1": SMALL[1]})
    assert GIVEN.complaints(made) == (SHORT,)


def test_a_profile_without_a_rate_does_not_serve() -> None:
    made = by_hand(GIVEN, {"a/0": HALF, "a/1": planned(GPU, "2g.20gb", 0)})
    assert "a/1 sits on 2g.20gb at 0:2 of GPU-0, which does not serve it" in GIVEN.complaints(made)


def test_a_target_has_no_more_slices_than_it_may() -> None:
    seating = {f"a/{number}": slice_ for number, slice_ in enumerate((*SMALL[:3], HALF))}
    assert GIVEN.complaints(by_hand(GIVEN, seating)) == ("a/3 was not asked for",)


def test_a_target_that_is_not_met_is_listed_once() -> None:
    made = by_hand(GIVEN, {"a/0": None})
    assert GIVEN.complaints(made) == ()
    assert GIVEN.complaints(replace(made, unplaced=())) == (ABSENT,)
    assert GIVEN.complaints(replace(made, unplaced=made.unplaced * 2)) == (ABSENT,)
    other = Unplaced(replica=ReplicaId("a", 1), reason="no")
    assert GIVEN.complaints(replace(made, unplaced=(other,))) == (ABSENT,)


def test_a_target_that_may_have_no_slice_need_not_be_listed() -> None:
    given = replace(GIVEN, demands=(replace(TARGET, replicas=0),))
    assert given.complaints(by_hand(given, {})) == ()


def test_a_target_that_is_met_is_not_listed() -> None:
    made = by_hand(GIVEN, {"a/0": SMALL[0], "a/1": HALF})
    unplaced = Unplaced(replica=ReplicaId("a", 2), reason="no")
    assert GIVEN.complaints(replace(made, unplaced=(unplaced,))) == (
        "a has slices for its target, and is listed as one that has none",
    )


def test_no_replica_of_a_target_has_two_slices() -> None:
    made = by_hand(GIVEN, {"a/0": SMALL[0], "a/1": HALF})
    twice = tuple(replace(seat, replica=ReplicaId("a", 0)) for seat in made.seats)
    complaints = GIVEN.complaints(replace(made, seats=twice))
    assert complaints == ("a/0 is seated or unplaced 2 times",)
