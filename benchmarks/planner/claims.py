"""What a rival's plan says of itself, counted from the plan, with nothing proved.

Separate because the checker wants every plan to state what it reaches, and recounts it: a rival's
plan goes through exactly what the planner's goes through. The counting here is the suite's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.planner.instance import Instance, geometry_of, running

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Certificate, Goal, GpuPlan, Method, Objective, Plan, PlannedSlice


def with_claims(instance: Instance, made: Plan) -> Plan:
    """Return the plan with a certificate that states every goal and proves none."""
    served = Counter(seat.replica.model for seat in made.seats)
    objectives = [Objective(goal=Goal.SERVED, value=len(made.seats), bound=None)]
    objectives += [
        Objective(goal=Goal.SERVED_OF_MODEL, model=d.model, value=served[d.model], bound=None)
        for d in instance.demands
    ]
    objectives += [Objective(goal=g, value=v, bound=None) for g, v in _values(instance, made)]
    claims = Certificate(
        method=Method.GREEDY,
        objectives=tuple(objectives),
        note="found by a rule that proves nothing",
    )
    return replace(made, certificate=claims)


def moves(instance: Instance, made: Plan, *, usable_only: bool = False) -> int:
    """Count running replicas that end on another slice or on none.

    Args:
        instance: The instance.
        made: The plan.
        usable_only: True to leave out those that had to go, because their GPU is drained.
    """
    gone = {gpu.uuid for gpu in instance.observed.gpus if usable_only and not instance.usable(gpu)}
    kept = {seat.replica: seat.kept for seat in made.seats}
    return sum(
        kept.get(replica) != slice_ and slice_.gpu_uuid not in gone
        for replica, slice_ in running(instance).items()
    )


def _values(instance: Instance, made: Plan) -> Iterator[tuple[Goal, int]]:
    """Yield the value of every goal behind those of serving, in order."""
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    usable = [(gpu, plans[gpu.uuid]) for gpu in instance.observed.gpus if instance.usable(gpu)]
    yield Goal.MOVED, moves(instance, made, usable_only=True)
    yield Goal.DESTROYED, sum(len(gpu_plan.destroy) for gpu_plan in made.gpus)
    yield Goal.OCCUPIED, sum(bool(_lying(gpu_plan)) for _, gpu_plan in usable)
    yield Goal.SWITCHED, 0
    yield Goal.OURS, sum(bool(gpu_plan.keep or gpu_plan.create) for _, gpu_plan in usable)
    yield Goal.MEMORY, sum(seat.slice.placement.size for seat in made.seats)
    yield Goal.ROOM, _room_left(usable)
    yield Goal.COMPUTE, _compute_given(instance, made)
    yield Goal.POSITIONS, 0


def _lying(gpu_plan: GpuPlan) -> list[tuple[str, Placement]]:
    slices: list[Slice | PlannedSlice] = [*gpu_plan.keep, *gpu_plan.create, *gpu_plan.foreign]
    return sorted((part.profile, part.placement) for part in slices)


def _room_left(usable: list[tuple[Gpu, GpuPlan]]) -> int:
    """Add up memory slices times how many still fit, weighing equal GPUs once."""
    geometries: dict[int, Geometry] = {id(gpu.geometry): geometry_of(gpu) for gpu, _ in usable}
    states = Counter((id(gpu.geometry), tuple(_lying(gpu_plan))) for gpu, gpu_plan in usable)
    return sum(
        count * profile.memory_slices * geometries[kind].free(lying, profile)
        for (kind, lying), count in states.items()
        for profile in geometries[kind].profiles
        if not profile.attributes
    )


def _compute_given(instance: Instance, made: Plan) -> int:
    sizes = {
        (gpu.uuid, profile.name): profile.compute_slices
        for gpu in instance.observed.gpus
        for profile in geometry_of(gpu).profiles
    }
    return sum(sizes[seat.slice.gpu_uuid, seat.slice.profile] for seat in made.seats)
