"""Is every GPU of a plan this machine's, and is what happens on it legal there?

Separate from who sits where: this part knows slices, and no replicas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice
from gpuslice.planner.checking.catalogue import Catalogue, layout_of, part_of
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.fingerprint import fingerprint


def gpu_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check the state a plan was made from, its list of GPUs, and each GPU of it.

    Args:
        plan: The plan.
        facts: What it is checked against.

    Yields:
        One line for everything that is wrong.
    """
    if plan.fingerprint != fingerprint(facts.observed):
        yield "the plan was made from another state of the machine"
    yield from _attendance_violations(plan, facts)
    for gpu_plan in plan.gpus:
        gpu = facts.machine.get(gpu_plan.gpu_uuid)
        if gpu is not None:
            yield from _list_violations(gpu_plan, gpu, facts)
            yield from _mode_violations(gpu_plan, gpu)
            yield from _layout_violations(gpu_plan, gpu, facts.catalogue)
            yield from _barred_violations(gpu_plan, gpu.uuid in facts.usable)


def _attendance_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that the plan has every GPU that matters, each once, and no other machine's."""
    planned = Counter(gpu_plan.gpu_uuid for gpu_plan in plan.gpus)
    for uuid, count in planned.items():
        if count > 1:
            yield f"{uuid} is planned {count} times"
        if uuid not in facts.machine:
            yield f"{uuid} is not in this machine"
    for uuid in facts.machine:
        if uuid not in planned and (uuid in facts.usable or uuid in facts.own):
            yield f"{uuid} is not in the plan"


def _list_violations(gpu_plan: GpuPlan, gpu: Gpu, facts: Facts) -> Iterator[str]:
    """Check that ours is kept or destroyed, foreign is foreign, and nothing is forgotten."""
    own, foreign = facts.own.get(gpu.uuid, ()), facts.foreign.get(gpu.uuid, ())
    kept_or_gone = sorted((*gpu_plan.keep, *gpu_plan.destroy), key=_instance)
    # Comparing whole lists is many times as quick, and nearly always all there is to do.
    if kept_or_gone != sorted(own, key=_instance) or gpu_plan.foreign != foreign:
        yield from _entry_violations("destroyed", gpu_plan.destroy, gpu, own)
        yield from _entry_violations("kept", gpu_plan.keep, gpu, own)
        yield from _entry_violations("listed as foreign", gpu_plan.foreign, gpu, foreign)
        mentioned = (*gpu_plan.destroy, *gpu_plan.keep, *gpu_plan.foreign)
        for slice_ in gpu.slices:
            count = mentioned.count(slice_)
            if count != 1:
                yield f"{name(slice_)} is mentioned {count} times"
    for slice_ in gpu_plan.keep:
        if slice_.compute_instance_id is None:
            yield f"{name(slice_)} is kept, but only half made"


def _instance(slice_: Slice) -> int:
    return slice_.gpu_instance_id


def _entry_violations(
    what: str, slices: Sequence[Slice], gpu: Gpu, allowed: Sequence[Slice]
) -> Iterator[str]:
    """Check that the slices of one list are there and may stand in it."""
    for slice_ in slices:
        if slice_ not in gpu.slices:
            yield f"{name(slice_)} is {what}, but not there"
        elif slice_ not in allowed:
            yield f"{name(slice_)} is {what}, but its owner forbids it"


def _mode_violations(gpu_plan: GpuPlan, gpu: Gpu) -> Iterator[str]:
    """Check that MIG is on where slices come, and is switched on only where it is off."""
    is_on = gpu.mig is not None and gpu.mig.current
    if gpu_plan.create and not is_on and not gpu_plan.enable_mig:
        yield f"{gpu.uuid} gets slices, but its MIG mode is off and stays off"
    if gpu_plan.enable_mig and (is_on or not gpu_plan.create or gpu.mig is None):
        yield f"{gpu.uuid} has its MIG mode switched on without need"


def _layout_violations(gpu_plan: GpuPlan, gpu: Gpu, catalogue: Catalogue) -> Iterator[str]:
    """Lay what stays and what comes on the GPU one by one, and ask whether each is legal."""
    if not gpu_plan.create:
        return
    if gpu.geometry is None:
        yield f"{gpu.uuid} gets slices, but cannot be sliced"
        return
    lying = layout_of((*gpu_plan.keep, *gpu_plan.foreign))
    for new in gpu_plan.create:
        if new.gpu_uuid != gpu.uuid:
            yield f"{name(new)} is created on {gpu.uuid}"
        if not catalogue.allows(gpu.geometry, lying, part_of(new)):
            yield f"{name(new)} may not lie there"
        profile = catalogue.profile(gpu, new.profile)
        if profile and (profile.id, profile.memory_mib) != (new.profile_id, new.memory_mib):
            yield f"{name(new)} has the id or the memory of another profile"
        lying = tuple(sorted((*lying, part_of(new))))


def _barred_violations(gpu_plan: GpuPlan, usable: bool) -> Iterator[str]:
    """Check that exactly the GPUs that may not be used are barred, and hold nothing of ours."""
    if gpu_plan.barred == usable:
        yield f"{gpu_plan.gpu_uuid} is barred or open against the rules"
    if not usable and (gpu_plan.keep or gpu_plan.create):
        yield f"{gpu_plan.gpu_uuid} holds slices of ours, but may not be used"


def name(slice_: Slice | PlannedSlice) -> str:
    """Write which slice is meant."""
    return f"{slice_.profile} at {slice_.placement} of {slice_.gpu_uuid}"
