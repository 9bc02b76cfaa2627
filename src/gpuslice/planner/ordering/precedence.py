"""What has to wait for what when a plan is carried out: slices that go, slices that come.

Separate from the order, which is found on what is set up here. A slice that comes is **blocked** by
those that still lie on its GPU, are to go, and stand in its way. A slice that goes is **held** by
the replica on it until that one's new place is free: until the slice it waits for has come.

A new place may also be a slice that exists and stays. It is free once the replica on it can leave
in turn. Such a chain ends, since each slice has one replica, in a slice that comes (for which the
first of the chain then waits), in one on which nobody runs, or in itself: a **ring**.

A plan carries no geometry, so what stands in the way is judged by the two slices alone: they share
a memory slice, or their media engines exclude each other. How many instances of a plain profile a
GPU may hold needs no rule of its own: as many as its placements leave room for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice, Seat


@dataclass(slots=True, eq=False)
class Going:
    """A slice that goes. Owned by one run of `gpuslice.planner.ordering.order`.

    Attributes:
        slice: The slice.
        room: Its GPU, by number among those on which something changes.
        tenant: The replica that runs on it, or None.
        needs: What has to come before its tenant can leave, or None.
        blocks: What may not come before it has gone.
        gone: True when it has gone.
    """

    slice: Slice
    room: int
    tenant: ReplicaId | None
    needs: Coming | None = None
    blocks: list[Coming] = field(default_factory=list)
    gone: bool = False

    @property
    def held(self) -> bool:
        """True while its tenant has nowhere else to serve."""
        return self.needs is not None and not self.needs.there

    @property
    def in_its_own_way(self) -> bool:
        """True when its tenant cannot have its new slice before this one has gone."""
        return self.needs is not None and self in self.needs.blockers

    @property
    def weight(self) -> tuple[int, int]:
        """What its going would help: slices that could come at once, and that wait for it."""
        waiting = [coming.waits for coming in self.blocks]
        return waiting.count(1), len(waiting)


@dataclass(slots=True, eq=False)
class Coming:
    """A slice that comes. Owned by one run of `gpuslice.planner.ordering.order`.

    Attributes:
        planned: The slice.
        blockers: What has to go before.
        waits: How many of them still lie there.
        releases: The slice that is held until this one is there, or None.
        there: True when it has come.
    """

    planned: PlannedSlice
    blockers: list[Going]
    waits: int
    releases: Going | None = None
    there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One GPU on which slices change, each list as in the plan."""

    going: list[Going]
    coming: list[Coming]


class Moves:
    """Who leaves which slice for which. Not changed once it is made.

    Attributes:
        seats: Who sits where in the end.
        leaving: The slice on which each replica runs now that does not stay there.
    """

    def __init__(self, seats: Sequence[Seat], running: Mapping[ReplicaId, Slice]) -> None:
        """Compare where each replica sits in the end with where it runs now."""
        self.seats = {seat.replica: seat for seat in seats}
        self.leaving = {r: slice_ for r, slice_ in running.items() if not self._stays(r, slice_)}
        self._tenants = {spot(slice_): replica for replica, slice_ in self.leaving.items()}

    def tenant(self, slice_: Slice) -> ReplicaId | None:
        """The replica that runs on a slice now and is to leave it."""
        return self._tenants.get(spot(slice_))

    def needs(self, replica: ReplicaId) -> PlannedSlice | None:
        """The slice that has to come before a replica can leave its own without a pause."""
        for _ in range(len(self.leaving)):  # chains are longer only where two share a slice
            seat = self.seats.get(replica)
            if seat is None or seat.kept is None:
                return seat.created if seat is not None else None
            tenant = self.tenant(seat.kept)
            if tenant is None:
                return None
            replica = tenant
        return None

    def rings(self) -> Iterator[ReplicaId]:
        """The first replica of every ring, by name."""
        onto = {replica: self._follows(replica) for replica in self.leaving}
        seen: set[ReplicaId] = set()
        for first in sorted(onto, key=lambda r: (r.model, r.replica)):
            if first in seen:
                continue
            replica: ReplicaId | None = first
            while replica is not None and replica not in seen:
                seen.add(replica)
                replica = onto.get(replica)
            if replica == first:
                yield first

    def _stays(self, replica: ReplicaId, slice_: Slice) -> bool:
        seat = self.seats.get(replica)
        if seat is None or seat.kept is None:
            return False
        return seat.kept is slice_ or spot(seat.kept) == spot(slice_)

    def _follows(self, replica: ReplicaId) -> ReplicaId | None:
        """The replica that has to leave the slice onto which another one moves."""
        seat = self.seats.get(replica)
        return self.tenant(seat.kept) if seat is not None and seat.kept is not None else None


def set_up(gpus: Sequence[GpuPlan], moves: Moves) -> list[Room]:
    """Say for every GPU on which slices change what waits for what, with nothing done yet."""
    changing = (gpu for gpu in gpus if gpu.destroy or gpu.create)
    rooms = [_room(number, gpu, moves) for number, gpu in enumerate(changing)]
    coming = {place(c.planned): c for room in rooms for c in room.coming}
    for going in (going for room in rooms for going in room.going):
        needed = moves.needs(going.tenant) if going.tenant is not None else None
        going.needs = coming.get(place(needed)) if needed is not None else None
        if going.needs is not None:
            going.needs.releases = going
    return rooms


def place(planned: PlannedSlice) -> tuple[str, int]:
    """What identifies a slice that comes, among all that lie there in the end."""
    return planned.gpu_uuid, planned.placement.start


def spot(slice_: Slice) -> tuple[str, int]:
    """What identifies a slice that lies there now; quicker to make than its key."""
    return slice_.gpu_uuid, slice_.gpu_instance_id


def _room(number: int, gpu: GpuPlan, moves: Moves) -> Room:
    """Say for one GPU what blocks what."""
    going = [Going(slice=s, room=number, tenant=moves.tenant(s)) for s in gpu.destroy]
    coming = []
    for new in gpu.create:
        blockers = [gone for gone in going if _in_the_way(new, gone.slice)]
        coming.append(Coming(planned=new, blockers=blockers, waits=len(blockers)))
        for gone in blockers:
            gone.blocks.append(coming[-1])
    return Room(going=going, coming=coming)


def _in_the_way(new: PlannedSlice, gone: Slice) -> bool:
    """Tell whether one slice may not come while another lies there."""
    return new.placement.overlaps(gone.placement) or _engines_clash(new.profile, gone.profile)


def _engines_clash(one: str, other: str) -> bool:
    """Apply the media-engine rule: one ``+me`` per GPU; ``+me.all`` lies beside ``-me`` only.

    Source: as for `gpuslice.model.geometry.Geometry.allows`, which asks for a whole layout.
    """
    if "me" not in one and "me" not in other:
        return False
    if one.endswith("+me") and other.endswith("+me"):
        return True
    pairs = ((one, other), (other, one))
    return any(a.endswith("+me.all") and not b.endswith("-me") for a, b in pairs)
