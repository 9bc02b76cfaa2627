"""GPUs, and fleets of them as they look after many departures: what the families are made of.

A fleet is *churned* by filling every GPU at random places and taking slices away at random until
the wanted share of memory is left. Everything is drawn from a generator that depends on nothing
but the name, size and seed of the instance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.planner.instance import Instance, geometry_of
from benchmarks.planner.rooms import Building

from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId, Rules
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Gpu, MigMode, Observed, Slice
from gpuslice.model.plan import Owned

BOARD = "a100-80gb"
MIXES = {
    "even": (1, 1, 1, 1, 1, 1),
    "small": (10, 4, 5, 2, 1, 0),
    "middle": (3, 2, 6, 5, 3, 1),
    "large": (1, 1, 2, 6, 5, 3),
}
"""Weights of the plain profiles, from 1g to 7g."""

_REFUSALS = 8
"""A GPU counts as full when so many slices in a row found no place."""


def seeded(*key: object) -> random.Random:
    """Make a generator of numbers that depends on nothing but its key."""
    return random.Random(repr(key))


def plain(geometry: Geometry) -> list[Profile]:
    """List the profiles without media or graphics attributes, smallest first."""
    return [profile for profile in geometry.profiles if not profile.attributes]


def named(profile: str, replicas: int, model: str = "") -> Demand:
    """Ask for replicas on one profile; the model is named after it unless told otherwise."""
    named_profile = NamedProfile(profile=profile)
    return Demand(model=model or profile, replicas=replicas, profiles=(named_profile,))


def empty_gpu(key: str, index: int, rng: random.Random) -> Gpu:
    """Make an empty GPU; UUIDs are random, so that sorting by them is an order of its own."""
    known = board(key)
    return Gpu(
        index=index,
        uuid=f"GPU-{rng.getrandbits(64):016x}",
        name=known.names[0],
        architecture=known.architecture,
        memory_mib=known.memory_mib,
        pci_bus_id=f"{index:08x}:01:00.0",
        mig=MigMode(current=True, pending=True),
        geometry=known.geometry,
    )


def churned_fleet(count: int, load: float, rng: random.Random, mix: str = "middle") -> list[Gpu]:
    """Fill GPUs at random places, then take slices away until the load is reached.

    Args:
        count: How many GPUs.
        load: Share of the memory slices that stay taken.
        rng: Where chance comes from.
        mix: What the GPUs are filled with, a key of `MIXES`.
    """
    machine = [empty_gpu(BOARD, index, rng) for index in range(count)]
    building = Building()
    lying = [
        (n, *part) for n, gpu in enumerate(machine) for part in _filled(building, gpu, mix, rng)
    ]
    rng.shuffle(lying)
    taken, wanted = sum(at.size for _, _, at in lying), load * 8 * count
    while taken > wanted:
        taken -= lying.pop()[2].size
    parts: list[list[tuple[Profile, Placement]]] = [[] for _ in machine]
    for number, profile, at in lying:
        parts[number].append((profile, at))
    return [
        replace(gpu, slices=_slices(gpu, on_it)) for gpu, on_it in zip(machine, parts, strict=True)
    ]


def _filled(
    building: Building, gpu: Gpu, mix: str, rng: random.Random
) -> list[tuple[Profile, Placement]]:
    """Put slices on one GPU until several in a row found no place."""
    geometry, failures = geometry_of(gpu), 0
    room, lying = building.room(geometry, ()), []
    profiles = plain(geometry)
    while failures < _REFUSALS:
        profile = rng.choices(profiles, MIXES[mix])[0]
        legal = building.starts(room, profile.name)
        if legal:
            at = rng.choice(legal)
            lying.append((profile, at))
            room = building.after(room, profile.name, at)
        failures = 0 if legal else failures + 1
    return lying


def _slices(gpu: Gpu, lying: Iterable[tuple[Profile, Placement]]) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            gpu_uuid=gpu.uuid,
            gpu_instance_id=number + 1,
            profile=profile.name,
            placement=at,
            memory_mib=profile.memory_mib,
            compute_instance_id=0,
            uuid=f"MIG-{gpu.index}-{number + 1}",
        )
        for number, (profile, at) in enumerate(sorted(lying, key=lambda part: part[1]))
    )


def slices_of(machine: Iterable[Gpu]) -> list[Slice]:
    """List every slice of a machine."""
    return [slice_ for gpu in machine for slice_ in gpu.slices]


def records(slices: Iterable[Slice], models: Iterable[str] | None = None) -> tuple[Owned, ...]:
    """Say that slices are ours, each with the next replica of its model.

    Args:
        slices: The slices.
        models: The model on each; where it is left out, each is named after its profile.
    """
    listed = list(slices)
    names = [slice_.profile for slice_ in listed] if models is None else list(models)
    numbers: Counter[str] = Counter()
    found = []
    for slice_, name in zip(listed, names, strict=True):
        found.append(Owned(slice=slice_.key, stack="fleet", replica=ReplicaId(name, numbers[name])))
        numbers[name] += 1
    return tuple(found)


def wanted(
    profiles: Sequence[Profile], owned: Sequence[Owned], arriving: Counter[str]
) -> tuple[Demand, ...]:
    """Ask for all that runs and for what arrives, with one model for each profile."""
    there = Counter(record.replica.model for record in owned if record.replica is not None)
    return tuple(named(p.name, there[p.name] + arriving[p.name]) for p in profiles)


def instance_of(
    family: str,
    size: str,
    seed: int,
    machine: Sequence[Gpu],
    demands: Iterable[Demand],
    rng: random.Random,
    owned: tuple[Owned, ...] = (),
    rules: Rules | None = None,
) -> Instance:
    """Put an instance together; replicas without a slice arrive in random order."""
    demanded = tuple(demands)
    seated = {record.replica for record in owned}
    fixed = [demand for demand in demanded if demand.target is None]
    replicas = (ReplicaId(d.model, number) for d in fixed for number in range(d.replicas))
    waiting = [replica for replica in replicas if replica not in seated]
    rng.shuffle(waiting)
    return Instance(
        family=family,
        size=size,
        seed=seed,
        observed=Observed(gpus=tuple(machine), driver_version="580.159.04", simulated=True),
        demands=demanded,
        owned=owned,
        arrivals=tuple(waiting),
        rules=rules or Rules(),
    )
