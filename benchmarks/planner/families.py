"""Seeded instances, family by family: what the planner and its rivals are tried on.

F1 fixed profiles on empty GPUs; F2 models by memory on one to three products; F6 churned fleets
with new demands; F7 one large request on a fragmented fleet; F9 GPUs to be drained; F10 slices of
somebody else and many small demands. F3 to F5 and F8 (ParvaGPU's cases, throughput recipes, online
arrivals) have no place here yet.

A fleet is churned by filling every GPU at random places and taking slices away at random until the
wanted share of memory is left: what a fleet looks like after many departures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.planner.instance import Instance, geometry_of, running

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Gpu, MigMode, Observed, Slice
from gpuslice.model.plan import Demand, Owned, ReplicaId

BOARD = "a100-80gb"
PRODUCTS = ("a100-80gb", "a30", "h200")
MIXES = {
    "even": (1, 1, 1, 1, 1, 1),
    "small": (10, 4, 5, 2, 1, 0),
    "middle": (3, 2, 6, 5, 3, 1),
    "large": (1, 1, 2, 6, 5, 3),
}
"""Weights of the plain profiles, from 1g to 7g."""

_Lying = list[tuple[Profile, Placement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A generator with the sizes it is run at.

    Attributes:
        name: ``F1 even`` and the like.
        draw: Draws the instance of a size and a seed.
        sizes: Sizes of an ordinary run.
        large_sizes: Sizes added by ``--large``.
        seeds: Instances of each size.
    """

    name: str
    draw: Callable[[int, int], Instance]
    sizes: tuple[int, ...]
    large_sizes: tuple[int, ...] = ()
    seeds: int = 2


