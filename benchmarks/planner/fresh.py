"""F1 and F2: empty GPUs and many replicas, of one product and of several at different prices.

Separate because nothing runs yet: what is asked is only which GPUs to switch on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.planner.fleets import BOARD, MIXES, empty_gpu, instance_of, named, plain, seeded
from benchmarks.planner.instance import Instance

from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, Prices, Rules

PRICES = {
    "a30": 600,
    "a100-40gb": 1300,
    "a100-80gb": 1900,
    "h100-80gb": 2900,
    "h200": 3600,
    "b200": 5200,
}
"""The six products of F2, and what an hour of each is taken to cost, thousandths of a euro.

Round numbers for the benchmark, in the order of what clouds asked for them; nobody's price list.
Each instance moves them by up to a tenth, to whole cents, so that they share no large divisor:
equal prices would make the bound easy to reach.
"""

_MODELS = 10
_MEDIAN_MIB, _SPREAD = 9.6, 0.7
"""Natural logarithm of the median need of a model, and how widely needs differ."""


def fixed_profiles(items: int, seed: int) -> Instance:
    """F1: replicas that each name a profile, on more empty GPUs than the area asks for.

    The mixes take turns from seed to seed.
    """
    rng = seeded("F1", items, seed)
    mix = list(MIXES)[seed % len(MIXES)]
    profiles = plain(board(BOARD).geometry)
    drawn = Counter(p.name for p in rng.choices(profiles, MIXES[mix], k=items))
    demands = [named(profile.name, drawn[profile.name]) for profile in profiles]
    area = sum(drawn[profile.name] * profile.memory_slices for profile in profiles)
    machine = [empty_gpu(BOARD, index, rng) for index in range(2 + area // 6)]
    return instance_of("F1", f"{items} replicas", seed, machine, demands, rng)


def by_memory(products: int, items: int, seed: int) -> Instance:
    """F2: ten models by memory, some with a least number of compute slices, on priced GPUs."""
    rng = seeded("F2", products, items, seed)
    keys = sorted(rng.sample(list(PRICES), products), key=PRICES.__getitem__)
    milli = {key: round(PRICES[key] * rng.uniform(0.9, 1.1) / 10) * 10 for key in keys}
    counts = Counter(rng.choices(range(_MODELS), k=items))
    largest = max(p.memory_mib for key in keys for p in plain(board(key).geometry))
    demands = [
        Demand(
            model=f"model-{number}",
            replicas=counts[number],
            memory_mib=min(largest, int(rng.lognormvariate(_MEDIAN_MIB, _SPREAD))),
            compute_slices=rng.choice((0, 0, 1, 2)),
        )
        for number in range(_MODELS)
    ]
    machine = [
        empty_gpu(keys[index % products], index, rng) for index in range(products * (2 + items))
    ]
    return instance_of(
        f"F2 {products} product{'s' if products > 1 else ''}",
        f"{items} replicas",
        seed,
        machine,
        [demand for demand in demands if demand.replicas],
        rng,
        rules=Rules(prices=prices(milli, keys)),
    )


def prices(milli: dict[str, int], keys: Sequence[str]) -> Prices:
    """Turn prices by board key into prices by product name."""
    by_name = tuple((board(key).names[0], milli[key]) for key in keys)
    return Prices(currency="EUR", milli_per_hour=by_name)
