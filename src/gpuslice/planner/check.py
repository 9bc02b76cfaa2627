"""An independent check of a plan, before anything is shown or changed.

Separate on purpose: it shares no code with the packing. It replays the plan slice by slice with
`Geometry.allows`, the model's own statement of what is legal, compares every list of the plan with
what is observed, and has the certificate recounted (`gpuslice.planner.audit`).

Everything is looked up by GPU, slice or replica in tables made once, so the work grows with the
number of slices and no faster: a fleet of 4,096 GPUs is checked in about a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from gpuslice.errors import BadPlanError
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceKey
from gpuslice.model.plan import Demand, GpuPlan, Owned, Plan, PlannedSlice, ReplicaId, Seat
from gpuslice.planner.audit import certificate_violations
from gpuslice.planner.fingerprint import fingerprint


def check_plan(
    plan: Plan,
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    *,
    gpus: Collection[str] | None = None,
) -> None:
    """Verify that a plan is legal, complete and touches nothing that is not ours.

    Args:
        plan: The plan.
        observed: The machine it was made from.
        demands: What was asked for.
        owned: Which slices are ours.
        gpus: UUIDs of the GPUs the stack may use, as the planner was told; what the plan says of
            that is believed where it is None.

    Raises:
        BadPlanError: Every violation, one line each.
    """
    machine = {gpu.uuid: gpu for gpu in observed.gpus}
    ours = {record.slice for record in owned}
    violations = [
        *_machine_violations(plan, observed),
        *(v for gpu_plan in plan.gpus for v in _gpu_violations(gpu_plan, machine, ours)),
        *_barred_violations(plan, gpus),
        *_seat_violations(plan, machine, demands),
        *_attendance_violations(plan, demands),
    ]
    # What is not legal is not worth counting.
    violations = violations or [*certificate_violations(plan, observed, demands, owned)]
    if violations:
        raise BadPlanError(
            f"the plan breaks {len(violations)} rule(s): {violations[0]}",
            hint="Nothing was changed. Please report this, with the stack file.",
            details=tuple(violations),
        )


def _machine_violations(plan: Plan, observed: Observed) -> Iterator[str]:
    """Check that the plan speaks of this machine, and of each GPU once."""
    if plan.fingerprint != fingerprint(observed):
        yield "the plan was made from another state of the machine"
    known = {gpu.uuid for gpu in observed.gpus}
    for uuid, count in Counter(gpu_plan.gpu_uuid for gpu_plan in plan.gpus).items():
        if count > 1:
            yield f"{uuid} is planned {count} times"
        if uuid not in known:
            yield f"{uuid} is not in this machine"


def _gpu_violations(
    gpu_plan: GpuPlan, machine: Mapping[str, Gpu], ours: AbstractSet[SliceKey]
) -> Iterator[str]:
    """Check everything about one GPU."""
    gpu = machine.get(gpu_plan.gpu_uuid)
    if gpu is not None:
        yield from _list_violations(gpu_plan, gpu, ours)
        yield from _mode_violations(gpu_plan, gpu)
        yield from _layout_violations(gpu_plan, gpu)


def _list_violations(gpu_plan: GpuPlan, gpu: Gpu, ours: AbstractSet[SliceKey]) -> Iterator[str]:
    """Check that ours is kept or destroyed, foreign is foreign, and nothing is forgotten."""
    yield from _entry_violations("destroyed", gpu_plan.destroy, gpu, ours)
    yield from _entry_violations("kept", gpu_plan.keep, gpu, ours)
    theirs = {slice_.key for slice_ in gpu.slices} - ours
    yield from _entry_violations("listed as foreign", gpu_plan.foreign, gpu, theirs)
    mentioned = Counter((*gpu_plan.destroy, *gpu_plan.keep, *gpu_plan.foreign))
    for slice_ in gpu.slices:
        if mentioned[slice_] != 1:
            yield f"{_name(slice_)} is mentioned {mentioned[slice_]} times"
    for slice_ in gpu_plan.keep:
        if slice_.compute_instance_id is None:
            yield f"{_name(slice_)} is kept, but only half made"


def _entry_violations(
    what: str, slices: Iterable[Slice], gpu: Gpu, allowed: AbstractSet[SliceKey]
) -> Iterator[str]:
    """Check that the slices of one list are there and may stand in it."""
    for slice_ in slices:
        if slice_ not in gpu.slices:
            yield f"{_name(slice_)} is {what}, but not there"
        elif slice_.key not in allowed:
            yield f"{_name(slice_)} is {what}, but its owner forbids it"


def _mode_violations(gpu_plan: GpuPlan, gpu: Gpu) -> Iterator[str]:
    """Check that MIG is on where slices come, and is switched on only where it is off."""
    is_on = gpu.mig is not None and gpu.mig.current
    if gpu_plan.create and not is_on and not gpu_plan.enable_mig:
        yield f"{gpu.uuid} gets slices, but its MIG mode is off and stays off"
    if gpu_plan.enable_mig and (is_on or not gpu_plan.create or gpu.mig is None):
        yield f"{gpu.uuid} has its MIG mode switched on without need"


def _layout_violations(gpu_plan: GpuPlan, gpu: Gpu) -> Iterator[str]:
    """Lay what stays and what comes on the GPU one by one, and ask whether each is legal."""
    if gpu.geometry is None:
        if gpu_plan.create:
            yield f"{gpu.uuid} gets slices, but cannot be sliced"
        return
    lying = [(s.profile, s.placement) for s in (*gpu_plan.keep, *gpu_plan.foreign)]
    for new in gpu_plan.create:
        if new.gpu_uuid != gpu.uuid:
            yield f"{_name(new)} is created on {gpu.uuid}"
        if not gpu.geometry.allows(lying, new.profile, new.placement):
            yield f"{_name(new)} may not lie there"
        yield from _profile_violations(new, gpu.geometry)
        lying.append((new.profile, new.placement))


def _profile_violations(new: PlannedSlice, geometry: Geometry) -> Iterator[str]:
    """Check that a slice that comes carries the numbers of its profile on this GPU."""
    profile = geometry.named(new.profile)
    if profile is not None and (profile.id, profile.memory_mib) != (new.profile_id, new.memory_mib):
        yield f"{_name(new)} has the id or the memory of another profile"


def _barred_violations(plan: Plan, gpus: Collection[str] | None) -> Iterator[str]:
    """Check that nothing of ours is on a GPU that the stack may not use, and no other is barred."""
    chosen = None if gpus is None else frozenset(gpus)
    for gpu_plan in plan.gpus:
        if gpu_plan.barred and (gpu_plan.keep or gpu_plan.create):
            yield f"{gpu_plan.gpu_uuid} holds slices of ours, but may not be used"
        if chosen is not None and gpu_plan.barred == (gpu_plan.gpu_uuid in chosen):
            yield f"{gpu_plan.gpu_uuid} is barred or open against what was chosen"


def _seat_violations(
    plan: Plan, machine: Mapping[str, Gpu], demands: Sequence[Demand]
) -> Iterator[str]:
    """Check that every seat is a slice that will be there and serves its replica."""
    by_model = {demand.model: demand for demand in demands}
    remaining = [slice_ for gpu_plan in plan.gpus for slice_ in _remaining(gpu_plan)]
    there = set(remaining)
    for seat in plan.seats:
        if (seat.kept is None) == (seat.created is None):
            yield f"{seat.replica} needs exactly one slice, kept or created"
        elif seat.slice not in there:
            yield f"{seat.replica} sits on {_name(seat.slice)}, which will not be there"
        elif not _serves(seat, machine, by_model.get(seat.replica.model)):
            yield f"{seat.replica} sits on {_name(seat.slice)}, which does not serve it"
    places = Counter(_place(s.slice) for s in plan.seats if s.kept or s.created)
    for slice_ in remaining:
        if places[_place(slice_)] != 1:
            yield f"{_name(slice_)} has {places[_place(slice_)]} replicas"


def _remaining(gpu_plan: GpuPlan) -> tuple[Slice | PlannedSlice, ...]:
    """List the slices of ours that will be there in the end."""
    return (*gpu_plan.keep, *gpu_plan.create)


def _serves(seat: Seat, machine: Mapping[str, Gpu], demand: Demand | None) -> bool:
    """Tell whether the profile of a seat is one that the demand accepts on that GPU."""
    gpu = machine.get(seat.slice.gpu_uuid)
    geometry = gpu.geometry if gpu is not None else None
    profile = geometry.named(seat.slice.profile) if geometry is not None else None
    return demand is not None and profile is not None and demand.accepts(profile)


def _attendance_violations(plan: Plan, demands: Sequence[Demand]) -> Iterator[str]:
    """Check that every replica asked for is seated or unplaced, once, and no other."""
    listed = Counter([s.replica for s in plan.seats] + [u.replica for u in plan.unplaced])
    wanted = _replicas(demands)
    for replica in wanted:
        if listed[replica] != 1:
            yield f"{replica} is seated or unplaced {listed[replica]} times"
    for replica in sorted(set(listed) - set(wanted)):
        yield f"{replica} was not asked for"
    for unplaced in plan.unplaced:
        if not unplaced.reason:
            yield f"{unplaced.replica} has no slice and no reason"


def _replicas(demands: Iterable[Demand]) -> tuple[ReplicaId, ...]:
    return tuple(ReplicaId(d.model, number) for d in demands for number in range(d.replicas))


def _place(slice_: Slice | PlannedSlice) -> tuple[str, Placement]:
    return slice_.gpu_uuid, slice_.placement


def _name(slice_: Slice | PlannedSlice) -> str:
    return f"{slice_.profile} at {slice_.placement} of {slice_.gpu_uuid}"
