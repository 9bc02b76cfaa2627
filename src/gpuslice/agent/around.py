"""The user's hooks around a change of slices, paired also over a kill.

Separate from the changes, which differ, while this does not: the commands before run first, those
after run last, and the disk knows in between that they are due. While a change has a journal that
is where it is noted; taking down has none, and notes it in the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gpuslice.agent.node import Node
from gpuslice.apply.hooks import plan_as_json, run_all, run_hooks
from gpuslice.apply.notebook import Notebook
from gpuslice.apply.record import Journal
from gpuslice.errors import GpusliceError
from gpuslice.model.desired import Hooks
from gpuslice.model.event import Report
from gpuslice.model.gpu import Observed
from gpuslice.planner.ordering.steps import Step


@contextmanager
def hooks_around(
    notebook: Notebook,
    steps: Sequence[Step],
    observed: Observed,
    report: Report,
    *,
    stack: str = "",
    change: str = "up",
) -> Iterator[None]:
    """Run a change's hooks around what the block does to slices.

    When the block fails, the commands after are left to the way back, since the journal says that
    they are due.

    Args:
        notebook: Of the change; its journal has the hooks.
        steps: What will be done; nothing is run where that is nothing.
        observed: The machine.
        report: Where progress goes.
        stack: Name of the stack, for the plan that hooks are told.
        change: Name of the change, likewise: ``up`` or ``slices``.

    Raises:
        HookError: A command failed; the change has to be undone.
    """
    hooks = notebook.journal.hooks
    if not steps or not (hooks.before or hooks.after):
        yield
        return
    plan = plan_as_json(steps, observed, change=change, stack=stack)
    notebook.note_hooks(opened=True)
    run_hooks(hooks.before, plan, report, stage="before", timeout_s=hooks.timeout_s)
    yield
    run_hooks(hooks.after, plan, report, stage="after", timeout_s=hooks.timeout_s)
    notebook.note_hooks(opened=False)


@contextmanager
def hooks_around_undoing(node: Node, journal: Journal, report: Report) -> Iterator[None]:
    """Run a change's hooks around its undoing; none of them stops it."""
    hooks, due = journal.hooks, journal.opened
    plan = plan_as_json((), node.driver.read(), change="undo") if hooks != Hooks() else b""
    if journal.entries and not due and hooks != Hooks():
        due = True
        node.store.write_journal(replace(journal, opened=True))
        run_all(hooks.before, plan, report, stage="before", timeout_s=hooks.timeout_s)
    yield
    if due:
        run_all(hooks.after, plan, report, stage="after", timeout_s=hooks.timeout_s)


@contextmanager
def hooks_around_going(
    node: Node, hooks: Hooks, steps: Sequence[Step], report: Report, stack: str
) -> Iterator[None]:
    """Run hooks around taking slices down; what a kill cut off is made up for by the next one.

    Raises:
        HookError: A command before failed, with nothing touched, or one after did.
    """
    if not steps or hooks == Hooks():
        yield
        return
    plan = plan_as_json(steps, node.driver.read(), change="down", stack=stack)
    node.store.write_record(replace(node.read_record(), hooks_due=hooks))
    try:
        run_hooks(hooks.before, plan, report, stage="before", timeout_s=hooks.timeout_s)
        yield
    except GpusliceError:
        make_up_for_hooks(node, report)
        raise
    node.store.write_record(replace(node.read_record(), hooks_due=None))
    run_hooks(hooks.after, plan, report, stage="after", timeout_s=hooks.timeout_s)


def make_up_for_hooks(node: Node, report: Report) -> None:
    """Run the commands after that are due because taking down was cut off; usually none."""
    record = node.read_record()
    if (hooks := record.hooks_due) is None:
        return
    plan = plan_as_json((), node.driver.read(), change="down")
    run_all(hooks.after, plan, report, stage="after", timeout_s=hooks.timeout_s)
    node.store.write_record(replace(node.read_record(), hooks_due=None))
