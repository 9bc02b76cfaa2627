"""The quick choice is legal, leaves running replicas alone and places large ones before small."""

from __future__ import annotations

from collections import Counter

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Demand, Owned
from gpuslice.planner.greedy import choose_greedily
from gpuslice.planner.question import Choice, Question
from gpuslice.planner.situation import ask, survey


def a_question(gpus: tuple[Gpu, ...], records: tuple[Owned, ...], *demands: Demand) -> Question:
    return ask(survey(an_observed(*gpus), demands, records, None), settled=False)


def named(model: str, replicas: int, profile: str) -> Demand:
    return Demand(model=model, replicas=replicas, profile=profile)


def layouts(choice: Choice) -> list[list[str]]:
    """The profiles on each GPU, group by group."""
    return [
        sorted(part.profile for part in pattern.slices)
        for group in choice.patterns
        for pattern in group
    ]


def test_a_large_slice_is_placed_before_small_ones_fill_the_gpu() -> None:
    gpus = (a_board_gpu(),)
    demands = (named("small", 7, "1g.10gb"), named("large", 1, "7g.80gb"))
    assert layouts(choose_greedily(a_question(gpus, (), *demands))) == [["7g.80gb"]]


def test_equal_gpus_are_filled_one_after_the_other() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(3))
    choice = choose_greedily(a_question(gpus, (), named("a", 3, "3g.40gb")))
    assert layouts(choice) == [["3g.40gb", "3g.40gb"], ["3g.40gb"], []]


def test_a_running_replica_stays_even_where_a_larger_one_wants_its_place() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (named("large", 1, "7g.80gb"), named("small", 1, "1g.10gb"))
    choice = choose_greedily(a_question((gpu,), (owned(gpu.slices[0], "small"),), *demands))
    ((pattern,),) = choice.patterns
    assert [part.kept for part in pattern.slices] == [True]
    assert choice.served == 1


def test_the_place_of_a_running_replica_is_not_given_away_before_its_turn() -> None:
    first = with_slices(a_board_gpu(), ("2g.20gb", 0))
    second = with_slices(a_board_gpu(index=1), ("1g.10gb", 0), ("1g.10gb", 6))
    records = (owned(first.slices[0]), owned(second.slices[0], "a", 0))
    question = a_question((first, second), records, named("a", 1, "1g.10gb"))
    ((kind, demand), count), *others = choose_greedily(question).flow
    assert (kind.incumbent, demand, count, others) == (0, 0, 1, [])


def test_nobody_gets_more_than_asked_for_and_every_slice_is_used() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    demands = (named("a", 5, "2g.20gb"), Demand(model="b", replicas=3, memory_mib=9_000))
    choice = choose_greedily(a_question(gpus, (), *demands))
    served: Counter[int] = Counter()
    for (_, demand), count in choice.flow:
        served[demand] += count
    assert served == {0: 5, 1: 3}
    assert sum(len(names) for names in layouts(choice)) == 8


def test_gpus_in_use_are_filled_before_empty_ones_and_mig_is_switched_on_last() -> None:
    off, empty = a_board_gpu(mig_on=False), a_board_gpu(index=1)
    used = with_slices(a_board_gpu(index=2), ("3g.40gb", 0))
    for gpus in ((off, empty, used), (off, empty)):
        choice = choose_greedily(a_question(gpus, (), named("a", 1, "3g.40gb")))
        assert [bool(names) for names in layouts(choice)] == [False] * (len(gpus) - 1) + [True]
