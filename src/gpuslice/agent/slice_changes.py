"""The change of slices without a stack: carried out by the agent, like every change.

The journal opens before anything is touched and is removed when all is done, so a failure, a
Ctrl-C or a kill anywhere ends where it began. Slices made here are recorded as ours without a
stack: ``up`` plans around them, and they go again without being allowed.

What is refused is refused here, whatever the command that asks has shown: it is the agent that
changes cards, and between showing and doing others may have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpuslice.agent.partition import Scene, look
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import Check
from gpuslice.apply.refusals import Refusal, refuse
from gpuslice.apply.slices import Notebook, carry_out
from gpuslice.errors import StackSlicesError
from gpuslice.model.desired import Record
from gpuslice.model.event import Report
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.ordering.steps import steps
from gpuslice.planner.partition.check import check_partition
from gpuslice.planner.partition.hazards import Hazard, hazards_of

NO_STACK = ""
"""What is recorded as the stack of a slice that was made by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceChange:
    """What the slice commands ask of the agent.

    Attributes:
        plan: Exactly this plan.
        allow: Names of what it may do to others.
    """

    plan: Plan
    allow: tuple[str, ...] = ()


def change_slices(
    supervisor: Supervisor, change: SliceChange, report: Report, check: Check
) -> None:
    """Carry out a plan of slices. The journal stays open when it fails.

    Args:
        supervisor: The machine.
        change: What is wanted.
        report: Where progress goes.
        check: Raises to stop the change.

    Raises:
        StateMovedError: The GPUs are not as they were when the plan was made.
        StackSlicesError: A slice of the running stack would go.
        ApplyError: Something was not allowed; of the class of its refusal.
        DriverError: A step failed; `gpuslice.agent.changes.roll_back` undoes what was done.
    """
    node = supervisor.node
    scene = look(node)
    check_moved(scene, change)
    check_allowed(scene, change.plan, change.allow)
    notebook = Notebook(node.store, scene.record, allow=change.allow)
    created = carry_out(steps(change.plan), node.driver, notebook, report, check)
    check()  # the last moment at which a Ctrl-C, also one during the last step, undoes
    node.store.write_record(_record(scene.record, change.plan, [made for made, _ in created]))
    node.store.end_journal()


def check_moved(scene: Scene, change: SliceChange) -> None:
    """Refuse a plan of another state; where that is allowed, one that is no longer legal.

    Raises:
        StateMovedError: The GPUs are not as they were, and that is not allowed.
        BadPlanError: It is allowed, and the plan cannot be carried out on them.
    """
    if fingerprint(scene.observed) == change.plan.fingerprint:
        return
    refuse(
        Refusal.STATE_MOVED,
        "The GPUs are no longer as they were when the change was shown; nothing was changed.",
        allow=change.allow,
        otherwise="Run the command again and look",
    )
    check_partition(change.plan, scene.observed)


def check_allowed(scene: Scene, plan: Plan, allow: Sequence[str]) -> None:
    """Refuse what a plan may not do to others.

    Raises:
        StackSlicesError: A slice of the running stack would go; nothing allows that.
        ApplyError: Something that has to be allowed is not; of the class of its refusal.
    """
    _check_stack(scene, plan)
    found = hazards(scene, plan)
    for name, (message, otherwise) in _REFUSED.items():
        if told := tuple(hazard.text for hazard in found if hazard.name == name):
            refuse(
                name,
                f"{message}; nothing was changed.",
                allow=allow,
                otherwise=otherwise,
                details=told,
            )


def hazards(scene: Scene, plan: Plan) -> tuple[Hazard, ...]:
    """List everything about a plan that has to be allowed."""
    return hazards_of(plan, scene.observed, scene.claims, scene.processes)


_REFUSED = {
    Refusal.SLICES_IN_USE: ("Processes are on slices that would go", "Stop those processes"),
    Refusal.FOREIGN_SLICES: (
        "Slices would go that gpuslice did not make",
        "Leave them to whoever made them",
    ),
    Refusal.MIG_MODE_CHANGE: (
        "MIG mode would be switched on GPUs that others use",
        "Stop those processes",
    ),
}


def _check_stack(scene: Scene, plan: Plan) -> None:
    going = [s for gpu in plan.gpus for s in gpu.destroy if s.key in scene.claims.running]
    desired = scene.record.desired
    if not going or desired is None:
        return
    names = [scene.observed.gpu(s.gpu_uuid).index for s in going]
    raise StackSlicesError(
        f"{len(going)} slice{'s' * (len(going) != 1)} of the running stack {desired.stack!r} would "
        "go; nothing was changed.",
        hint="Take the stack down first: gpuslice down",
        details=tuple(
            f"GPU {index}: {s.profile} at {s.placement}"
            for index, s in zip(names, going, strict=True)
        ),
    )


def _record(before: Record, plan: Plan, created: Sequence[Slice]) -> Record:
    gone = {s.key for gpu in plan.gpus for s in gpu.destroy}
    on = {gpu.gpu_uuid for gpu in plan.gpus if gpu.enable_mig}
    off = {gpu.gpu_uuid for gpu in plan.gpus if gpu.disable_mig}
    return replace(
        before,
        owned=(
            *(owned for owned in before.owned if owned.slice not in gone),
            *(Owned(slice=made.key, stack=NO_STACK) for made in created),
        ),
        mig_enabled=tuple(sorted({*before.mig_enabled, *on} - off)),
    )