def fixed_profiles(mix: str, items: int, seed: int) -> Instance:
    """F1: replicas that each name a profile, on more empty GPUs than the area asks for."""
    rng = _rng("F1", mix, items, seed)
    plain = _plain(board(BOARD).geometry)
    drawn = Counter(p.name for p in rng.choices(plain, MIXES[mix], k=items))
    demands = tuple(_named(profile, drawn[profile.name]) for profile in plain)
    area = sum(drawn[profile.name] * profile.memory_slices for profile in plain)
    machine = [_gpu(BOARD, index, rng) for index in range(2 + area // 6)]
    return _instance(f"F1 {mix}", f"{items} replicas", seed, machine, demands, rng)


def by_memory(products: int, items: int, seed: int) -> Instance:
    """F2: ten models that ask for memory, on equal numbers of GPUs of each product."""
    rng = _rng("F2", products, items, seed)
    keys = PRODUCTS[:products]
    largest = max(p.memory_mib for key in keys for p in _plain(board(key).geometry))
    needs = [min(largest, int(rng.lognormvariate(9.6, 0.7))) for _ in range(10)]
    counts = Counter(rng.choices(range(10), k=items))
    demands = tuple(
        Demand(model=f"model-{n}", replicas=counts[n], memory_mib=needs[n])
        for n in range(10)
        if counts[n]
    )
    machine = [_gpu(keys[index % products], index, rng) for index in range(products * (2 + items))]
    return _instance(f"F2 {products} products", f"{items} replicas", seed, machine, demands, rng)


def churned(load: float, count: int, seed: int) -> Instance:
    """F6: a churned fleet, and new replicas for about a third of the room that is left."""
    rng = _rng("F6", load, count, seed)
    machine, owned = _churned_fleet(count, load, rng)
    plain = _plain(geometry_of(machine[0]))
    room = (1 - load) * 8 * count / 3
    arriving: Counter[str] = Counter()
    while sum(arriving[p.name] * p.memory_slices for p in plain) < room:
        arriving[rng.choices(plain, MIXES["small"])[0].name] += 1
    demands = _demands(plain, owned, arriving)
    return _instance(f"F6 {load:.0%}", f"{count} GPUs", seed, machine, demands, rng, owned)


def large_request(compute_slices: int, count: int, seed: int) -> Instance:
    """F7: one more large replica on a fleet at 60 % load."""
    rng = _rng("F7", compute_slices, count, seed)
    machine, owned = _churned_fleet(count, 0.6, rng, mix="small")
    plain = _plain(geometry_of(machine[0]))
    name = next(profile.name for profile in plain if profile.compute_slices == compute_slices)
    demands = _demands(plain, owned, Counter({name: 1}))
    family = f"F7 {compute_slices}g"
    return _instance(family, f"{count} GPUs", seed, machine, demands, rng, owned)


def drained(share: float, count: int, seed: int) -> Instance:
    """F9: some GPUs of a fleet at 60 % are not to be used any more."""
    rng = _rng("F9", share, count, seed)
    machine, owned = _churned_fleet(count, 0.6, rng)
    demands = _demands(_plain(geometry_of(machine[0])), owned, Counter())
    leaving = rng.sample(range(count), max(1, round(share * count)))
    staying = frozenset(gpu.uuid for gpu in machine if gpu.index not in leaving)
    family = f"F9 {share:.0%}"
    instance = _instance(family, f"{count} GPUs", seed, machine, demands, rng, owned)
    displaced = [r for r, s in running(instance).items() if s.gpu_uuid not in staying]
    return replace(instance, gpus=staying, arrivals=tuple(rng.sample(displaced, len(displaced))))


def pinned(load: float, count: int, seed: int) -> Instance:
    """F10: two slices of five are somebody else's, and many small replicas are wanted."""
    rng = _rng("F10", load, count, seed)
    machine, _ = _churned_fleet(count, load, rng)
    slices = [slice_ for gpu in machine for slice_ in gpu.slices]
    owned = _records(rng.sample(slices, len(slices) * 3 // 5))
    plain = _plain(geometry_of(machine[0]))
    arriving = Counter({profile.name: count // 3 for profile in plain[:3]})
    demands = _demands(plain, owned, arriving)
    return _instance(f"F10 {load:.0%}", f"{count} GPUs", seed, machine, demands, rng, owned)


def families() -> tuple[Family, ...]:
    """List every family with its sizes."""
    return (*_fresh_families(), *_fleet_families())


def _fresh_families() -> Iterator[Family]:
    for mix in MIXES:
        yield Family(
            name=f"F1 {mix}",
            draw=partial(fixed_profiles, mix),
            sizes=(10, 100, 1000),
            large_sizes=(10_000,),
        )
    for products in (1, 2, 3):
        yield Family(
            name=f"F2 {products} products",
            draw=partial(by_memory, products),
            sizes=(20, 60),
            large_sizes=(200,),
        )


def _fleet_families() -> Iterator[Family]:
    for load in (0.6, 0.9):
        yield Family(
            name=f"F6 {load:.0%}",
            draw=partial(churned, load),
            sizes=(8, 64, 512),
            large_sizes=(4096,),
        )
    for compute in (3, 4, 7):
        yield Family(
            name=f"F7 {compute}g",
            draw=partial(large_request, compute),
            sizes=(4, 8),
            large_sizes=(64,),
            seeds=8,
        )
    for share in (0.05, 0.25):
        yield Family(
            name=f"F9 {share:.0%}",
            draw=partial(drained, share),
            sizes=(8, 64),
            large_sizes=(512,),
        )
    yield Family(
        name="F10 60%",
        draw=partial(pinned, 0.6),
        sizes=(8, 64),
        large_sizes=(512,),
    )


def _rng(*key: object) -> random.Random:
    """Make a generator of numbers that depends on nothing but its key."""
    return random.Random(repr(key))


def _plain(geometry: Geometry) -> list[Profile]:
    return [profile for profile in geometry.profiles if not profile.attributes]


def _named(profile: Profile, replicas: int) -> Demand:
    return Demand(model=profile.name, replicas=replicas, profile=profile.name)


def _gpu(key: str, index: int, rng: random.Random) -> Gpu:
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


def _churned_fleet(
    count: int, load: float, rng: random.Random, mix: str = "middle"
) -> tuple[list[Gpu], tuple[Owned, ...]]:
    """Fill GPUs at random places, then take slices away until the load is reached; all are ours."""
    machine = [_gpu(BOARD, index, rng) for index in range(count)]
    lying = [(n, *part) for n, gpu in enumerate(machine) for part in _filled(gpu, mix, rng)]
    rng.shuffle(lying)
    while sum(at.size for _, _, at in lying) > load * 8 * count:
        lying.pop()
    machine = [
        replace(gpu, slices=_slices(gpu, [(p, at) for n, p, at in lying if n == number]))
        for number, gpu in enumerate(machine)
    ]
    return machine, _records([slice_ for gpu in machine for slice_ in gpu.slices])


def _filled(gpu: Gpu, mix: str, rng: random.Random) -> _Lying:
    """Put slices on one GPU until eight in a row found no place."""
    geometry, lying, failures = geometry_of(gpu), _Lying(), 0
    plain = _plain(geometry)
    while failures < 8:
        profile = rng.choices(plain, MIXES[mix])[0]
        occupied = [(other.name, at) for other, at in lying]
        legal = [at for at in profile.placements if geometry.allows(occupied, profile.name, at)]
        if legal:
            lying.append((profile, rng.choice(legal)))
        failures = 0 if legal else failures + 1
    return lying


def _slices(gpu: Gpu, lying: _Lying) -> tuple[Slice, ...]:
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


def _records(slices: Sequence[Slice]) -> tuple[Owned, ...]:
    """Say that slices are ours, each with a replica of the model named after its profile."""
    numbers: Counter[str] = Counter()
    records = []
    for slice_ in slices:
        replica = ReplicaId(slice_.profile, numbers[slice_.profile])
        numbers[slice_.profile] += 1
        records.append(Owned(slice=slice_.key, stack="fleet", replica=replica))
    return tuple(records)


def _demands(
    plain: Sequence[Profile], owned: Sequence[Owned], arriving: Counter[str]
) -> tuple[Demand, ...]:
    """Ask for all that runs and for what arrives; numbers are those of the records and beyond."""
    highest: Counter[str] = Counter()
    for record in owned:
        assert record.replica is not None
        model, number = record.replica.model, record.replica.replica
        highest[model] = max(highest[model], number + 1)
    wanted = {profile.name: highest[profile.name] + arriving[profile.name] for profile in plain}
    return tuple(_named(profile, wanted[profile.name]) for profile in plain)


def _instance(
    family: str,
    size: str,
    seed: int,
    machine: Sequence[Gpu],
    demands: tuple[Demand, ...],
    rng: random.Random,
    owned: tuple[Owned, ...] = (),
) -> Instance:
    """Put an instance together; replicas without a slice arrive in random order."""
    seated = {record.replica for record in owned}
    replicas = (ReplicaId(d.model, number) for d in demands for number in range(d.replicas))
    waiting = [replica for replica in replicas if replica not in seated]
    rng.shuffle(waiting)
    return Instance(
        family=family,
        size=size,
        seed=seed,
        observed=Observed(gpus=tuple(machine), driver_version="580.159.04", simulated=True),
        demands=demands,
        owned=owned,
        arrivals=tuple(waiting),
    )
