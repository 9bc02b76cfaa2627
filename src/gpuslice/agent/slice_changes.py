"""The change of slices without a stack: carried out by the agent, like every change.

The journal opens before anything is touched and is removed when all is done, so a failure, a
Ctrl-C or a kill anywhere ends where it began. Slices made here are recorded as ours without a
stack: ``up`` plans around them, and they go again without being allowed.

What is refused is refused here, whatever the command that asks has shown: it is the agent that
changes cards, and between showing and doing others may have come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from gpuslice.agent.around import hooks_around
from gpuslice.agent.partition import Scene, look
from gpuslice.agent.refusing import check_others, refuse_if
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import Check
from gpuslice.apply.hooks import check_hooks
from gpuslice.apply.refusals import Refusal, refuse
from gpuslice.apply.slices import Notebook, carry_out
from gpuslice.errors import ApplyError, StackSlicesError
from gpuslice.model.desired import Hooks, Record
from gpuslice.model.event import Report
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.ordering.steps import steps
from gpuslice.planner.partition.check import check_partition

NO_STACK = ""
"""What is recorded as the stack of a slice that was made by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceChange:
    """What the slice commands ask of the agent.

    Attributes:
        plan: Exactly this plan.
        allow: Names of what it may do to others.
        hooks: Commands to run around it.
    """

    plan: Plan
    allow: tuple[str, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that has to be allowed.

    Attributes:
        allow: What stands after ``--allow``.
        why: What it is about, line by line.
    """

    allow: Refusal
    why: tuple[str, ...]


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
        HookError: A hook is not there or failed.
        DriverError: A step failed; `gpuslice.agent.changes.roll_back` undoes what was done.
    """
    node = supervisor.node
    scene = look(node)
    check_moved(scene, change)
    check_allowed(scene, change.plan, change.allow)
    check_hooks(change.hooks)
    # Allowed was that slices of others go, not that ours are given up when all is undone.
    lifted = tuple(name for name in change.allow if name != Refusal.FOREIGN_SLICES)
    notebook = Notebook(node.store, scene.record, allow=lifted, hooks=change.hooks)
    todo, another = steps(change.plan), node.another_driver
    with hooks_around(notebook, todo, scene.observed, report, change="slices"):
        created = carry_out(todo, node.driver, notebook, report, check, another=another)
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


def check_allowed(scene: Scene, plan: Plan, allow: Collection[str]) -> None:
    """Refuse what a plan may not do to others.

    Raises:
        StackSlicesError: A slice of the running stack would go; nothing allows that.
        ApplyError: Something that has to be allowed is not; of the class of its refusal.
    """
    check_stack(scene, plan)
    refuse_if(
        Refusal.FOREIGN_SLICES,
        tuple(_foreign(scene, plan)),
        "Slices would go that gpuslice did not make; nothing was changed.",
        allow=allow,
        otherwise="Leave them to whoever made them",
    )
    check_others(scene.node, steps(plan), scene.observed, allow)


def needs(scene: Scene, plan: Plan) -> tuple[Need, ...]:
    """List everything about a plan that has to be allowed: each refusal is lifted in its turn."""
    found: list[Need] = []
    while True:
        try:
            check_allowed(scene, plan, [need.allow for need in found])
        except StackSlicesError:
            return ()  # nothing lifts that, so nothing else matters
        except ApplyError as error:
            found.append(Need(allow=Refusal(error.code), why=error.details))
        else:
            return tuple(found)


def check_stack(scene: Scene, plan: Plan) -> None:
    """Refuse to take a slice from the running stack.

    Raises:
        StackSlicesError: A slice of it would go.
    """
    going = [s for gpu in plan.gpus for s in gpu.destroy if s.key in scene.claims.running]
    desired = scene.record.desired
    if going and desired is not None:
        raise StackSlicesError(
            f"{len(going)} slice{'s' * (len(going) != 1)} of the running stack "
            f"{desired.stack!r} would go; nothing was changed.",
            hint="Take the stack down first: gpuslice down",
            details=tuple(_named(scene, slice_) for slice_ in going),
        )


def _foreign(scene: Scene, plan: Plan) -> Iterator[str]:
    for gpu in plan.gpus:
        for slice_ in gpu.destroy:
            if slice_.key not in scene.claims.ours:
                yield _named(scene, slice_)


def _named(scene: Scene, slice_: Slice) -> str:
    index = scene.observed.gpu(slice_.gpu_uuid).index
    return f"GPU {index}: {slice_.profile} at {slice_.placement}"


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
