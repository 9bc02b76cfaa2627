"""One question to the planner, and what its facts mean, told once for every test.

Separate from the strategies because judges need it too; no code shared with the planner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a plan is made from."""

    observed: Observed
    demands: tuple[Demand, ...]
    owned: tuple[Owned, ...]
    rules: Rules = field(default_factory=Rules)

    def demand(self, model: str) -> Demand | None:
        """What a model asks for, if it asks."""
        return next((d for d in self.demands if d.model == model), None)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A slice that exists (with its GPU instance) or could be made (without)."""

    gpu_uuid: str
    profile: str
    placement: Placement
    gpu_instance_id: int | None = None


Seating = tuple[tuple[ReplicaId, Place], ...]


def geometry_of(gpu: Gpu) -> Geometry:
    """The geometry of a GPU that has one."""
    assert gpu.geometry is not None
    return gpu.geometry


def profile_of(gpu: Gpu, name: str) -> Profile:
    """A profile that the GPU offers."""
    profile = geometry_of(gpu).named(name)
    assert profile is not None
    return profile


def usable(case: Case) -> list[Gpu]:
    """GPUs on which slices of ours may lie, by index."""
    return [
        gpu
        for gpu in sorted(case.observed.gpus, key=lambda gpu: gpu.index)
        if gpu.mig is not None
        and gpu.geometry is not None
        and gpu.geometry.memory_slices > 0
        and case.rules.allow(gpu.uuid)
    ]


def ours(case: Case, gpu: Gpu) -> list[Slice]:
    """Slices of ours on a GPU, by placement."""
    keys = {record.slice for record in case.owned}
    mine = [s for s in gpu.slices if s.key in keys]
    return sorted(mine, key=lambda s: (s.placement, s.gpu_instance_id))


def foreign(case: Case, gpu: Gpu) -> list[Slice]:
    """Slices of somebody else on a GPU."""
    keys = {record.slice for record in case.owned}
    return [s for s in gpu.slices if s.key not in keys]


def keepable(case: Case, gpu: Gpu) -> list[Slice]:
    """Slices of ours on a usable GPU that could go on serving."""
    return [
        s
        for s in ours(case, gpu)
        if s.compute_instance_id is not None and geometry_of(gpu).named(s.profile) is not None
    ]


def incumbents(case: Case) -> dict[ReplicaId, Slice]:
    """Running replicas that are wanted and fit where they are, by the first place of each."""
    recorded = {record.slice: record.replica for record in case.owned}
    found: dict[ReplicaId, Slice] = {}
    for gpu in usable(case):
        for slice_ in keepable(case, gpu):
            replica = recorded[slice_.key]
            demand = case.demand(replica.model) if replica else None
            if (
                replica is not None
                and demand is not None
                and 0 <= replica.replica < demand.replicas
                and demand.accepts(profile_of(gpu, slice_.profile), gpu.name)
            ):
                found.setdefault(replica, slice_)
    return found


def price(case: Case, gpu: Gpu) -> int:
    """What a GPU in use counts."""
    if case.rules.prices is None:
        return 1
    return dict(case.rules.prices.milli_per_hour)[gpu.name]


def on(gpu: Gpu, seating: Seating) -> list[Place]:
    """The slices of ours on a GPU."""
    return [place for _, place in seating if place.gpu_uuid == gpu.uuid]


def status_quo(case: Case) -> Seating:
    """Everybody who runs stays, and nobody else comes."""
    return tuple(
        (replica, Place(s.gpu_uuid, s.profile, s.placement, s.gpu_instance_id))
        for replica, s in incumbents(case).items()
    )


def movers(case: Case, seating: Seating) -> list[ReplicaId]:
    """Running replicas that do not end on their slice."""
    seats = dict(seating)
    return [
        replica
        for replica, slice_ in incumbents(case).items()
        if seats.get(replica)
        != Place(slice_.gpu_uuid, slice_.profile, slice_.placement, slice_.gpu_instance_id)
    ]
