"""How many requests are accepted when each is placed at once: our table and published orders.

Every policy gets the same requests, seed by seed, on a fleet of A100-80GB. Two questions:

* **Filling.** Requests come and nothing leaves, until those asked for would fill the fleet if they
  could be packed without waste, in memory or in compute, whichever comes first. What share of the
  requests was accepted, and how much of the capacity had been asked for at the first refusal?
* **Coming and going.** Requests come at random and stay for a random time (both exponential), so
  that 90 % of the fleet would be taken if nothing were refused. What share was accepted, once the
  fleet has settled?

Everything is seeded but the times, which are printed as ratios to plain first fit. Nothing here is
asserted; tests/property/test_online.py asks both questions on smaller fleets.

Run it with ``python -m benchmarks.planner.online``; docs/benchmarks.md has the results. The suite
asks the same of fewer seeds and calls it F8 (`benchmarks.planner.online_rows`).
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from benchmarks.planner.online_orders import ORDERS, Order, OrderedFleet, Setting, tabulate

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry
from gpuslice.planner.online import Spot, online_policy
from gpuslice.planner.online_fleet import OnlineFleet
from gpuslice.planner.packing.grid import mask

SEED = 2026
GPUS = 100
FILLINGS = 20
CHURNS = 5
CHURN_REQUESTS = 4000
SETTLING = 1000
OFFERED_LOAD = 0.9
RANDOM_MIXES = 12
TIMED_REQUESTS = 400
TIMED_ROUNDS = 7
TIMED_FLEETS = (100, 10_000)
BOARD = "a100-80gb"
PROFILES = ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
Mix = Mapping[str, float]
MIXES: dict[str, Mix] = {
    "uniform": dict(zip(PROFILES, (1, 1, 1, 1, 1, 1), strict=True)),
    "small-heavy": dict(zip(PROFILES, (6, 1, 4, 2, 1, 1), strict=True)),
    "large-heavy": dict(zip(PROFILES, (1, 1, 2, 3, 3, 4), strict=True)),
    "memory-heavy": dict(zip(PROFILES, (2, 6, 2, 2, 1, 1), strict=True)),
    "no middle": dict(zip(PROFILES, (5, 0, 0, 1, 1, 0), strict=True)),
}
"""Four of every day, and the worst that was found for our table."""


class Fleet(Protocol):
    """What a policy is asked through."""

    def place(self, profile: str) -> Spot | None:
        """Place one slice, or answer None."""

    def release(self, spot: Spot) -> None:
        """Take it away again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What came of filling a fleet.

    Attributes:
        accepted: Share of the requests that were accepted.
        first_refusal: Share of the capacity that had been asked for at the first refusal.
    """

    accepted: float
    first_refusal: float


def fill(fleet: Fleet, geometry: Geometry, gpus: int, mix: Mix, seed: str) -> Filled:
    """Let requests come until they would fill the fleet."""
    draw = random.Random(seed)
    names, weights = list(mix), list(mix.values())
    memory = compute = asked = accepted = 0
    first_refusal = 1.0
    while max(share := load(geometry, gpus, memory, compute)) < 1:
        profile = geometry.named(draw.choices(names, weights)[0])
        assert profile is not None
        memory += profile.memory_slices
        compute += profile.compute_slices
        asked += 1
        if fleet.place(profile.name) is not None:
            accepted += 1
        elif asked == accepted + 1:
            first_refusal = max(share)
    return Filled(accepted=accepted / asked, first_refusal=first_refusal)


def load(geometry: Geometry, gpus: int, memory: float, compute: float) -> tuple[float, float]:
    """Shares of a fleet's memory and compute slices."""
    return memory / geometry.memory_slices / gpus, compute / geometry.compute_slices / gpus


