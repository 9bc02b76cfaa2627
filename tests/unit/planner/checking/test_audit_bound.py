"""A bound on the cost that needs no solver: never above what a plan reaches, and often equal."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.hardware.boards import load_boards
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.planner.checking.audit_bound import least_cost

A100, A30 = "NVIDIA A100-SXM4-80GB", "NVIDIA A30"
PRICES = Rules(prices=Prices(currency="EUR", milli_per_hour=((A100, 2000), (A30, 700))))


def empty(count: int, board: str = "a100-80gb") -> tuple[Gpu, ...]:
    return tuple(a_board_gpu(board, index=index) for index in range(count))


def test_memory_decides_where_slices_are_large() -> None:
    assert least_cost(an_observed(*empty(9)), (a_demand("a", "3g.40gb", 7),), ()) == 4


def test_compute_decides_where_slices_have_little_memory() -> None:
    # Fifteen of 1g.10gb take 15 of 8 memory slices each, but only 7 lie on a GPU.
    assert least_cost(an_observed(*empty(9)), (a_demand("a", "1g.10gb", 15),), ()) == 3


def test_what_cannot_share_a_gpu_is_counted() -> None:
    demands = (a_demand("a", "4g.40gb", 3), a_demand("b", "7g.80gb", 2))
    assert least_cost(an_observed(*empty(9)), demands, ()) == 5


def test_what_is_small_goes_beside_what_is_large() -> None:
    demands = (a_demand("a", "4g.40gb", 3), a_demand("b", "3g.40gb", 3))
    assert least_cost(an_observed(*empty(9)), demands, ()) == 3


def test_the_cheapest_gpus_that_would_do_are_taken() -> None:
    gpus = (*empty(4), *(a_board_gpu("a30", index=4 + number) for number in range(4)))
    any_board = a_demand("a", replicas=3, profiles=(), memory_mib=20_000)
    assert least_cost(an_observed(*gpus), (any_board,), (), PRICES) == 3 * 700
    large = a_demand("b", "7g.80gb", 1)
    assert least_cost(an_observed(*gpus), (any_board, large), (), PRICES) == 2000 + 3 * 700


def test_the_price_of_gpus_is_rounded_up_to_whole_ones_of_one_product() -> None:
    assert least_cost(an_observed(*empty(4)), (a_demand("a"),), (), PRICES) == 2000


def test_gpus_with_somebody_elses_slices_are_paid_and_have_the_room_that_is_left() -> None:
    half = with_slices(a_board_gpu(), ("4g.40gb", 0))
    observed = an_observed(half, a_board_gpu(index=1))
    assert least_cost(observed, (), ()) == 1
    assert least_cost(observed, (a_demand("a", "3g.40gb"),), ()) == 1
    assert least_cost(observed, (a_demand("a", "3g.40gb", 2),), ()) == 2
    assert least_cost(observed, (a_demand("a", "3g.40gb", 4),), ()) is None


def test_slices_of_ours_may_go_but_pinned_replicas_may_not() -> None:
    half = with_slices(a_board_gpu(), ("3g.40gb", 0))
    observed, records = an_observed(half, *empty(3)[1:]), (owned(half.slices[0], "a"),)
    nobody = {"a": 0}
    free, pinned = a_demand("a", "3g.40gb"), a_demand("a", "3g.40gb", pinned=True)
    assert least_cost(observed, (free,), records, served=nobody) == 0
    assert least_cost(observed, (pinned,), records, served=nobody) == 1


def test_only_what_is_served_counts() -> None:
    demands = (a_demand("a", "7g.80gb", 5),)
    assert least_cost(an_observed(*empty(3)), demands, (), served={"a": 2}) == 2
    assert least_cost(an_observed(*empty(3)), demands, ()) is None


def test_a_target_takes_the_slices_that_reach_it_with_the_least_room() -> None:
    # 35 of 10 need four of 1g, of which seven lie on a GPU; three of 3g would need two GPUs.
    target = a_target("a", 350, ("1g.10gb", 10), ("3g.40gb", 30))
    assert least_cost(an_observed(*empty(9)), (target,), ()) == 5
    assert least_cost(an_observed(*empty(9)), (target,), (), served={"a": 0}) == 0


def test_gpus_that_may_not_be_used_carry_nothing() -> None:
    rules = Rules(gpus=frozenset({"GPU-0"}))
    assert least_cost(an_observed(*empty(2)), (a_demand("a", "7g.80gb", 2),), (), rules) is None


def test_what_no_gpu_offers_cannot_be_served() -> None:
    assert least_cost(an_observed(*empty(2)), (a_demand("a", "2g.12gb"),), ()) is None


BOARDS = [known.key for known in load_boards() if known.has_mig]
RATES = (("1g.10gb", 3), ("2g.20gb", 8), ("3g.40gb", 11), ("1g.6gb", 2), ("2g.12gb", 7))


def filled(gpu: Gpu, rng: random.Random) -> Gpu:
    """The GPU with slices at random places, as many as find one at the first try."""
    assert gpu.geometry is not None
    for profile in rng.choices(gpu.geometry.profiles, k=rng.randint(1, 8)):
        at = rng.choice(profile.placements)
        if gpu.geometry.allows(gpu.occupied, profile.name, at):
            gpu = with_slices(gpu, (profile.name, at.start))
    return gpu


def wish(gpu: Gpu, profile: str, model: str, rng: random.Random) -> Demand:
    """A demand that a slice on a GPU would meet, and perhaps others too."""
    assert gpu.geometry is not None
    found = gpu.geometry.named(profile)
    assert found is not None
    rate = dict(RATES).get(profile)
    kind = rng.choice(("name", "size", "rate"))
    if kind == "name" or found.attributes:
        return a_demand(model, profile)
    if kind == "size" or rate is None:
        return a_demand(
            model,
            profiles=(),
            memory_mib=found.memory_mib - rng.randint(0, 9000),
            compute_slices=rng.randint(0, found.compute_slices),
        )
    return a_target(model, rng.randint(1, rate), *RATES)


@pytest.mark.parametrize("seed", range(60))
def test_what_lies_somewhere_never_costs_less(seed: int) -> None:
    rng = random.Random(seed)
    keys = rng.sample(BOARDS, 2)
    gpus = [a_board_gpu(rng.choice(keys), index=index) for index in range(rng.randint(1, 6))]
    names = sorted({gpu.name for gpu in gpus})
    prices = tuple((name, 100 * rng.randint(1, 30)) for name in names)
    machine: list[Gpu] = []
    demands: list[Demand] = []
    cost = 0
    for gpu in gpus:
        full = filled(gpu, rng) if rng.random() < 0.7 else gpu
        foreign = [s for s in full.slices if rng.random() < 0.2]
        machine.append(replace(gpu, slices=tuple(foreign)))
        for slice_ in (s for s in full.slices if s not in foreign):
            demands.append(wish(gpu, slice_.profile, f"m-{len(demands)}", rng))
        cost += dict(prices)[gpu.name] if full.slices else 0
    rules = Rules(prices=Prices(currency="EUR", milli_per_hour=prices))
    least = least_cost(an_observed(*machine), demands, (), rules)
    assert least is not None
    assert least <= cost
