"""An independent check of a plan of slices, before anything is shown or changed.

It shares no code with the search: the final state is put together again and counted, and the steps
are replayed one by one, as for a plan of a stack (`gpuslice.planner.checking.order`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gpuslice.errors import BadPlanError
from gpuslice.model.demand import Rules
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice
from gpuslice.planner.checking.facts import gather
from gpuslice.planner.checking.order import step_violations
from gpuslice.planner.ordering.steps import steps
from gpuslice.planner.partition.wish import GpuWish, PlacedSlice, counted, devices_of


def check_partition(plan: Plan, observed: Observed, wishes: Sequence[GpuWish] = ()) -> None:
    """Verify that a plan of slices is legal, can be carried out, and ends as wished.

    Args:
        plan: The plan.
        observed: The machine it is to be carried out on.
        wishes: What is asked for; GPUs without a wish are checked for legality only.

    Raises:
        BadPlanError: Every violation, one line each.
    """
    wished = {wish.gpu_uuid: wish for wish in wishes}
    violations = list(_violations(plan, observed, wished))
    if not violations:
        facts = gather(observed, (), (), Rules())
        violations = list(step_violations(plan, steps(plan), facts))
    if violations:
        raise BadPlanError(
            f"the plan breaks {len(violations)} rule(s): {violations[0]}",
            hint="Nothing was changed. Please report this, with `gpuslice slices list --json`.",
            details=tuple(violations),
        )


def _violations(plan: Plan, observed: Observed, wished: dict[str, GpuWish]) -> Iterator[str]:
    machine = {gpu.uuid: gpu for gpu in observed.gpus}
    planned = Counter(gpu_plan.gpu_uuid for gpu_plan in plan.gpus)
    yield from (f"{uuid} is planned {n} times" for uuid, n in planned.items() if n > 1)
    yield from (f"{uuid} is wished for and not planned" for uuid in wished if uuid not in planned)
    if plan.seats:
        yield "somebody sits on a slice"
    for gpu_plan in plan.gpus:
        gpu = machine.get(gpu_plan.gpu_uuid)
        if gpu is None:
            yield f"{gpu_plan.gpu_uuid} is not in this machine"
            continue
        yield from _mention_violations(gpu_plan, gpu)
        if (wish := wished.get(gpu.uuid)) is not None:
            yield from _wish_violations(gpu_plan, gpu, wish)


def _mention_violations(gpu_plan: GpuPlan, gpu: Gpu) -> Iterator[str]:
    """Check that every slice that is there stays or goes, and nothing else does."""
    mentioned = Counter((*gpu_plan.keep, *gpu_plan.foreign, *gpu_plan.destroy))
    for slice_ in gpu.slices:
        if mentioned[slice_] != 1:
            what = f"{slice_.profile} at {slice_.placement} of GPU {gpu.index}"
            yield f"{what} is mentioned {mentioned[slice_]} times"
    for slice_ in mentioned:
        if slice_ not in gpu.slices:
            yield f"{slice_.profile} at {slice_.placement} is not on GPU {gpu.index}"


def _wish_violations(gpu_plan: GpuPlan, gpu: Gpu, wish: GpuWish) -> Iterator[str]:
    final: list[Slice | PlannedSlice] = [*gpu_plan.keep, *gpu_plan.foreign, *gpu_plan.create]
    on = gpu.mig is not None and gpu.mig.current
    if ((on or gpu_plan.enable_mig) and not gpu_plan.disable_mig) != wish.mig_on:
        yield f"MIG mode of GPU {gpu.index} ends another way than it is wished"
    if wish.placed is not None:
        if Counter(map(_placed, final)) != Counter(map(_placed, wish.placed)):
            yield f"GPU {gpu.index} does not end with the slices of the checkpoint"
        return
    ends: Counter[object] = Counter()
    for slice_ in final:
        ends.update(devices_of(slice_))
    if ends != Counter(wish.devices):
        yield f"GPU {gpu.index} does not end with {counted(wish.devices)}"


def _placed(slice_: Slice | PlannedSlice | PlacedSlice) -> tuple[object, ...]:
    """What a slice is, wherever it is written."""
    parts = slice_.parts
    sizes = sorted(p if isinstance(p, int) else p.compute_slices for p in parts)
    return slice_.profile, slice_.placement, tuple(sizes)
