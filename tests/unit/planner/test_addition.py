"""Which GPUs would have to be added: the cheapest with which everything fits, and none too many."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.plan import plan

ANY = Rules()
A100, A30 = a_board_gpu().name, a_board_gpu("a30").name


def added(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> dict[str, int]:
    """How many GPUs of each product a plan says are missing."""
    made = plan(an_observed(*gpus), demands, ours, rules)
    assert made.unplaced or not made.addition
    return {addition.board: addition.count for addition in made.addition}


def test_where_everything_fits_nothing_is_missing() -> None:
    assert added((a_board_gpu(),), a_demand("a", "7g.80gb")) == {}


def test_as_many_are_missing_as_it_takes() -> None:
    assert added((a_board_gpu(),), a_demand("a", "3g.40gb", 7)) == {A100: 3}


def test_the_cheaper_product_is_named_where_it_will_do() -> None:
    gpus = (a_board_gpu(), a_board_gpu("a30", index=1))
    demand = Demand(model="a", replicas=12, memory_mib=5_000)
    prices = Prices(currency="EUR", milli_per_hour=((A100, 2500), (A30, 900)))
    assert added(gpus, demand, rules=Rules(prices=prices)) == {A30: 1}
    dear = Prices(currency="EUR", milli_per_hour=((A100, 2500), (A30, 2600)))
    assert added(gpus, demand, rules=Rules(prices=dear)) == {A100: 1}


def test_several_products_are_named_where_each_serves_its_own() -> None:
    gpus = (a_board_gpu(), a_board_gpu("a30", index=1))
    demands = (a_demand("a", "7g.80gb", 3), a_demand("b", "4g.24gb", 2))
    assert added(gpus, *demands) == {A100: 2, A30: 1}


def test_where_no_number_of_gpus_would_do_none_is_named() -> None:
    assert added((a_board_gpu(),), a_demand("a", "9g.90gb"), a_demand("b", "7g.80gb", 2)) == {}
    assert added((), a_demand("a")) == {}


def test_spread_replicas_need_a_gpu_each() -> None:
    assert added((a_board_gpu(),), a_demand("a", "1g.10gb", 4, most_per_gpu=1)) == {A100: 3}


def test_replicas_that_need_company_bring_it() -> None:
    demands = (
        a_demand("a", "3g.40gb", 2, most_per_gpu=1, near=("b",)),
        a_demand("b", "4g.40gb", 2),
    )
    assert added((a_board_gpu(),), *demands) == {A100: 1}


def test_moving_what_runs_may_spare_a_gpu() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (a_demand("small", "1g.10gb"), a_demand("large", "4g.40gb", 2))
    ours = (owned(gpu.slices[0], "small"),)
    assert added((gpu,), *demands, ours=ours) == {A100: 1}
    pinned = (replace(demands[0], pinned=True), demands[1])
    assert added((gpu,), *pinned, ours=ours) == {A100: 2}


def test_gpus_that_may_be_added_anyway_are_not_named() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    rules = Rules(addable=frozenset({"GPU-1"}))
    assert added(gpus, a_demand("a", "7g.80gb", 3), rules=rules) == {A100: 1}
    # However dear the product that may be added, it is part of the plan already.
    mixed = (a_board_gpu("a30"), a_board_gpu(index=1))
    prices = Prices(currency="EUR", milli_per_hour=((A100, 9000), (A30, 900)))
    either = Demand(model="a", replicas=12, memory_mib=5_000)
    assert added(mixed, either, rules=Rules(addable=frozenset({"GPU-1"}), prices=prices)) == {
        A30: 1
    }


def test_drained_gpus_have_no_product_to_add() -> None:
    gpus = (a_board_gpu("a30"), a_board_gpu(index=1))
    rules = Rules(drained=frozenset({"GPU-1"}))
    assert added(gpus, Demand(model="a", replicas=5, memory_mib=5_000), rules=rules) == {A30: 1}


def test_what_a_target_that_is_not_met_would_need_is_not_known() -> None:
    assert added((a_board_gpu(),), a_target("a", 9000, ("1g.10gb", 1000), replicas=9)) == {}


def test_no_cheaper_choice_of_gpus_makes_everything_fit() -> None:
    random = Random(7)
    told = 0
    for _ in range(6):
        gpus = (a_board_gpu(), a_board_gpu("a30", index=1))
        demands = (
            a_demand("a", random.choice(("2g.20gb", "3g.40gb", "7g.80gb")), random.randint(2, 4)),
            Demand(model="b", replicas=random.randint(3, 8), memory_mib=5_000),
            a_demand("c", "2g.12gb", random.randint(0, 3)),
        )
        each = {A100: random.choice((900, 2500)), A30: random.choice((800, 1300))}
        rules = Rules(prices=Prices(currency="EUR", milli_per_hour=tuple(each.items())))
        found = added(gpus, *demands, rules=rules)
        told += bool(found)
        least = min(
            large * each[A100] + small * each[A30]
            for large, small in product(range(5), range(4))
            if all_fit(gpus, demands, rules, large, small)
        )
        assert sum(each[board] * count for board, count in found.items()) == least
    assert told > 2


def all_fit(
    gpus: tuple[Gpu, ...], demands: tuple[Demand, ...], rules: Rules, large: int, small: int
) -> bool:
    """Tell whether so many more A100 and A30 make room for everybody."""
    more = (
        *(a_board_gpu(index=10 + number) for number in range(large)),
        *(a_board_gpu("a30", index=20 + number) for number in range(small)),
    )
    return not plan(an_observed(*gpus, *more), demands, (), rules).unplaced
