"""What lies on a GPU as a number, and what may still be put there: the ground all rivals stand on.

Separate from the rivals so that each of them is its rule and nothing else, and none is slow for a
reason that is not its own: two GPUs with equal slices are in the same *room*, everything that is
asked about a room is computed once, and GPUs are kept by room. What is legal is asked of
`Geometry.allows`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from benchmarks.planner.instance import Chosen, Instance, geometry_of

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.plan import Demand, ReplicaId

Lying = tuple[tuple[str, Placement], ...]
"""What lies on a GPU, as (profile name, placement), sorted."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """One state of a GPU; there is only one object for equal states, so identity is equality.

    Attributes:
        geometry: What the GPU offers.
        lying: What lies on it.
    """

    geometry: Geometry
    lying: Lying

    @property
    def free(self) -> int:
        """Memory slices that nothing lies on."""
        return self.geometry.memory_slices - sum(at.size for _, at in self.lying)


class Building:
    """All rooms that were met, and the answers about them; made once for each run of a method."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[int, Lying], Room] = {}
        self.starts = cache(self._starts)
        self.after = cache(self._after)
        self.candidates = cache(self._candidates)

    def room(self, geometry: Geometry, lying: Iterable[tuple[str, Placement]]) -> Room:
        """Return the room of a state."""
        key = (id(geometry), tuple(sorted(lying, key=lambda part: (part[1], part[0]))))
        if key not in self._rooms:
            self._rooms[key] = Room(geometry, key[1])
        return self._rooms[key]

    def without(self, room: Room, part: tuple[str, Placement]) -> Room:
        """Return the room once a slice has gone."""
        return self.room(room.geometry, [other for other in room.lying if other != part])

    def _after(self, room: Room, name: str, at: Placement) -> Room:
        """Return the room once a slice has come."""
        return self.room(room.geometry, [*room.lying, (name, at)])

    def _starts(self, room: Room, name: str) -> tuple[Placement, ...]:
        """List where one more slice of a profile may lie, by start."""
        profile = room.geometry.named(name)
        if profile is None:
            return ()
        legal = (at for at in profile.placements if room.geometry.allows(room.lying, name, at))
        return tuple(sorted(legal))

    def _candidates(self, geometry: Geometry, demand: Demand) -> tuple[Profile, ...]:
        """List the profiles that serve a demand, the least first."""
        return tuple(profile for profile in geometry.profiles if demand.accepts(profile))


class Fleet:
    """The GPUs of one instance as a method fills them; each method has its own.

    Attributes:
        building: What is known about rooms.
        order: Ranks of the GPUs: the order in which the method looks at them.
    """

    def __init__(self, instance: Instance, order: Iterable[int] | None = None) -> None:
        gpus = instance.observed.gpus
        self.building = Building()
        self.order = list(range(len(gpus)) if order is None else order)
        self._rank = {gpu: rank for rank, gpu in enumerate(self.order)}
        self._room = [self.building.room(geometry_of(gpu), gpu.occupied) for gpu in gpus]
        self._members: dict[Room, list[int]] = {}
        self._usable = [instance.usable(gpu) for gpu in gpus]
        for gpu in self.usable():
            self._join(gpu)

    def usable(self) -> Iterator[int]:
        """Yield the GPUs that may be used, in the method's order."""
        return (gpu for gpu in self.order if self._usable[gpu])

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
        self._room[gpu] = self.building.after(self._room[gpu], name, at)
        self._join(gpu)
        return Chosen(replica=replica, gpu=gpu, profile=name, placement=at)

    def take(self, gpu: int, name: str, at: Placement) -> None:
        """Take a slice away."""
        self._room[gpu] = self.building.without(self._room[gpu], (name, at))
        self._join(gpu)

    def _join(self, gpu: int) -> None:
        """List a GPU under its room; where it was before, `rooms` drops it when it comes by."""
        heapq.heappush(self._members.setdefault(self._room[gpu], []), self._rank[gpu])