def churn(
    fleet: Fleet, geometry: Geometry, gpus: int, mix: Mix, seed: str, requests: int, settling: int
) -> float:
    """Let requests come and go, and return the share accepted after the settling ones."""
    draw = random.Random(seed)
    names, weights = list(mix), list(mix.values())
    rate = OFFERED_LOAD / max(mean_load(geometry, gpus, mix))  # arrivals in a mean stay
    now, accepted = 0.0, 0
    leaving: list[tuple[float, int, Spot]] = []
    for number in range(settling + requests):
        now += draw.expovariate(rate)
        name, stay = draw.choices(names, weights)[0], draw.expovariate(1)
        while leaving and leaving[0][0] <= now:
            fleet.release(heappop(leaving)[2])
        spot = fleet.place(name)
        if spot is not None:
            heappush(leaving, (now + stay, number, spot))
            accepted += number >= settling
    return accepted / requests


def mean_load(geometry: Geometry, gpus: int, mix: Mix) -> tuple[float, float]:
    """Shares of a fleet that one request takes on average."""
    total = sum(mix.values())
    parts = [
        (mix[p.name] / total, p) for p in Setting(geometry=geometry, mix={}).plain if p.name in mix
    ]
    memory = sum(weight * p.memory_slices for weight, p in parts)
    compute = sum(weight * p.compute_slices for weight, p in parts)
    return load(geometry, gpus, memory, compute)


OURS = "gpuslice"
Maker = Callable[[int], Fleet]
"""Makes an empty fleet of so many GPUs."""


def makers(geometry: Geometry, mix: Mix) -> dict[str, Maker]:
    """Every policy for one mix, ours last; what they know beforehand is worked out once."""
    policy = online_policy(geometry, mix)
    made: dict[str, Maker] = {order.name: ordered(order, geometry, mix) for order in ORDERS}
    return {**made, OURS: lambda gpus: OnlineFleet.empty(policy, gpus)}


