"""What lies on a GPU as a number, and what may still be put there: the ground all rivals stand on.

Separate from the rivals so that each of them is its rule and nothing else, and none is slow for a
reason that is not its own: two GPUs in equal states are in the same *room*, everything that is
asked about a room is computed once, and GPUs are kept by room. What is legal is asked of
`Geometry.allows`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from benchmarks.planner.instance import Chosen, Instance, geometry_of, running

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Gpu

Lying = tuple[tuple[str, Placement], ...]
"""What lies on a GPU, as (profile name, placement), sorted."""

Tenants = tuple[tuple[str, int], ...]
"""How many replicas a GPU holds of each model that is to be spread, by model."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """One state of a GPU; there is only one object for equal states, so identity is equality.

    Attributes:
        geometry: What the GPU offers.
        lying: What lies on it.
        board: Its product name.
        tenants: Who of those that are to be spread is on it.
        absent: True for a GPU that may be added and that nobody has needed yet.
    """

    geometry: Geometry
    lying: Lying
    board: str = ""
    tenants: Tenants = ()
    absent: bool = False

    @property
    def free(self) -> int:
        """Memory slices that nothing lies on."""
        return self.geometry.memory_slices - sum(at.size for _, at in self.lying)

    def takes(self, demand: Demand) -> bool:
        """Tell whether spreading leaves room for one more replica of a demand."""
        limit = demand.most_per_gpu
        return limit is None or dict(self.tenants).get(demand.model, 0) < limit


class Building:
    """All rooms that were met, and the answers about them; made once for each run of a method."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[object, ...], Room] = {}
        self.starts = cache(self._starts)
        self.after = cache(self._after)
        self.candidates = cache(self._candidates)

    def room(self, geometry: Geometry, lying: Iterable[tuple[str, Placement]]) -> Room:
        """Return the room of a state of a GPU that is known by its geometry alone."""
        return self.like(Room(geometry, ()), lying)

    def like(
        self, room: Room, lying: Iterable[tuple[str, Placement]], tenants: Tenants = ()
    ) -> Room:
        """Return the room of an equal GPU in another state."""
        ordered = tuple(sorted(lying, key=lambda part: (part[1], part[0])))
        absent = room.absent and not ordered
        key = (id(room.geometry), room.board, ordered, tenants, absent)
        if key not in self._rooms:
            self._rooms[key] = replace(room, lying=ordered, tenants=tenants, absent=absent)
        return self._rooms[key]

    def without(self, room: Room, part: tuple[str, Placement], tenant: str = "") -> Room:
        """Return the room once a slice has gone."""
        left = [other for other in room.lying if other != part]
        return self.like(room, left, _counted(room.tenants, tenant, -1))

    def _after(self, room: Room, name: str, at: Placement, tenant: str = "") -> Room:
        """Return the room once a slice has come, of a model that is to be spread if one is told."""
        return self.like(room, [*room.lying, (name, at)], _counted(room.tenants, tenant, 1))

    def _starts(self, room: Room, name: str) -> tuple[Placement, ...]:
        """List where one more slice of a profile may lie, by start."""
        profile = room.geometry.named(name)
        if profile is None:
            return ()
        legal = (at for at in profile.placements if room.geometry.allows(room.lying, name, at))
        return tuple(sorted(legal))

    def _candidates(self, room: Room, demand: Demand) -> tuple[Profile, ...]:
        """List the profiles of a room's GPU that serve a demand, the least first."""
        return tuple(p for p in room.geometry.profiles if demand.accepts(p, room.board))


def _counted(tenants: Tenants, model: str, change: int) -> Tenants:
    """Count one tenant more or less; no model means that nobody counts."""
    if not model:
        return tenants
    counts = Counter(dict(tenants))
    counts[model] += change
    return tuple(sorted((+counts).items()))


class Fleet:
    """The GPUs of one instance as a method fills them; each method has its own.

    Attributes:
        building: What is known about rooms.
        order: Ranks of the GPUs that may be used: the order in which the method looks at them,
            with those that would have to be added last.
    """

    def __init__(self, instance: Instance, order: Iterable[int] | None = None) -> None:
        gpus = instance.observed.gpus
        given = range(len(gpus)) if order is None else order
        usable = [gpu for gpu in given if instance.usable(gpus[gpu])]
        self.building = Building()
        self.order = sorted(usable, key=lambda gpu: instance.addable(gpus[gpu]))
        self._rank = {gpu: rank for rank, gpu in enumerate(self.order)}
        self._spread = {d.model for d in instance.demands if d.most_per_gpu is not None}
        tenants = self._first_tenants(instance)
        self._room = {
            number: self._first_room(instance, gpus[number], tenants) for number in self.order
        }
        self._members: dict[Room, list[int]] = {}
        for gpu in self.order:
            self._join(gpu)

    def room_of(self, gpu: int) -> Room:
        """Return the state of a GPU."""
        return self._room[gpu]

    def rooms(self) -> list[tuple[Room, int]]:
        """List every state with the rank of its first GPU."""
        found = []
        for room, members in list(self._members.items()):
            while members and self._room[self.order[members[0]]] is not room:
                heapq.heappop(members)
            if members:
                found.append((room, members[0]))
            else:
                del self._members[room]
        return found

    def put(self, replica: ReplicaId, gpu: int, name: str, at: Placement) -> Chosen:
        """Lay one more slice on a GPU."""
        room, tenant = self._room[gpu], self._tenant(replica)
        self._room[gpu] = self.building.after(room, name, at, tenant)
        self._join(gpu)
        return Chosen(replica=replica, gpu=gpu, profile=name, placement=at)

    def take(self, replica: ReplicaId, gpu: int, name: str, at: Placement) -> None:
        """Take a slice away."""
        room, tenant = self._room[gpu], self._tenant(replica)
        self._room[gpu] = self.building.without(room, (name, at), tenant)
        self._join(gpu)

    def _tenant(self, replica: ReplicaId) -> str:
        return replica.model if replica.model in self._spread else ""

    def _first_tenants(self, instance: Instance) -> Mapping[str, Counter[str]]:
        """Count on each GPU who of those that are to be spread runs there."""
        tenants: dict[str, Counter[str]] = {}
        if self._spread:
            for replica, slice_ in running(instance).items():
                if self._tenant(replica):
                    tenants.setdefault(slice_.gpu_uuid, Counter())[replica.model] += 1
        return tenants

    def _first_room(
        self, instance: Instance, gpu: Gpu, tenants: Mapping[str, Counter[str]]
    ) -> Room:
        kind = Room(geometry_of(gpu), (), gpu.name, (), instance.addable(gpu))
        there = tuple(sorted(tenants.get(gpu.uuid, Counter()).items()))
        return self.building.like(kind, gpu.occupied, there)

    def _join(self, gpu: int) -> None:
        """List a GPU under its room; where it was before, `rooms` drops it when it comes by."""
        heapq.heappush(self._members.setdefault(self._room[gpu], []), self._rank[gpu])
