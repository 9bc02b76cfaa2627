"""Rivals that look at a whole GPU at a time: nos, and vacating the least used.

Separate from the rules that place one replica after the other (`benchmarks.planner.one_by_one`).

- *nos* is nebuly-ai/nos, pkg/gpu/mig/gpu.go and node.go (`UpdateGeometryFor`) at 0140fdc: GPU after
  GPU, the geometry that provides most of the profiles still required, each counted up to what is
  required; profiles that nobody requires do not count, and what is used stays. Read and checked.
  Ties are left to chance there; here they go to more memory given. It is told one profile for each
  request, so a replica that accepts several asks for the least.
- *Vacating* is the compaction of arXiv 2409.06646, whose heuristic is rule-based. Only the abstract
  and a review could be read; that GPUs are emptied least used first, each only if all of it fits on
  others in use, is from memory and **could not be checked**.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from benchmarks.planner.instance import Chosen, Instance, running
from benchmarks.planner.one_by_one import (
    best_place,
    by_price,
    by_priority,
    largest_first,
    place_all,
)
from benchmarks.planner.rooms import Building, Fleet, Lying, Room
from benchmarks.planner.scores import fullest

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Placement

_Pending = dict[Demand, deque[ReplicaId]]
_On = dict[int, dict[ReplicaId, tuple[str, Placement]]]
"""What lies on each GPU and may be moved, by replica."""


def nos(instance: Instance) -> list[Chosen]:
    """Give each GPU in turn the layout that serves most pending replicas; ties to the fuller."""
    fleet, pending = Fleet(instance), _pending(instance)
    chosen: list[Chosen] = []

    @cache
    def takers(room: Room) -> Mapping[str, list[Demand]]:
        return _takers(fleet.building, room, pending)

    @cache
    def layouts_in(room: Room) -> list[Lying]:
        return list(layouts(fleet.building, room, frozenset(takers(room))))

    for gpu in fleet.order:
        room = fleet.room_of(gpu)
        lacking = {
            name: sum(len(pending[demand]) for demand in demands if room.takes(demand))
            for name, demands in takers(room).items()
        }
        for name, at in max(layouts_in(room), key=lambda parts: _provided(parts, lacking)):
            now = fleet.room_of(gpu)
            willing = (d for d in takers(room)[name] if pending[d] and now.takes(d))
            if demand := next(willing, None):
                chosen.append(fleet.put(pending[demand].popleft(), gpu, name, at))
    return chosen


def vacate_least_used(instance: Instance) -> list[Chosen]:
    """Place by sorted best fit, then empty GPUs, least used first, as long as all else can hold it.

    A GPU with slices of somebody else, or with a replica that has to stay, is left as it is.
    """
    fleet = Fleet(instance, by_price(instance))
    final = {c.replica: c for c in place_all(fleet, instance, largest_first(instance), fullest)}
    on = _movable(fleet, instance, final.values())
    for gpu in sorted(on, key=lambda gpu: -fleet.room_of(gpu).free):
        room = fleet.room_of(gpu)
        if room.lying and len(room.lying) == len(on[gpu]):
            for choice in _vacate(fleet, instance, gpu, on):
                final[choice.replica] = choice
    return list(final.values())


def _movable(fleet: Fleet, instance: Instance, chosen: Iterable[Chosen]) -> _On:
    """List what may be moved from each GPU: what was just placed, and what runs unpinned."""
    on: _On = {gpu: {} for gpu in fleet.order}
    number = {gpu.uuid: position for position, gpu in enumerate(instance.observed.gpus)}
    pinned = {demand.model for demand in instance.demands if demand.pinned}
    arrivals = set(instance.arrivals)
    for replica, slice_ in running(instance).items():
        gpu = number[slice_.gpu_uuid]
        if replica not in arrivals and replica.model not in pinned and gpu in on:
            on[gpu][replica] = (slice_.profile, slice_.placement)
    for choice in chosen:
        on[choice.gpu][choice.replica] = (choice.profile, choice.placement)
    return on


def _vacate(fleet: Fleet, instance: Instance, gpu: int, on: _On) -> list[Chosen]:
    """Put everything of one GPU on others that are in use, or nothing if not all of it fits."""
    demands = {demand.model: demand for demand in instance.demands}
    chosen: list[Chosen] = []
    for replica, _ in sorted(on[gpu].items(), key=lambda entry: -entry[1][1].size):
        demand = demands[replica.model]
        options = [
            (place[0], rank, place)
            for room, rank in fleet.rooms()
            if room.lying and fleet.order[rank] != gpu and room.takes(demand)
            if (place := best_place(fleet.building, room, demand, fullest))
        ]
        if not options:
            for choice in chosen:
                fleet.take(choice.replica, choice.gpu, choice.profile, choice.placement)
            return []
        _, rank, (_, at, name) = min(options)
        chosen.append(fleet.put(replica, fleet.order[rank], name, at))
    for replica, (name, at) in on[gpu].items():
        fleet.take(replica, gpu, name, at)
    on[gpu] = {}
    for choice in chosen:
        on[choice.gpu][choice.replica] = (choice.profile, choice.placement)
    return chosen


def _pending(instance: Instance) -> _Pending:
    """List for each demand the replicas that wait, demands of high priority first."""
    by_model = {demand.model: demand for demand in instance.demands}
    pending: _Pending = {}
    for replica in by_priority(instance, instance.arrivals):
        pending.setdefault(by_model[replica.model], deque()).append(replica)
    return pending


def _takers(building: Building, room: Room, pending: _Pending) -> dict[str, list[Demand]]:
    """List for each profile the demands whose least profile it is."""
    found: dict[str, list[Demand]] = {}
    for demand in pending:
        for profile in building.candidates(room, demand)[:1]:
            found.setdefault(profile.name, []).append(demand)
    return found


def layouts(building: Building, room: Room, names: frozenset[str]) -> Iterator[Lying]:
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
