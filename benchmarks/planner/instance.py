"""What every method of the suite is given, and how what it chose becomes a plan.

Separate so that the planner and its rivals work on one and the same value, and so that a rival's
choice can be judged by the independent checker like any other plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import (
    Demand,
    GpuPlan,
    Owned,
    Plan,
    PlannedSlice,
    ReplicaId,
    Seat,
    Unplaced,
)
from gpuslice.planner.fingerprint import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One question put to every method.

    Attributes:
        family: Which family it is of, and which variant: ``F1 even``.
        size: How large, in words: ``64 GPUs``.
        seed: What it was drawn with; equal family, size and seed give an equal instance.
        observed: The machine.
        demands: What is wanted, most important first.
        owned: Which slices are ours, and whose replica runs on each.
        arrivals: Replicas that need a slice, in the order in which they came. All others run on a
            slice of theirs already and could stay.
        gpus: UUIDs that may be used, or None for all.
    """

    family: str
    size: str
    seed: int
    observed: Observed
    demands: tuple[Demand, ...]
    owned: tuple[Owned, ...]
    arrivals: tuple[ReplicaId, ...]
    gpus: frozenset[str] | None = None

    def usable(self, gpu: Gpu) -> bool:
        """Tell whether slices may be created on a GPU."""
        return self.gpus is None or gpu.uuid in self.gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where a method puts one replica that does not stay where it runs.

    Attributes:
        replica: The replica.
        gpu: Position of the GPU in the machine.
        profile: Profile name.
        placement: Where on the GPU.
    """

    replica: ReplicaId
    gpu: int
    profile: str
    placement: Placement


def geometry_of(gpu: Gpu) -> Geometry:
    """Return the geometry of a GPU of the suite; all of them have one."""
    assert gpu.geometry is not None, "the families use boards that can be sliced"
    return gpu.geometry


def running(instance: Instance) -> dict[ReplicaId, Slice]:
    """Say on which slice each replica runs now."""
    slices = {slice_.key: slice_ for gpu in instance.observed.gpus for slice_ in gpu.slices}
    return {
        record.replica: slices[record.slice]
        for record in instance.owned
        if record.replica is not None
    }


def as_plan(instance: Instance, chosen: Sequence[Chosen]) -> Plan:
    """Turn a method's choice into a plan; who is not in it stays, or finds no slice.

    Args:
        instance: The instance.
        chosen: One entry for each replica that gets a new slice.
    """
    lies_on = running(instance)
    moved = {choice.replica for choice in chosen} | set(instance.arrivals)
    kept = {replica: slice_ for replica, slice_ in lies_on.items() if replica not in moved}
    created = {choice.replica: _planned(instance, choice) for choice in chosen}
    seats = [Seat(replica=replica, kept=slice_) for replica, slice_ in kept.items()]
    seats += [Seat(replica=replica, created=new) for replica, new in created.items()]
    missing = sorted(set(instance.arrivals) - set(created))
    return Plan(
        gpus=_gpu_plans(instance, set(kept.values()), list(created.values())),
        seats=tuple(sorted(seats, key=lambda seat: seat.replica)),
        unplaced=tuple(Unplaced(replica=replica, reason="found no place") for replica in missing),
        fingerprint=fingerprint(instance.observed),
    )


def _planned(instance: Instance, choice: Chosen) -> PlannedSlice:
    gpu = instance.observed.gpus[choice.gpu]
    profile = geometry_of(gpu).named(choice.profile)
    assert profile is not None, "methods choose among the profiles of the GPU"
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=choice.placement,
        profile=profile.name,
        profile_id=profile.id,
        memory_mib=profile.memory_mib,
    )


def _gpu_plans(
    instance: Instance, kept: Collection[Slice], created: Sequence[PlannedSlice]
) -> tuple[GpuPlan, ...]:
    ours = {record.slice for record in instance.owned}
    coming: dict[str, list[PlannedSlice]] = {}
    for new in created:
        coming.setdefault(new.gpu_uuid, []).append(new)
    return tuple(
        replace(_gpu_plan(gpu, ours, kept, coming), barred=not instance.usable(gpu))
        for gpu in instance.observed.gpus
    )


def _gpu_plan(
    gpu: Gpu,
    ours: Collection[object],
    kept: Collection[Slice],
    coming: Mapping[str, Sequence[PlannedSlice]],
) -> GpuPlan:
    own = [slice_ for slice_ in gpu.slices if slice_.key in ours]
    return GpuPlan(
        gpu_uuid=gpu.uuid,
        destroy=tuple(slice_ for slice_ in own if slice_ not in kept),
        create=tuple(sorted(coming.get(gpu.uuid, ()))),
        keep=tuple(slice_ for slice_ in own if slice_ in kept),
        foreign=tuple(slice_ for slice_ in gpu.slices if slice_.key not in ours),
    )
