"""The best plan by trying everything, and the worth of any plan; no code shared with the planner.

Only for machines and demands small enough: every replica is put on nothing, on every slice of ours,
and on every place where a new slice could lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Demand, Plan, ReplicaId
from property.strategies_planner import Case

Worth = tuple[int | tuple[int, ...], ...]
"""Every objective of the planner in order, all of them less is better."""


@dataclass(frozen=True, slots=True)
class Place:
    """A slice that exists (with its GPU instance) or could be made (without)."""

    gpu_uuid: str
    profile: str
    placement: Placement
    gpu_instance_id: int | None = None


Seating = tuple[tuple[ReplicaId, Place], ...]


def best_worth(case: Case) -> Worth:
    """Try everything."""
    return min(worth(case, seating) for seating in _seatings(case))


def worth_of_plan(case: Case, made: Plan) -> Worth:
    """Judge a plan by who sits where, and by nothing else that it says of itself."""
    seating = []
    for seat in made.seats:
        there = seat.kept
        place = Place(
            seat.slice.gpu_uuid,
            seat.slice.profile,
            seat.slice.placement,
            there.gpu_instance_id if there else None,
        )
        seating.append((seat.replica, place))
    return worth(case, tuple(seating))


def worth(case: Case, seating: Seating) -> Worth:
    """Judge who sits where."""
    served = tuple(-sum(r.model == d.model for r, _ in seating) for d in case.demands)
    staying = {(r, p.gpu_uuid, p.gpu_instance_id) for r, p in seating}
    moves = sum(
        (replica, s.gpu_uuid, s.gpu_instance_id) not in staying for replica, s in _running(case)
    )
    used = {(p.gpu_uuid, p.gpu_instance_id) for _, p in seating if p.gpu_instance_id is not None}
    destroyed = sum((s.gpu_uuid, s.gpu_instance_id) not in used for s in _ours(case))
    ours = {place.gpu_uuid for _, place in seating}
    usable = _usable(case)
    whole = sum(gpu.uuid not in ours and not _foreign(case, gpu) for gpu in usable)
    switched = sum(gpu.uuid in ours and not (gpu.mig and gpu.mig.current) for gpu in usable)
    left = sum(_left(case, gpu, seating) for gpu in usable)
    compute = sum(_compute(case, place) for _, place in seating)
    memory = sum(place.placement.size for _, place in seating)
    total = sum(served)
    return (
        total,
        served,
        moves,
        destroyed,
        -whole,
        switched,
        len(ours),
        memory,
        -left,
        -compute,
    )


def _seatings(case: Case) -> Iterator[Seating]:
    """Walk every way to seat the replicas."""
    replicas = [(d, ReplicaId(d.model, n)) for d in case.demands for n in range(d.replicas)]

    def extend(number: int, seating: Seating) -> Iterator[Seating]:
        if number == len(replicas):
            yield seating
            return
        demand, replica = replicas[number]
        yield from extend(number + 1, seating)
        for place in _places(case, demand):
            if _legal(case, seating, place):
                yield from extend(number + 1, (*seating, (replica, place)))

    return extend(0, ())


def _places(case: Case, demand: Demand) -> Iterator[Place]:
    """Every slice, there or not, that would serve a demand."""
    ours = {s.key for s in _ours(case)}
    for gpu in _usable(case):
        geometry = _geometry(gpu)
        for profile in geometry.profiles:
            if demand.accepts(profile):
                for at in profile.placements:
                    yield Place(gpu.uuid, profile.name, at)
                for s in gpu.slices:
                    if s.profile == profile.name and s.key in ours and s.uuid is not None:
                        yield Place(gpu.uuid, s.profile, s.placement, s.gpu_instance_id)


def _legal(case: Case, seating: Seating, place: Place) -> bool:
    """Tell whether one more slice may lie beside somebody else's and those in use."""
    gpu = case.observed.gpu(place.gpu_uuid)
    lying = [(s.profile, s.placement) for s in _foreign(case, gpu)]
    lying += [(p.profile, p.placement) for _, p in seating if p.gpu_uuid == gpu.uuid]
    return _geometry(gpu).allows(lying, place.profile, place.placement)


def _left(case: Case, gpu: Gpu, seating: Seating) -> int:
    """Weigh what stays free on a GPU."""
    lying = [(s.profile, s.placement) for s in _foreign(case, gpu)]
    lying += [(p.profile, p.placement) for _, p in seating if p.gpu_uuid == gpu.uuid]
    geometry = _geometry(gpu)
    plain = [profile for profile in geometry.profiles if not profile.attributes]
    return sum(profile.memory_slices * geometry.free(lying, profile) for profile in plain)


def _running(case: Case) -> list[tuple[ReplicaId, Slice]]:
    """Running replicas that are wanted and fit where they are."""
    demands = {demand.model: demand for demand in case.demands}
    slices = {s.key: s for gpu in _usable(case) for s in gpu.slices if s.uuid is not None}
    found = []
    for record in case.owned:
        slice_, replica = slices.get(record.slice), record.replica
        demand = demands.get(replica.model) if replica else None
        if slice_ and replica and demand and replica.replica < demand.replicas:
            profile = _geometry(case.observed.gpu(slice_.gpu_uuid)).named(slice_.profile)
            if profile and demand.accepts(profile):
                found.append((replica, slice_))
    return found


def _compute(case: Case, place: Place) -> int:
    profile = _geometry(case.observed.gpu(place.gpu_uuid)).named(place.profile)
    assert profile is not None
    return profile.compute_slices


def _ours(case: Case) -> list[Slice]:
    keys = {record.slice for record in case.owned}
    return [s for gpu in case.observed.gpus for s in gpu.slices if s.key in keys]


def _foreign(case: Case, gpu: Gpu) -> list[Slice]:
    keys = {record.slice for record in case.owned}
    return [s for s in gpu.slices if s.key not in keys]


def _usable(case: Case) -> list[Gpu]:
    return [gpu for gpu in case.observed.gpus if case.gpus is None or gpu.uuid in case.gpus]


def _geometry(gpu: Gpu) -> Geometry:
    assert gpu.geometry is not None
    return gpu.geometry
