"""What a plan of slices does that somebody has to allow by name.

Separate from the plan, which is right or wrong whoever asks for it: here it is said what it costs
others. Each hazard has a name, which is also what ``--allow`` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice
from gpuslice.model.plan import Plan
from gpuslice.planner.partition.wish import Claims

SLICES_IN_USE = "slices-in-use"
FOREIGN_SLICES = "foreign-slices"
MIG_MODE_CHANGE = "mig-mode-change"

NAMES = (SLICES_IN_USE, FOREIGN_SLICES, MIG_MODE_CHANGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """One thing that has to be allowed.

    Attributes:
        name: What ``--allow`` takes.
        text: What it is about, in a sentence.
    """

    name: str
    text: str


def hazards_of(
    plan: Plan,
    observed: Observed,
    claims: Claims,
    processes: Mapping[str, tuple[GpuProcess, ...]],
) -> tuple[Hazard, ...]:
    """List everything about a plan that has to be allowed, by GPU.

    Args:
        plan: The plan.
        observed: The machine.
        claims: Whose the slices are.
        processes: The processes on each GPU, by its UUID.
    """
    found: list[Hazard] = []
    for gpu_plan in plan.gpus:
        gpu = observed.gpu(gpu_plan.gpu_uuid)
        for slice_ in gpu_plan.destroy:
            found += _of_slice(gpu, slice_, claims, processes.get(gpu.uuid, ()))
        whole = [p for p in processes.get(gpu.uuid, ()) if p.gpu_instance_id is None]
        if whole and (gpu_plan.enable_mig or gpu_plan.disable_mig):
            ends = "on" if gpu_plan.enable_mig else "off"
            text = f"GPU {gpu.index}: used by {_who(whole)}, and MIG mode would go {ends}."
            found.append(Hazard(name=MIG_MODE_CHANGE, text=text))
    return tuple(found)


def _of_slice(
    gpu: Gpu, slice_: Slice, claims: Claims, processes: tuple[GpuProcess, ...]
) -> Iterator[Hazard]:
    what = f"GPU {gpu.index}: {slice_.profile} at {slice_.placement}"
    holders = [p for p in processes if p.gpu_instance_id == slice_.gpu_instance_id]
    if holders:
        text = f"{what} would go and is in use by {_who(holders)}."
        yield Hazard(name=SLICES_IN_USE, text=text)
    if slice_.key not in claims.ours:
        yield Hazard(name=FOREIGN_SLICES, text=f"{what} would go and was not made by gpuslice.")


def _who(processes: Sequence[GpuProcess]) -> str:
    return ", ".join(f"{p.name or 'a process'} (pid {p.pid})" for p in processes)
