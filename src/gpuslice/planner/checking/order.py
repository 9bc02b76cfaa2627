"""Can the steps of a plan be carried out, each when its turn comes, and do they reach the plan?

Separate because everything else looks at the final state only. The order is that of
`gpuslice.planner.ordering.steps`, which is what is tested here: it is replayed on what is observed.

What is legal on a GPU depends on that GPU alone, so each is replayed by itself, with its own steps
in their order; the work grows with the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice
from gpuslice.planner.checking.catalogue import Catalogue, Part, part_of
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.gpus import name
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    gpu_of,
)

_Whom = dict[PlannedSlice, ReplicaId]


def step_violations(plan: Plan, order: Sequence[Step], facts: Facts) -> Iterator[str]:
    """Replay the steps of a plan that is legal in the end.

    Args:
        plan: The plan.
        order: Its steps, as they would be carried out.
        facts: What it is checked against.

    Yields:
        One line for every step that is not legal at its moment, is not of the plan or is missing.
    """
    by_gpu: dict[str, list[Step]] = {}
    for step in order:
        by_gpu.setdefault(gpu_of(step), []).append(step)
    whom = {seat.created: seat.replica for seat in plan.seats if seat.created is not None}
    for gpu_plan in plan.gpus:
        own_steps = by_gpu.pop(gpu_plan.gpu_uuid, ())
        if own_steps or gpu_plan.changes:
            gpu = facts.machine[gpu_plan.gpu_uuid]
            yield from _Replay(gpu, gpu_plan, facts.catalogue).run(own_steps, whom)
    for uuid in by_gpu:
        yield f"a step is on {uuid}, which the plan does not have"


class _Replay:
    """One GPU while steps are carried out on it; owned by `step_violations`."""

    def __init__(self, gpu: Gpu, gpu_plan: GpuPlan, catalogue: Catalogue) -> None:
        self._gpu = gpu
        self._catalogue = catalogue
        self._mig_on = gpu.mig is not None and gpu.mig.current
        self._lying: list[Part] = [part_of(slice_) for slice_ in gpu.slices]
        self._enabling, self._disabling = gpu_plan.enable_mig, gpu_plan.disable_mig
        self._going: list[Slice] = list(gpu_plan.destroy)
        self._coming: list[PlannedSlice] = list(gpu_plan.create)

    def run(self, steps: Sequence[Step], whom: _Whom) -> Iterator[str]:
        """Carry the steps out; in the end nothing of the plan may be left to do."""
        for step in steps:
            yield from self._take(step, whom)
        if self._enabling:
            yield f"no step switches MIG mode of {self._gpu.uuid} on"
        if self._disabling:
            yield f"no step switches MIG mode of {self._gpu.uuid} off"
        for gone in self._going:
            yield f"no step destroys {name(gone)}"
        for new in self._coming:
            yield f"no step creates {name(new)}"

    def _take(self, step: Step, whom: _Whom) -> Iterator[str]:
        match step:
            case EnableMig():
                yield from self._enable()
            case DisableMig():
                yield from self._disable()
            case DestroySlice(slice=gone):
                yield from self._destroy(gone)
            case CreateSlice(planned=new, replica=replica):
                yield from self._create(new)
                if new in whom and replica != whom[new]:
                    yield f"{name(new)} is created for {replica}, not for {whom[new]}"
            case _:
                assert_never(step)

    def _enable(self) -> Iterator[str]:
        if not self._enabling:
            yield f"a step switches MIG mode of {self._gpu.uuid} on, without need or again"
        self._enabling, self._mig_on = False, True

    def _disable(self) -> Iterator[str]:
        if not self._disabling:
            yield f"a step switches MIG mode of {self._gpu.uuid} off, without need or again"
        if self._lying:
            yield f"MIG mode of {self._gpu.uuid} is switched off while slices lie there"
        self._disabling, self._mig_on = False, False

    def _destroy(self, gone: Slice) -> Iterator[str]:
        if gone not in self._going:
            yield f"a step destroys {name(gone)}, which is not to go or has gone"
            return
        self._going.remove(gone)
        self._lying.remove(part_of(gone))

    def _create(self, new: PlannedSlice) -> Iterator[str]:
        if new not in self._coming:
            yield f"a step creates {name(new)}, which is not to come or has come"
            return
        self._coming.remove(new)
        geometry, lying = self._gpu.geometry, tuple(sorted(self._lying))
        if not self._mig_on:
            yield f"{name(new)} is created before MIG mode is on"
        if geometry is None or not self._catalogue.allows(geometry, lying, part_of(new)):
            yield f"{name(new)} is created while it may not lie there"
        self._lying.append(part_of(new))
