"""Rivals that look at a whole GPU at a time: nos, MIG-Serving's greedy, and vacating.

Separate from the rules that place one replica after the other (`benchmarks.planner.one_by_one`).

Sources: nos is nebuly-ai/nos, pkg/gpu/mig, `UpdateGeometryFor`; MIG-Serving is arXiv 2109.11067,
its fast algorithm, with replicas in place of throughput; vacating is the compaction rule of
arXiv 2409.06646.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from benchmarks.planner.instance import Chosen, Instance, running
from benchmarks.planner.one_by_one import best_place, fullest, largest_first, place_all
from benchmarks.planner.rooms import Building, Fleet, Lying, Room

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.plan import Demand, ReplicaId

_Pending = dict[Demand, deque[ReplicaId]]
_Staffed = list[tuple[str, Placement, str]]
"""Slices of a configuration, each with the model that gets it."""


def nos(instance: Instance) -> list[Chosen]:
    """Give each GPU in turn the layout that serves most pending replicas; ties to the fuller."""
    fleet, pending = Fleet(instance), _pending(instance)
    names = cache(lambda geometry: _least_names(fleet.building, geometry, tuple(pending)))
    layouts = cache(
        lambda room: list(_layouts(fleet.building, room, frozenset(names(room.geometry).values())))
    )
    chosen = []
    for gpu in fleet.usable():
        room = fleet.room_of(gpu)
        lacking: Counter[str] = Counter()
        for demand, name in names(room.geometry).items():
            lacking[name] += len(pending[demand])
        for name, at in max(layouts(room), key=lambda parts: _provided(parts, lacking)):
            for demand in (d for d, n in names(room.geometry).items() if n == name and pending[d]):
                chosen.append(fleet.put(pending[demand].popleft(), gpu, name, at))
                break
    return chosen


def mig_serving_greedy(instance: Instance) -> list[Chosen]:
    """Configure one GPU after the other, each time with the configuration of the highest score.

    A slice scores what is still missing of its model, as a share, times the share that one slice
    provides; a configuration scores the sum, its slices going to the models that need them most.
    """
    fleet, pending = Fleet(instance), _pending(instance)
    layouts = cache(lambda room: list(_layouts(fleet.building, room, _any_names(room, pending))))
    total = {demand.model: len(replicas) for demand, replicas in pending.items()}
    queues = {demand.model: replicas for demand, replicas in pending.items()}
    chosen: list[Chosen] = []
    while any(queues.values()):
        left = {model: len(replicas) for model, replicas in queues.items()}
        worth = {model: left[model] / total[model] ** 2 for model in left}
        options = []
        for room, rank in fleet.rooms():
            takers = _takers(room, pending, worth)
            options += [(*_staff(parts, takers, left, worth), -rank) for parts in layouts(room)]
        _, parts, rank = max(options, key=lambda option: (option[0], option[2]))
        if not parts:
            break
        for name, at, model in parts:
            chosen.append(fleet.put(queues[model].popleft(), fleet.order[-rank], name, at))
    return chosen


def vacate_least_used(instance: Instance) -> list[Chosen]:
    """Place by sorted best fit, then empty GPUs, least used first, as long as all else can hold it.

    A GPU with slices of somebody else cannot be emptied and is left as it is.
    """
    fleet = Fleet(instance)
    chosen = place_all(fleet, instance, largest_first(instance), fullest)
    on: dict[int, dict[ReplicaId, tuple[str, Placement]]] = {gpu: {} for gpu in fleet.usable()}
    number = {gpu.uuid: position for position, gpu in enumerate(instance.observed.gpus)}
    for replica, slice_ in running(instance).items():
        if replica not in instance.arrivals and number[slice_.gpu_uuid] in on:
            on[number[slice_.gpu_uuid]][replica] = (slice_.profile, slice_.placement)
    for choice in chosen:
        on[choice.gpu][choice.replica] = (choice.profile, choice.placement)
    final = {choice.replica: choice for choice in chosen}
    for gpu in sorted(on, key=lambda gpu: -fleet.room_of(gpu).free):
        room = fleet.room_of(gpu)
        if room.lying and len(room.lying) == len(on[gpu]):
            for choice in _vacate(fleet, instance, gpu, on):
                final[choice.replica] = choice
    return list(final.values())


def _vacate(
    fleet: Fleet,
    instance: Instance,
    gpu: int,
    on: dict[int, dict[ReplicaId, tuple[str, Placement]]],
) -> list[Chosen]:
    """Put everything of one GPU on others that are in use, or nothing if not all of it fits."""
    demands = {demand.model: demand for demand in instance.demands}
    by_size = sorted(on[gpu].items(), key=lambda entry: -entry[1][1].size)
    chosen: list[Chosen] = []
    for replica, _ in by_size:
        options = [
            (place[0], rank, place)
            for room, rank in fleet.rooms()
            if room.lying and fleet.order[rank] != gpu
            if (place := best_place(fleet.building, room, demands[replica.model], fullest))
        ]
        if not options:
            for choice in chosen:
                fleet.take(choice.gpu, choice.profile, choice.placement)
            return []
        _, rank, (_, at, name) = min(options)
        chosen.append(fleet.put(replica, fleet.order[rank], name, at))
    for name, at in on[gpu].values():
        fleet.take(gpu, name, at)
    on[gpu] = {}
    for choice in chosen:
        on[choice.gpu][choice.replica] = (choice.profile, choice.placement)
    return chosen


def _pending(instance: Instance) -> _Pending:
    """List for each demand the replicas that wait, in order of arrival."""
    pending: _Pending = {demand: deque() for demand in instance.demands}
    by_model = {demand.model: demand for demand in instance.demands}
    for replica in instance.arrivals:
        pending[by_model[replica.model]].append(replica)
    return {demand: replicas for demand, replicas in pending.items() if replicas}


def _least_names(
    building: Building, geometry: Geometry, demands: tuple[Demand, ...]
) -> dict[Demand, str]:
    """Name the least profile of a product for each demand it can serve."""
    found = {demand: building.candidates(geometry, demand) for demand in demands}
    return {demand: profiles[0].name for demand, profiles in found.items() if profiles}


def _any_names(room: Room, pending: _Pending) -> frozenset[str]:
    """Name every profile of a product that some demand accepts."""
    return frozenset(p.name for p in room.geometry.profiles if any(d.accepts(p) for d in pending))


def _layouts(building: Building, room: Room, names: frozenset[str]) -> Iterator[Lying]:
    """Yield one layout for each multiset of slices that could come, the empty one included."""
    seen: set[tuple[str, ...]] = set()

    def extend(now: Room, parts: Lying, least: int) -> Iterator[Lying]:
        multiset = tuple(sorted(name for name, _ in parts))
        if multiset not in seen:
            seen.add(multiset)
            yield parts
        for name in sorted(names):
            for at in building.starts(now, name):
                if at.start >= least:
                    yield from extend(building.after(now, name, at), (*parts, (name, at)), at.end)

    return extend(room, (), 0)


def _provided(parts: Lying, lacking: Mapping[str, int]) -> tuple[int, int]:
    """Count the lacking replicas a layout serves, then the memory slices it gives them."""
    counts = Counter(name for name, _ in parts)
    sizes = {name: at.size for name, at in parts}
    useful = {name: min(count, lacking[name]) for name, count in counts.items()}
    return sum(useful.values()), sum(sizes[name] * count for name, count in useful.items())


def _takers(room: Room, pending: _Pending, worth: Mapping[str, float]) -> dict[str, list[str]]:
    """List for each profile the models that accept it, the neediest first."""
    return {
        profile.name: sorted(
            (demand.model for demand in pending if demand.accepts(profile)),
            key=lambda model: -worth[model],
        )
        for profile in room.geometry.profiles
    }


def _staff(
    parts: Lying,
    takers: Mapping[str, list[str]],
    left: Mapping[str, int],
    worth: Mapping[str, float],
) -> tuple[float, _Staffed]:
    """Give each slice of a layout to the model it helps most; return the score and the slices."""
    given, score, staffed = dict.fromkeys(left, 0), 0.0, _Staffed()
    for name, at in parts:
        for model in takers[name]:
            if given[model] < left[model]:
                given[model] += 1
                score += worth[model]
                staffed.append((name, at, model))
                break
    return score, staffed


REARRANGING: Mapping[str, Callable[[Instance], list[Chosen]]] = {
    "nos": nos,
    "MIG-Serving greedy": mig_serving_greedy,
    "vacate least used": vacate_least_used,
}
"""Every rule by the name the table gives it."""

_FRESH_ONLY = {"MIG-Serving greedy"}
_DRAIN_ONLY = {"vacate least used"}


def applies(name: str, instance: Instance) -> bool:
    """Tell whether a rival is made for a family: its paper's setting, nothing less."""
    if name in _FRESH_ONLY:
        return instance.family.startswith(("F1 ", "F2 "))
    return name not in _DRAIN_ONLY or instance.family.startswith("F9")
