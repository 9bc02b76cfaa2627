"""F10: what makes planning hard for a method that treats equal things as one.

Each variant is a churned fleet at 60 % with one thing that takes equality away: slices that cannot
be moved, replicas that have to be spread, replicas that differ in what their move costs, GPUs that
can be added in limited number, and models so many and so different that hardly two are alike.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.planner.fleets import (
    BOARD,
    churned_fleet,
    empty_gpu,
    instance_of,
    named,
    plain,
    records,
    seeded,
    slices_of,
    wanted,
)
from benchmarks.planner.instance import Instance, geometry_of

from gpuslice.model.demand import Demand, NamedProfile, Rules
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu, Slice

_LOAD = 0.6


def pinned(count: int, seed: int) -> Instance:
    """A fifth of the slices are somebody else's, and half of ours have to stay where they are."""
    rng = seeded("F10 pinned", count, seed)
    machine = churned_fleet(count, _LOAD, rng)
    slices = slices_of(machine)
    owned_slices = rng.sample(slices, len(slices) * 4 // 5)
    models = [f"{s.profile} {rng.choice(('pinned', 'free'))}" for s in owned_slices]
    owned = records(owned_slices, models)
    counts = Counter(models)
    demands = [
        replace(named(p.name, counts[f"{p.name} {how}"], f"{p.name} {how}"), pinned=how == "pinned")
        for p in _profiles(machine)
        for how in ("pinned", "free")
    ]
    demands += _arriving(machine, count // 4)
    return instance_of("F10 pinned", f"{count} GPUs", seed, machine, demands, rng, owned)


def spread(count: int, seed: int) -> Instance:
    """Eight models, no two replicas of one on a GPU, a quarter more of each wanted."""
    rng = seeded("F10 spread", count, seed)
    machine = churned_fleet(count, _LOAD, rng)
    models: list[str] = []
    for gpu in machine:
        models += rng.sample([f"model-{number}" for number in range(8)], len(gpu.slices))
    owned = records(slices_of(machine), models)
    least_mib = min(profile.memory_mib for profile in _profiles(machine))
    there = Counter(models)
    demands = [
        Demand(
            model=model,
            replicas=there[model] + max(1, there[model] // 4),
            memory_mib=least_mib,
            most_per_gpu=1,
        )
        for model in sorted(there)
    ]
    return instance_of("F10 spread", f"{count} GPUs", seed, machine, demands, rng, owned)


def weighted(count: int, seed: int) -> Instance:
    """Every running replica is a model of its own, and its move counts 1 to 100."""
    rng = seeded("F10 weights", count, seed)
    machine = churned_fleet(count, _LOAD, rng)
    slices = slices_of(machine)
    owned = records(slices, _names(slices))
    demands = [
        replace(named(s.profile, 1, name), move_cost=rng.randint(1, 100))
        for s, name in zip(slices, _names(slices), strict=True)
    ]
    demands += _arriving(machine, count // 6)
    return instance_of("F10 weights", f"{count} GPUs", seed, machine, demands, rng, owned)


def stock(count: int, seed: int) -> Instance:
    """More is wanted than fits, by priority, and an eighth more GPUs may be added."""
    rng = seeded("F10 stock", count, seed)
    machine = churned_fleet(count, _LOAD, rng)
    owned = records(slices_of(machine))
    profiles = _profiles(machine)
    spare = [empty_gpu(BOARD, count + n, rng) for n in range(max(1, count // 8))]
    running = wanted(profiles, owned, Counter())
    arriving = [
        replace(named(p.name, count // 4, f"{p.name} new"), priority=rng.randint(0, 2))
        for p in profiles
    ]
    rules = Rules(addable=frozenset(gpu.uuid for gpu in spare))
    demands = [*(replace(demand, priority=1) for demand in running), *arriving]
    return instance_of(
        "F10 stock", f"{count} GPUs", seed, [*machine, *spare], demands, rng, owned, rules
    )


def many(count: int, seed: int) -> Instance:
    """Every replica is a model of its own that accepts its own set of profiles."""
    rng = seeded("F10 many", count, seed)
    machine = churned_fleet(count, _LOAD, rng)
    slices = slices_of(machine)
    owned = records(slices, _names(slices))
    profiles = [profile.name for profile in _profiles(machine)]
    demands = [
        replace(
            _choosy(name, [slice_.profile], profiles, rng),
            move_cost=rng.randint(1, 5),
            pinned=rng.random() < 0.1,
        )
        for slice_, name in zip(slices, _names(slices), strict=True)
    ]
    arriving = [_choosy(f"new-{n}", [], profiles, rng) for n in range(count // 2)]
    return instance_of(
        "F10 many", f"{count} GPUs", seed, machine, [*demands, *arriving], rng, owned
    )


def _profiles(machine: Sequence[Gpu]) -> list[Profile]:
    """List the plain profiles of a fleet of one product."""
    return plain(geometry_of(machine[0]))


def _arriving(machine: Sequence[Gpu], each: int) -> list[Demand]:
    """Ask for some new replicas of each of the four smaller profiles."""
    return [named(p.name, each, f"{p.name} new") for p in _profiles(machine)[:4]]


def _names(slices: Iterable[Slice]) -> list[str]:
    return [f"replica-{number}" for number, _ in enumerate(slices)]


def _choosy(model: str, required: list[str], profiles: list[str], rng: random.Random) -> Demand:
    """Make a demand for one replica on any of some profiles."""
    accepted = sorted({*required, *rng.sample(profiles, rng.randint(1, 3))})
    return Demand(
        model=model, replicas=1, profiles=tuple(NamedProfile(profile=name) for name in accepted)
    )
