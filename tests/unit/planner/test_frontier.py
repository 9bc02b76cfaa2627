"""The trade of GPUs against moves: every corner once, from the cheapest to the least disturbing."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.errors import BadInputError
from gpuslice.model.certificate import FrontierPoint, Goal
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner import frontier as module
from gpuslice.planner.frontier import frontier
from gpuslice.planner.plan import plan

ANY = Rules()


def corners(points: tuple[FrontierPoint, ...]) -> list[tuple[int, int]]:
    return [(point.cost, point.moves) for point in points]


def scattered(count: int, *, each: int = 1) -> tuple[tuple[Gpu, ...], tuple[Owned, ...]]:
    """So many A100 with a few small replicas on each; all would fit on far fewer."""
    gpus = tuple(
        with_slices(a_board_gpu(index=index), *(("1g.10gb", start) for start in range(each)))
        for index in range(count)
    )
    slices = [s for gpu in gpus for s in gpu.slices]
    return gpus, tuple(owned(s, "a", number) for number, s in enumerate(slices))


def trade(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> tuple[FrontierPoint, ...]:
    return frontier(an_observed(*gpus), demands, ours, rules)


def served(made: Plan) -> list[int]:
    assert made.certificate is not None
    goals = (Goal.SERVED, Goal.SERVED_OF_MODEL)
    return [o.value for o in made.certificate.objectives if o.goal in goals]


def test_each_move_spares_a_gpu_until_nothing_is_left_to_spare() -> None:
    gpus, records = scattered(4)
    points = trade(gpus, a_demand("a", "1g.10gb", 4), ours=records)
    assert corners(points) == [(1, 3), (2, 2), (3, 1), (4, 0)]
    assert [point.gpus for point in points] == [1, 2, 3, 4]
    assert all(point.proved for point in points)


def test_where_nothing_can_be_spared_there_is_one_corner() -> None:
    gpus, records = scattered(1)
    assert corners(trade(gpus, a_demand("a", "1g.10gb"), ours=records)) == [(1, 0)]


def test_where_nothing_is_asked_for_there_is_no_trade() -> None:
    gpus, records = scattered(2)
    assert trade(gpus) == ()
    assert trade(gpus, a_demand("a", "1g.10gb", 0), ours=records) == ()


def test_what_a_plan_refuses_is_refused() -> None:
    with pytest.raises(BadInputError):
        trade((a_board_gpu(),), a_demand("a"), a_demand("a"))


def test_moves_are_counted_whatever_they_cost() -> None:
    # By cost, moving three replicas for nothing is better than moving the one that counts.
    one = with_slices(a_board_gpu(), *(("1g.10gb", start) for start in range(3)))
    two = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    records = (
        *(owned(s, "free", number) for number, s in enumerate(one.slices)),
        owned(two.slices[0], "dear"),
    )
    demands = (
        a_demand("free", "1g.10gb", 3, move_cost=0),
        a_demand("dear", "1g.10gb", move_cost=9),
    )
    assert corners(trade((one, two), *demands, ours=records)) == [(1, 1), (2, 0)]


def test_the_trade_ends_where_fewer_moves_would_serve_less() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    records = (owned(gpu.slices[0], "small"),)
    demands = (a_demand("small", "1g.10gb"), a_demand("large", "4g.40gb"))
    assert corners(trade((gpu,), *demands, ours=records)) == [(1, 1)]


def test_serving_others_in_place_of_the_important_is_serving_less() -> None:
    # Without moves two small ones could come in place of the large one: more, but not better.
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (
        a_demand("runs", "1g.10gb"),
        a_demand("large", "4g.40gb", priority=1),
        a_demand("small", "1g.10gb", 4),
    )
    points = trade((gpu,), *demands, ours=(owned(gpu.slices[0], "runs"),))
    assert [point.moves for point in points] == [1]


def test_the_trade_begins_at_the_limit_of_moves() -> None:
    gpus, records = scattered(4)
    rules = Rules(most_moves=2)
    points = trade(gpus, a_demand("a", "1g.10gb", 4), ours=records, rules=rules)
    assert corners(points) == [(2, 2), (3, 1), (4, 0)]


def test_the_trade_ends_where_the_rules_need_more_moves() -> None:
    gpus, records = scattered(1, each=2)
    demand = a_demand("a", "1g.10gb", 2, most_per_gpu=1)
    points = trade((*gpus, a_board_gpu(index=1)), demand, ours=records)
    assert corners(points) == [(2, 1)]


def test_prices_make_the_trade_one_of_money() -> None:
    small = with_slices(a_board_gpu("a30"), ("1g.6gb", 0))
    large = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    prices = Prices(currency="EUR", milli_per_hour=((small.name, 900), (large.name, 2500)))
    demand = Demand(model="a", replicas=2, memory_mib=5_000)
    records = (owned(small.slices[0], "a"), owned(large.slices[0], "a", 1))
    points = trade((small, large), demand, ours=records, rules=Rules(prices=prices))
    assert corners(points) == [(900, 1), (3400, 0)]


def test_gpus_of_others_are_paid_for_and_barred_ones_are_not() -> None:
    gpus, records = scattered(2)
    theirs = with_slices(a_board_gpu(index=2), ("7g.80gb", 0))
    drained = with_slices(a_board_gpu(index=3), ("1g.10gb", 0))
    points = trade(
        (*gpus, theirs, drained),
        a_demand("a", "1g.10gb", 2),
        ours=(*records, owned(drained.slices[0])),
        rules=Rules(drained=frozenset({"GPU-3"})),
    )
    assert [(point.cost, point.gpus, point.moves) for point in points] == [(2, 2, 1), (3, 3, 0)]


def test_a_target_that_cannot_go_on_with_fewer_moves_ends_the_trade() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (a_target("chat", 1000, ("1g.10gb", 1000)), a_demand("large", "4g.40gb"))
    points = trade((gpu,), *demands, ours=(owned(gpu.slices[0], "chat"),))
    assert corners(points) == [(1, 1)]


def test_a_long_trade_is_sampled_to_its_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, records = scattered(9)
    demand = a_demand("a", "1g.10gb", 9)
    every = corners(trade(gpus, demand, ours=records))
    monkeypatch.setattr(module, "MAX_POINTS", 2)
    some = corners(trade(gpus, demand, ours=records))
    assert set(some) < set(every)
    assert (some[0], some[-1]) == (every[0], every[-1])
    half = a_demand("half", "4g.40gb")
    blocked = with_slices(a_board_gpu(), ("1g.10gb", 3))
    limited = (blocked, *gpus[1:])
    ours = (owned(blocked.slices[0], "a"), *records[1:])
    assert corners(trade(limited, demand, half, ours=ours))[-1] == corner_by_hand(
        limited, (demand, half), ours
    )


def corner_by_hand(
    gpus: tuple[Gpu, ...], demands: tuple[Demand, ...], ours: tuple[Owned, ...]
) -> tuple[int, int]:
    """The least number of moves that serves as much as any, found one by one."""
    best = served(plan(an_observed(*gpus), demands, ours))
    for moves in range(len(ours) + 1):
        made = plan(an_observed(*gpus), demands, ours, Rules(most_moves=moves))
        if served(made) == best:
            assert made.certificate is not None
            cost = next(o.value for o in made.certificate.objectives if o.goal is Goal.COST)
            return cost, moves
    raise AssertionError("with all moves allowed as much is served as ever")


def test_corners_strictly_trade_whatever_the_machine() -> None:
    random = Random(9)
    for _ in range(15):
        gpus: list[Gpu] = []
        ours: list[Owned] = []
        for index in range(random.randint(2, 5)):
            starts = random.sample(range(7), random.randint(0, 3))
            gpu = with_slices(a_board_gpu(index=index), *(("1g.10gb", start) for start in starts))
            ours += [owned(s, "a", len(ours) + number) for number, s in enumerate(gpu.slices)]
            gpus.append(gpu)
        demands = (
            a_demand("a", "1g.10gb", max(1, len(ours)), move_cost=random.randint(0, 2)),
            a_demand("b", "3g.40gb", random.randint(0, 2)),
        )
        points = trade(tuple(gpus), *demands, ours=tuple(ours))
        assert points
        for before, after in pairwise(points):
            assert before.cost < after.cost
            assert before.moves > after.moves