def ordered(order: Order, geometry: Geometry, mix: Mix) -> Maker:
    """Tabulate a published order."""
    table = tabulate(order, Setting(geometry=geometry, mix=mix))
    return lambda gpus: OrderedFleet(table, gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one policy reached with one mix, each a share, averaged over seeds."""

    accepted: float
    first_refusal: float
    churn: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is simulated: GPUs, fillings, churns, requests of each churn, requests before."""

    gpus: int
    fillings: int
    churns: int
    requests: int
    settling: int


def results(mix: Mix, size: Size, seed: str) -> dict[str, Result]:
    """Ask both questions of every policy, with the same requests."""
    geometry = board(BOARD).geometry
    return {
        name: measure(make, geometry, mix, size, seed)
        for name, make in makers(geometry, mix).items()
    }


def measure(make: Maker, geometry: Geometry, mix: Mix, size: Size, seed: str) -> Result:
    """Ask both questions of one policy."""
    filled = [
        fill(make(size.gpus), geometry, size.gpus, mix, f"{seed}/fill/{number}")
        for number in range(size.fillings)
    ]
    settled = [
        churn(
            make(size.gpus),
            geometry,
            size.gpus,
            mix,
            f"{seed}/churn/{number}",
            size.requests,
            size.settling,
        )
        for number in range(size.churns)
    ]
    return Result(
        accepted=statistics.fmean(one.accepted for one in filled),
        first_refusal=statistics.fmean(one.first_refusal for one in filled),
        churn=statistics.fmean(settled),
    )


def random_mixes() -> Iterator[Mix]:
    """Draw mixes of two or more profiles, some absent, some frequent."""
    draw = random.Random(f"{SEED}/mixes")
    made = 0
    while made < RANDOM_MIXES:
        mix = {name: draw.choice((0, 1, 1, 2, 3, 5)) for name in PROFILES}
        if sum(weight > 0 for weight in mix.values()) > 1:
            made += 1
            yield mix


def time_ratio(gpus: int) -> float:
    """Median time of a request on our fleet, over that of first fit that looks at each GPU in turn.

    The fleet is four fifths full; both place the same requests of 1g and 2g from there.
    """
    geometry, mix = board(BOARD).geometry, MIXES["uniform"]
    policy = online_policy(geometry, mix)
    draw = random.Random(f"{SEED}/time")
    ratios = []
    for _ in range(TIMED_ROUNDS):
        fleet = OnlineFleet.empty(policy, gpus)
        while sum(bits.bit_count() for bits in fleet.occupancies) < 0.8 * 8 * gpus:
            for _ in range(max(1, gpus // 20)):
                fleet.place(draw.choice(PROFILES))
        requests = [draw.choice(PROFILES[:3]) for _ in range(min(TIMED_REQUESTS, gpus))]
        plain_s = timed(FirstFit(geometry, fleet.occupancies).place, requests)
        ratios.append(timed(fleet.place, requests) / plain_s)
    return statistics.median(ratios)


class FirstFit:
    """First fit as one would write it: GPU after GPU, start after start."""

    def __init__(self, geometry: Geometry, occupancies: Sequence[int]) -> None:
        self._masks = list(occupancies)
        self._places = {
            p.name: [mask(at) for at in p.placements]
            for p in Setting(geometry=geometry, mix={}).plain
        }

    def place(self, profile: str) -> int | None:
        """Take the first room there is and return the GPU."""
        places = self._places[profile]
        for gpu, bits in enumerate(self._masks):
            for at in places:
                if not bits & at:
                    self._masks[gpu] |= at
                    return gpu
        return None


def timed(place: Callable[[str], object], requests: Sequence[str]) -> float:
    """Seconds of CPU time that some requests take."""
    begin = time.process_time()
    for profile in requests:
        place(profile)
    return time.process_time() - begin


def main() -> None:
    """Print the tables of docs/benchmarks.md."""
    size = Size(
        gpus=GPUS,
        fillings=FILLINGS,
        churns=CHURNS,
        requests=CHURN_REQUESTS,
        settling=SETTLING,
    )
    print_results({name: results(mix, size, f"{SEED}/{name}") for name, mix in MIXES.items()})
    print_random(size)
    for gpus in TIMED_FLEETS:
        print(f"time of a request over first fit's, {gpus:,} GPUs: {time_ratio(gpus):.4f}")


def print_results(found: Mapping[str, Mapping[str, Result]]) -> None:
    """Print one row for each policy, three numbers for each mix, in per cent."""
    print(f"| policy | {' | '.join(found)} |")
    print("|---|" + "---:|" * len(found))
    for name in next(iter(found.values())):
        cells = (
            f"{100 * r.accepted:.1f} / {100 * r.first_refusal:.1f} / {100 * r.churn:.1f}"
            for r in (of_mix[name] for of_mix in found.values())
        )
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    for order in ORDERS:
        print(f"- **{order.name}**: {order.rule}.")
    print()


def print_random(size: Size) -> None:
    """Print how each policy does on mixes nobody chose: on average, and at worst."""
    found = [
        results(mix, size, f"{SEED}/random/{number}") for number, mix in enumerate(random_mixes())
    ]
    print("| policy | filling, mean | worst shortfall | 90 % load, mean | worst shortfall |")
    print("|---|---:|---:|---:|---:|")
    for name in found[0]:
        cells = [
            cell
            for kind in ("accepted", "churn")
            for cell in summary(
                [{n: getattr(r, kind) for n, r in one.items()} for one in found], name
            )
        ]
        print(f"| {name} | {' | '.join(f'{100 * cell:.1f}' for cell in cells)} |")
    print()


def summary(found: Sequence[Mapping[str, float]], name: str) -> tuple[float, float]:
    """Mean share of one policy, and how far it was behind the best of a mix at worst."""
    return (
        statistics.fmean(one[name] for one in found),
        max(max(one.values()) - one[name] for one in found),
    )


if __name__ == "__main__":
    main()
