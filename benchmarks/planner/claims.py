"""What a plan reaches, goal by goal, counted by the suite with nothing proved.

Separate because the checker wants every plan to state what it reaches, and recounts it: a rival's
plan goes through exactly what the planner's goes through. The counting here is the suite's own, and
it is also how plans are compared: `standing` is a plan's value in the planner's order of goals, as
far as the cost of moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import takewhile

from benchmarks.planner.instance import Instance, geometry_of, running, served

from gpuslice.model.certificate import Certificate, Goal, Method, Objective
from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice

_COUNTED = (Goal.SERVED, Goal.SERVED_OF_MODEL, Goal.ADDED, Goal.COST, Goal.MOVED)
"""The goals by which plans are compared; they come first."""


def certificate_of(instance: Instance, made: Plan) -> Certificate:
    """State every goal of a plan and prove none."""
    prices = instance.rules.prices
    return Certificate(
        method=Method.GREEDY,
        objectives=tuple(_objectives(instance, made)),
        currency="" if prices is None else prices.currency,
        note="found by a rule that proves nothing",
    )


def standing(instance: Instance, made: Plan) -> tuple[int, ...]:
    """Return what a plan reaches in the planner's own order of goals; smaller is better."""
    counted = takewhile(lambda objective: objective.goal in _COUNTED, _objectives(instance, made))
    return tuple(-one.value if one.goal.most else one.value for one in counted)


def moves(instance: Instance, made: Plan) -> int:
    """Count running replicas that end on another slice or on none, drained GPUs included."""
    kept = {seat.replica: seat.kept for seat in made.seats}
    return sum(kept.get(replica) != slice_ for replica, slice_ in running(instance).items())


def cost(instance: Instance, made: Plan) -> int:
    """Add up the prices of the usable GPUs that hold any slice afterwards."""
    return sum(instance.price(gpu) for gpu, plan in _usable(instance, made) if lying(plan))


def lying(gpu_plan: GpuPlan) -> list[tuple[str, Placement]]:
    """List what lies on a GPU afterwards, sorted."""
    slices: list[Slice | PlannedSlice] = [*gpu_plan.keep, *gpu_plan.create, *gpu_plan.foreign]
    return sorted((part.profile, part.placement) for part in slices)


def _objectives(instance: Instance, made: Plan) -> Iterator[Objective]:
    """Yield the value of every goal, in the planner's order."""
    ordered = sorted(instance.demands, key=lambda demand: -demand.priority)
    reached = served(instance.demands, (seat.replica for seat in made.seats))
    by_priority: Counter[int] = Counter()
    for demand in ordered:
        by_priority[demand.priority] += reached[demand.model]
    for priority, value in by_priority.items():
        yield Objective(goal=Goal.SERVED, priority=priority, value=value, bound=None)
    for demand in ordered:
        value = reached[demand.model]
        yield Objective(goal=Goal.SERVED_OF_MODEL, model=demand.model, value=value, bound=None)
    for goal, value in _values(instance, made):
        yield Objective(goal=goal, value=value, bound=None)


def _values(instance: Instance, made: Plan) -> Iterator[tuple[Goal, int]]:
    """Yield the value of every goal behind those of serving, in order."""
    usable = _usable(instance, made)
    in_use = [gpu for gpu, gpu_plan in usable if lying(gpu_plan)]
    if instance.rules.addable:
        yield Goal.ADDED, sum(instance.price(gpu) for gpu in in_use if instance.addable(gpu))
    yield Goal.COST, sum(instance.price(gpu) for gpu in in_use)
    yield Goal.MOVED, _moved(instance, made)
    yield Goal.DESTROYED, sum(len(gpu_plan.destroy) for gpu_plan in made.gpus)
    yield Goal.SWITCHED, 0
    yield Goal.OURS, sum(bool(gpu_plan.keep or gpu_plan.create) for _, gpu_plan in usable)
    yield Goal.MEMORY, sum(seat.slice.placement.size for seat in made.seats)
    yield Goal.ROOM, _room_left(usable)
    yield Goal.COMPUTE, _compute_given(instance, made)


def _usable(instance: Instance, made: Plan) -> list[tuple[Gpu, GpuPlan]]:
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    return [(gpu, plans[gpu.uuid]) for gpu in instance.observed.gpus if instance.usable(gpu)]


def _moved(instance: Instance, made: Plan) -> int:
    """Add up what the moves count of those that could have stayed where they run."""
    kept = {seat.replica: seat.kept for seat in made.seats}
    cost_of = {demand.model: demand.move_cost for demand in instance.demands}
    return sum(
        cost_of[replica.model]
        for replica, slice_ in incumbents(instance).items()
        if kept.get(replica) != slice_
    )


def incumbents(instance: Instance) -> dict[ReplicaId, Slice]:
    """Say which replicas run where they could stay; all of the suite's slices are whole."""
    demands: dict[str, Demand] = {demand.model: demand for demand in instance.demands}
    usable = {gpu.uuid for gpu in instance.observed.gpus if instance.usable(gpu)}
    return {
        replica: slice_
        for replica, slice_ in running(instance).items()
        if slice_.gpu_uuid in usable and replica.replica < demands[replica.model].replicas
    }


def _room_left(usable: list[tuple[Gpu, GpuPlan]]) -> int:
    """Add up memory slices times how many still fit, weighing equal GPUs once."""
    geometries: dict[int, Geometry] = {id(gpu.geometry): geometry_of(gpu) for gpu, _ in usable}
    states = Counter((id(gpu.geometry), tuple(lying(gpu_plan))) for gpu, gpu_plan in usable)
    return sum(
        count * profile.memory_slices * geometries[kind].free(parts, profile)
        for (kind, parts), count in states.items()
        for profile in geometries[kind].profiles
        if not profile.attributes
    )


def _compute_given(instance: Instance, made: Plan) -> int:
    kinds = {gpu.uuid: gpu.geometry for gpu in instance.observed.gpus}
    sizes = {
        (id(geometry), profile.name): profile.compute_slices
        for geometry in {id(g): g for g in kinds.values() if g is not None}.values()
        for profile in geometry.profiles
    }
    taken = (seat.slice for seat in made.seats)
    return sum(sizes[id(kinds[part.gpu_uuid]), part.profile] for part in taken)
