"""The quick choice is legal, leaves running replicas alone and places large ones before small."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, NamedProfile, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.packing.greedy import Filling, choose_greedily
from gpuslice.planner.packing.question import Want
from gpuslice.planner.packing.states import States
from gpuslice.planner.situation import survey
from questions import a_place, a_question, a_site


def filling(gpus: tuple[Gpu, ...], records: tuple[Owned, ...], *demands: Demand) -> Filling:
    situation = survey(an_observed(*gpus), demands, records, Rules())
    question = ask(situation, whole_demands(situation)).question
    found = choose_greedily(question, States(question))
    assert found is not None
    return found


def named(model: str, replicas: int, profile: str) -> Demand:
    return Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile),))


def layouts(found: Filling) -> list[list[str]]:
    """The profiles on each GPU, group by group."""
    return [
        sorted(part.profile for part in (*stay.slices, *arrival.slices))
        for stay, _, arrivals in found.groups
        for arrival in arrivals
    ]


def served(found: Filling) -> Counter[int]:
    """Replicas that get a new slice, by want."""
    counts: Counter[int] = Counter()
    for (_, want), count in found.flow.items():
        counts[want] += count
    return counts


def test_a_large_slice_is_placed_before_small_ones_fill_the_gpu() -> None:
    gpus = (a_board_gpu(),)
    demands = (named("small", 7, "1g.10gb"), named("large", 1, "7g.80gb"))
    assert layouts(filling(gpus, (), *demands)) == [["7g.80gb"]]


def test_equal_gpus_are_filled_one_after_the_other() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(3))
    choice = filling(gpus, (), named("a", 3, "3g.40gb"))
    assert layouts(choice) == [["3g.40gb", "3g.40gb"], ["3g.40gb"], []]


def test_a_running_replica_stays_even_where_a_larger_one_wants_its_place() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (named("large", 1, "7g.80gb"), named("small", 1, "1g.10gb"))
    found = filling((gpu,), (owned(gpu.slices[0], "small"),), *demands)
    ((stay, _, (arrival,)),) = found.groups
    assert [part.stays for part in stay.slices] == [True]
    assert (arrival.slices, served(found)) == ((), Counter())


def test_the_place_of_a_running_replica_is_not_given_away_before_its_turn() -> None:
    first = with_slices(a_board_gpu(), ("2g.20gb", 0))
    second = with_slices(a_board_gpu(index=1), ("1g.10gb", 0), ("1g.10gb", 6))
    records = (owned(first.slices[0]), owned(second.slices[0], "a", 0))
    found = filling((first, second), records, named("a", 1, "1g.10gb"))
    assert [[part.stays for part in stay.slices] for stay, _, _ in found.groups] == [[], [True]]
    assert served(found) == Counter()


def test_running_replicas_that_do_not_bear_each_other_are_parted() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    records = tuple(owned(slice_, "a", number) for number, slice_ in enumerate(gpu.slices))
    spread = replace(named("a", 2, "1g.10gb"), most_per_gpu=1)
    found = filling((gpu, a_board_gpu(index=1)), records, spread)
    assert layouts(found) == [["1g.10gb"], ["1g.10gb"]]


def test_nobody_gets_more_than_asked_for_and_every_slice_is_used() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    demands = (named("a", 5, "2g.20gb"), Demand(model="b", replicas=3, memory_mib=9_000))
    found = filling(gpus, (), *demands)
    assert served(found) == {0: 5, 1: 3}
    assert sum(len(names) for names in layouts(found)) == 8


def test_gpus_in_use_are_filled_before_empty_ones_and_mig_is_switched_on_last() -> None:
    off, empty = a_board_gpu(mig_on=False), a_board_gpu(index=1)
    used = with_slices(a_board_gpu(index=2), ("3g.40gb", 0))
    for gpus in ((off, empty, used), (off, empty)):
        choice = filling(gpus, (), named("a", 1, "3g.40gb"))
        assert [bool(names) for names in layouts(choice)] == [False] * (len(gpus) - 1) + [True]


def test_no_choice_is_made_for_those_who_have_to_stay_where_they_do_not_bear_each_other() -> None:
    site = a_site(fixed=(a_place("1g.6gb", 0),), tenants=(0, 1), holds_ours=True)
    question = a_question(site, wants=(Want(count=1, away=(1,)), 1))
    assert choose_greedily(question, States(question)) is None


def test_no_choice_is_made_where_company_that_has_to_come_went_elsewhere() -> None:
    fixed = (a_place("1g.6gb", 0),)
    elsewhere, here = a_site(fixed=fixed), a_site(fixed=fixed, tenants=(0,), holds_ours=True)
    wants = (Want(count=0, near=(1,)), 1)
    question = a_question(elsewhere, here, wants=wants)
    assert choose_greedily(question, States(question)) is None
    first = a_question(here, elsewhere, wants=wants)
    assert choose_greedily(first, States(first)) is not None
