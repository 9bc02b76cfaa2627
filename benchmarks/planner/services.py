"""F3, F4 and F5: services that want a throughput, and may have it from any slices.

F3 is ParvaGPU's six cases and F4 the fifth of them scaled; both need its published data
(`benchmarks.planner.parvagpu`) and are left out without. The notes that name the families have no
F5. Here it is the mixture that real stacks have, with made-up rates so that it needs no data: half
the models ask for replicas of a least memory, half for a throughput, on two products at different
prices.
"""

from __future__ import annotations

import random

from benchmarks.planner import parvagpu
from benchmarks.planner.fleets import BOARD, empty_gpu, instance_of, plain, seeded
from benchmarks.planner.fresh import PRICES, prices
from benchmarks.planner.instance import Instance
from benchmarks.planner.segments import cut

from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, NamedProfile, Rate, Rules, Target

MIXED_PRODUCTS = ("a100-80gb", "h100-80gb")
_SPARE = 1.3
"""How many more GPUs there are than the slices of a rough cut would fill."""


def parva_case(number: int, seed: int) -> Instance:
    """F3: one of ParvaGPU's cases; the same whatever the seed."""
    return _services("F3", f"case {number}", seed, parvagpu.case(number))


def parva_scaled(services: int, seed: int) -> Instance:
    """F4: the fifth case with many services; the same whatever the seed."""
    return _services("F4", f"{services} services", seed, parvagpu.scaled(services))


def mixed(models: int, seed: int) -> Instance:
    """F5: half the models by replicas, half by throughput, on two products."""
    rng = seeded("F5", models, seed)
    demands = [
        _replicated(number, rng) if number % 2 else _throughput(number, rng)
        for number in range(models)
    ]
    milli = {key: round(PRICES[key] * rng.uniform(0.9, 1.1) / 10) * 10 for key in MIXED_PRODUCTS}
    keys = [MIXED_PRODUCTS[index % 2] for index in range(4 + 4 * models)]
    machine = [empty_gpu(key, index, rng) for index, key in enumerate(keys)]
    rules = Rules(prices=prices(milli, MIXED_PRODUCTS))
    return instance_of("F5", f"{models} models", seed, machine, demands, rng, rules=rules)


def _services(family: str, size: str, seed: int, demands: tuple[Demand, ...]) -> Instance:
    """Put services on enough GPUs of the kind they were measured on."""
    rng = seeded(family, size)
    sample = empty_gpu(BOARD, 0, rng)
    compute = sum(s.compute_slices for demand in demands for s in cut(demand, sample))
    count = 2 + int(_SPARE * compute / 7)
    machine = [empty_gpu(BOARD, index, rng) for index in range(count)]
    return instance_of(family, size, seed, machine, demands, rng)


def _replicated(number: int, rng: random.Random) -> Demand:
    """Ask for some replicas of a model by memory."""
    return Demand(
        model=f"replicas-{number}",
        replicas=rng.randint(1, 8),
        memory_mib=min(80_000, int(rng.lognormvariate(9.6, 0.7))),
    )


def _throughput(number: int, rng: random.Random) -> Demand:
    """Ask for a throughput of a model whose slices scale less than in proportion to their size.

    A slice of n compute slices yields ``base * n ** power``, more on the newer product; models that
    need more memory than a small slice has cannot use it.
    """
    base, power = rng.uniform(200, 2000), rng.uniform(0.7, 1.05)
    need_mib = min(35_000, int(rng.lognormvariate(9.2, 0.6)))
    speed = dict(zip(MIXED_PRODUCTS, (1.0, rng.uniform(1.2, 2.2)), strict=True))
    rates = tuple(
        Rate(
            named=NamedProfile(profile=profile.name, board=board(key).names[0]),
            milli_per_s=round(1000 * base * speed[key] * profile.compute_slices**power),
        )
        for key in MIXED_PRODUCTS
        for profile in plain(board(key).geometry)
        if profile.memory_mib >= need_mib
    )
    wanted = round(1000 * base * rng.uniform(0.5, 12))
    return Demand(
        model=f"target-{number}", replicas=64, target=Target(milli_per_s=wanted, rates=rates)
    )
