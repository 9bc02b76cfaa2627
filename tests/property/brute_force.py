"""The best plan by trying everything; no code shared with the planner.

Every layout of every GPU is walked, slice by slice, with everybody who could sit on each slice, and
every way to use one GPU is joined with every way to use the others. What two ways leave to the
others decides which of them are kept apart: how many replicas of each demand they seat, how far
each target is met, and how many running replicas they move. Among those that are alike in all of
that, only the cheapest can be part of a best plan, since expenses add up over GPUs and nothing else
is asked across GPUs.

Replicas of one demand are interchangeable but for where they run. A slice that serves the demand of
the replica running on it serves that replica: to exchange two of one demand breaks nothing and
moves nobody more. `test_brute_force.py` compares this with seating one replica after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gpuslice.model.gpu import Gpu
from property.case import (
    Case,
    Place,
    foreign,
    geometry_of,
    incumbents,
    keepable,
    profile_of,
    usable,
)
from property.judge import NOTHING, Expense, Worth, assemble, destroyed_anyway, expense
from property.legality import neighbourly


class Use(NamedTuple):
    """What one or several GPUs do for the demands, and to those that run.

    Attributes:
        counts: Slices for each demand.
        rates: What they contribute to each demand's target, or 0 where it has none.
        moves: Running replicas that do not end on their slice.
    """

    counts: tuple[int, ...]
    rates: tuple[int, ...]
    moves: int


class Chair(NamedTuple):
    """What matters of a slice to those who could sit on it.

    Attributes:
        rates: For each demand, what the slice contributes: 0 where it does not serve it.
        incumbent: Number of the demand whose replica runs on it, or -1.
    """

    rates: tuple[int, ...]
    incumbent: int


def best_worth(case: Case) -> Worth | None:
    """Try everything; None where no plan is legal."""
    return min(
        (
            assemble(case, _served(case, use), total)
            for use, total in everything(case).items()
            if case.rules.most_moves is None or use.moves <= case.rules.most_moves
        ),
        default=None,
    )


def worths_by_moves(case: Case) -> dict[int, Worth]:
    """The best plan for each number of moves that some legal plan makes, whatever the rules say."""
    best: dict[int, Worth] = {}
    for use, total in everything(case).items():
        found = assemble(case, _served(case, use), total)
        best[use.moves] = min(found, best.get(use.moves, found))
    return best


def everything(case: Case) -> dict[Use, Expense]:
    """Every way to use the whole machine that keeps to all rules but that of the most moves."""
    nobody = (0,) * len(case.demands)
    ways = {Use(nobody, nobody, 0): NOTHING._replace(destroyed=destroyed_anyway(case))}
    for gpu in usable(case):
        here = _ways(case, gpu)
        joined: dict[Use, Expense] = {}
        for use, total in ways.items():
            for other, spent in here.items():
                both = _both(case, use, other)
                if both is not None:
                    offer = total.plus(spent)
                    joined[both] = min(offer, joined.get(both, offer))
        ways = joined
    return {use: total for use, total in ways.items() if _meets_targets(case, use)}


def _ways(case: Case, gpu: Gpu) -> dict[Use, Expense]:
    """Every way to use one GPU."""
    cheapest: dict[tuple[Chair, ...], Expense] = {}
    chair_of = {place: _chair(case, gpu, place) for place in _places(case, gpu)}
    for places in _layouts(case, gpu):
        chairs = tuple(sorted(chair_of[place] for place in places))
        offer = expense(case, gpu, places)
        cheapest[chairs] = min(offer, cheapest.get(chairs, offer))
    running = _running(case, gpu)
    ways: dict[Use, Expense] = {}
    for chairs, spent in cheapest.items():
        for tenants in _tenants(case, chairs):
            use, moved = _use(case, chairs, tenants, running)
            if use is not None:
                offer = spent._replace(moved=moved)
                ways[use] = min(offer, ways.get(use, offer))
    return ways


def _layouts(case: Case, gpu: Gpu) -> Iterator[tuple[Place, ...]]:
    """Walk every set of slices of ours, kept or new, that may lie on a GPU and could be used."""
    geometry = geometry_of(gpu)
    most = sum(demand.replicas for demand in case.demands)
    theirs = [(s.profile, s.placement) for s in foreign(case, gpu)]

    def extend(chosen: tuple[Place, ...], rest: list[Place]) -> Iterator[tuple[Place, ...]]:
        lying = theirs + [(place.profile, place.placement) for place in chosen]
        yield chosen
        if len(chosen) < most:
            fitting = [p for p in rest if geometry.allows(lying, p.profile, p.placement)]
            for number, place in enumerate(fitting):
                yield from extend((*chosen, place), fitting[number + 1 :])

    return extend((), _places(case, gpu))


def _places(case: Case, gpu: Gpu) -> list[Place]:
    """Every slice, there or not, that would serve somebody."""
    wanted = [
        profile
        for profile in geometry_of(gpu).profiles
        if any(demand.accepts(profile, gpu.name) for demand in case.demands)
    ]
    names = {profile.name for profile in wanted}
    return [
        *(Place(gpu.uuid, profile.name, at) for profile in wanted for at in profile.placements),
        *(
            Place(gpu.uuid, s.profile, s.placement, s.gpu_instance_id)
            for s in keepable(case, gpu)
            if s.profile in names
        ),
    ]


def _chair(case: Case, gpu: Gpu, place: Place) -> Chair:
    profile = profile_of(gpu, place.profile)
    rates = tuple(
        demand.target.rate(profile, gpu.name)
        if demand.target
        else int(demand.accepts(profile, gpu.name))
        for demand in case.demands
    )
    sits = [
        number
        for number, demand in enumerate(case.demands)
        for replica, slice_ in incumbents(case).items()
        if replica.model == demand.model
        and (slice_.gpu_uuid, slice_.gpu_instance_id) == (gpu.uuid, place.gpu_instance_id)
    ]
    return Chair(rates, sits[0] if sits else -1)


def _running(case: Case, gpu: Gpu) -> Counter[int]:
    """Count the running replicas of each demand on a GPU."""
    numbers = {demand.model: number for number, demand in enumerate(case.demands)}
    return Counter(
        numbers[replica.model]
        for replica, slice_ in incumbents(case).items()
        if slice_.gpu_uuid == gpu.uuid
    )


def _tenants(case: Case, chairs: tuple[Chair, ...]) -> Iterator[tuple[int, ...]]:
    """Walk every way to give each slice to a demand that it serves."""
    left = [demand.replicas for demand in case.demands]

    def extend(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(chosen) == len(chairs):
            yield chosen
            return
        for number, rate in enumerate(chairs[len(chosen)].rates):
            if rate and left[number]:
                left[number] -= 1
                yield from extend((*chosen, number))
                left[number] += 1

    return extend(())


def _use(
    case: Case, chairs: tuple[Chair, ...], tenants: tuple[int, ...], running: Counter[int]
) -> tuple[Use | None, int]:
    """Say what tenants make of a GPU, and what its moves cost; None where a rule is broken."""
    counts, rates = [0] * len(case.demands), [0] * len(case.demands)
    leaving = Counter(running)
    for chair, tenant in zip(chairs, tenants, strict=True):
        counts[tenant] += 1
        rates[tenant] += chair.rates[tenant] if case.demands[tenant].target else 0
        leaving[tenant] -= chair.incumbent == tenant
    together = Counter({d.model: n for d, n in zip(case.demands, counts, strict=True)})
    if any(case.demands[number].pinned for number, count in leaving.items() if count):
        return None, 0
    if not neighbourly(case, together):
        return None, 0
    moved = sum(case.demands[number].move_cost * count for number, count in leaving.items())
    return Use(tuple(counts), _capped(case, rates), leaving.total()), moved


def _both(case: Case, one: Use, other: Use) -> Use | None:
    """Join what two GPUs do; None where more replicas would serve than are wanted."""
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    if any(n > d.replicas for n, d in zip(counts, case.demands, strict=True)):
        return None
    rates = [a + b for a, b in zip(one.rates, other.rates, strict=True)]
    return Use(counts, _capped(case, rates), one.moves + other.moves)


def _capped(case: Case, rates: list[int]) -> tuple[int, ...]:
    """Forget by how much a target is exceeded."""
    return tuple(
        min(rate, demand.target.milli_per_s) if demand.target else 0
        for rate, demand in zip(rates, case.demands, strict=True)
    )


def _meets_targets(case: Case, use: Use) -> bool:
    """Tell whether every target is met, or nothing given to it."""
    return all(
        demand.target is None or not count or rate >= demand.target.milli_per_s
        for demand, count, rate in zip(case.demands, use.counts, use.rates, strict=True)
    )


def _served(case: Case, use: Use) -> list[int]:
    return [
        int(count > 0) if demand.target else count
        for demand, count in zip(case.demands, use.counts, strict=True)
    ]
