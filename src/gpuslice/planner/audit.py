"""A certificate recounted from outside: does the plan really have what its proof says of it?

Separate from the rest of the check because it counts where that one forbids, and like it shares no
code with the packing. Values are counted from the lists of the plan and from the observed machine;
bounds cannot be proved again here, but one that a value exceeds is no bound. The tie between
positions is the one goal that is not recounted: it is not a property of the plan alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceKey
from gpuslice.model.plan import (
    Demand,
    Goal,
    GpuPlan,
    Objective,
    Owned,
    Plan,
    PlannedSlice,
    ReplicaId,
)

_Layout = tuple[tuple[str, Placement], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recount:
    """Everything that the counting needs, made once.

    Attributes:
        plan: The plan.
        demands: What was asked for.
        machine: Every GPU by UUID.
        usable: Each GPU that the stack may use, with what happens on it.
        running: The slice on which each replica runs that could stay where it is.
    """

    plan: Plan
    demands: Sequence[Demand]
    machine: dict[str, Gpu]
    usable: tuple[tuple[Gpu, GpuPlan], ...]
    running: dict[ReplicaId, SliceKey]


def certificate_violations(
    plan: Plan,
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
) -> Iterator[str]:
    """Recount every goal of a legal plan, and compare.

    Args:
        plan: A plan that breaks no other rule.
        observed: The machine it was made from.
        demands: What was asked for.
        owned: Which slices are ours, and whose replicas run on them.

    Yields:
        One line for everything that is wrong.
    """
    asked = any(demand.replicas for demand in demands)
    if plan.certificate is None or not asked:
        if asked or plan.certificate is not None:
            yield "the plan has a certificate for nothing, or none for something"
        return
    counted = _count(_recount(plan, observed, demands, owned))
    stated = {(o.goal, o.model): o for o in plan.certificate.objectives}
    if list(stated) != [*counted, (Goal.POSITIONS, "")]:
        yield "the certificate does not list every goal once, in order"
        return
    for key, value in counted.items():
        if stated[key].value != value:
            yield f"the certificate says {_text(stated[key])}, but the plan has {value}"
    for objective in plan.certificate.objectives:
        if not _consistent(objective):
            yield f"the certificate says {_text(objective)}, beyond its bound {objective.bound}"


def _text(objective: Objective) -> str:
    """Write a goal and its value."""
    model = f" ({objective.model})" if objective.model else ""
    return f"{objective.goal}{model}: {objective.value}"


def _consistent(objective: Objective) -> bool:
    """Tell whether a value is on the right side of its bound."""
    if objective.bound is None:
        return True
    if objective.goal.most:
        return objective.value <= objective.bound
    return objective.value >= objective.bound


def _recount(
    plan: Plan,
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
) -> _Recount:
    """Make the tables."""
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in plan.gpus}
    usable = tuple(
        (gpu, plans[gpu.uuid])
        for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index)
        if gpu.uuid in plans and not plans[gpu.uuid].barred
    )
    return _Recount(
        plan=plan,
        demands=demands,
        machine={gpu.uuid: gpu for gpu in observed.gpus},
        usable=usable,
        running=_running([gpu for gpu, _ in usable], demands, owned),
    )


def _running(
    gpus: Sequence[Gpu], demands: Sequence[Demand], owned: Sequence[Owned]
) -> dict[ReplicaId, SliceKey]:
    """Find where each replica runs that is wanted and could stay; the first place counts."""
    replicas = {record.slice: record.replica for record in owned}
    by_model = {demand.model: demand for demand in demands}
    found: dict[ReplicaId, SliceKey] = {}
    for gpu in gpus:
        for slice_ in gpu.slices:
            replica = replicas.get(slice_.key)
            profile = gpu.geometry.named(slice_.profile) if gpu.geometry is not None else None
            if replica is None or profile is None or slice_.compute_instance_id is None:
                continue
            demand = by_model.get(replica.model)
            if demand and 0 <= replica.replica < demand.replicas and demand.accepts(profile):
                found.setdefault(replica, slice_.key)
    return found


def _count(recount: _Recount) -> dict[tuple[Goal, str], int]:
    """Count every goal, in order."""
    plan, usable = recount.plan, recount.usable
    served = Counter(seat.replica.model for seat in plan.seats)
    kept = {seat.replica: seat.kept.key for seat in plan.seats if seat.kept is not None}
    by_model = {(Goal.SERVED_OF_MODEL, d.model): served[d.model] for d in recount.demands}
    return {
        (Goal.SERVED, ""): len(plan.seats),
        **by_model,
        (Goal.MOVED, ""): sum(kept.get(r) != key for r, key in recount.running.items()),
        (Goal.DESTROYED, ""): sum(len(gpu_plan.destroy) for gpu_plan in plan.gpus),
        (Goal.OCCUPIED, ""): sum(bool(p.keep or p.create or p.foreign) for _, p in usable),
        (Goal.SWITCHED, ""): sum(p.enable_mig for _, p in usable),
        (Goal.OURS, ""): sum(bool(p.keep or p.create) for _, p in usable),
        (Goal.MEMORY, ""): sum(seat.slice.placement.size for seat in plan.seats),
        (Goal.ROOM, ""): _room(recount),
        (Goal.COMPUTE, ""): _compute(recount),
    }


def _room(recount: _Recount) -> int:
    """Weigh what is left free; equal layouts of equal boards are weighed once."""
    layouts: Counter[tuple[Geometry, _Layout]] = Counter()
    for gpu, gpu_plan in recount.usable:
        if gpu.geometry is None:
            continue
        lying: tuple[Slice | PlannedSlice, ...]
        lying = (*gpu_plan.keep, *gpu_plan.create, *gpu_plan.foreign)
        layouts[gpu.geometry, tuple(sorted((s.profile, s.placement) for s in lying))] += 1
    return sum(count * _left(*layout) for layout, count in layouts.items())


def _left(geometry: Geometry, lying: _Layout) -> int:
    """Weigh what is left free on one GPU: memory slices times how many still fit."""
    plain = (profile for profile in geometry.profiles if not profile.attributes)
    return sum(profile.memory_slices * geometry.free(lying, profile) for profile in plain)


def _compute(recount: _Recount) -> int:
    """Add up the compute slices of every seat."""
    total = 0
    for seat in recount.plan.seats:
        geometry = recount.machine[seat.slice.gpu_uuid].geometry
        profile = geometry.named(seat.slice.profile) if geometry is not None else None
        assert profile is not None, "a legal plan seats replicas on profiles its GPUs offer"
        total += profile.compute_slices
    return total
