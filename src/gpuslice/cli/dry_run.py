"""``up --dry-run`` and ``down --dry-run``: what would be done, from the same values that do it.

Separate because nothing here may reach the agent. What is shown is made by the functions that the
change itself asks (`steps`, `leaving`), so that it cannot differ from what would happen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuslice.agent.node import Node
    from gpuslice.agent.proposal import Proposal
    from gpuslice.model.desired import Hooks
    from gpuslice.model.machine import Machine

NOTHING_CHANGED = "Dry run: nothing was changed."


def show_up(machine: Machine, proposal: Proposal) -> None:
    """Show the plan that ``up`` would carry out."""
    from gpuslice.agent.node import record_store
    from gpuslice.cli.console import err, out
    from gpuslice.cli.render.plan import plan_view

    if record_store(machine).read_journal() is not None:
        err().print(
            "[yellow]A change is under way or was interrupted; `gpuslice up` would undo it first, "
            "and then plan.[/]",
            markup=True,
        )
    out().print(plan_view(proposal))
    if proposal.plan.changes:
        _show_hooks(proposal.desired.hooks)
    out().print(NOTHING_CHANGED)


def show_down(node: Node, *, slices: bool, mig_off: bool) -> None:
    """Show what ``down`` would stop and destroy, in order, and what one would type for it."""
    from gpuslice.agent.changes import leaving
    from gpuslice.cli.console import err, out
    from gpuslice.cli.render.steps import told_view
    from gpuslice.model.desired import Hooks
    from gpuslice.planner.ordering.steps import by_hand, describe

    if node.store.read_journal() is not None:
        err().print(
            "[yellow]A change is under way or was cut off; it would be undone first.[/]",
            markup=True,
        )
    record, observed = node.read_record(), node.driver.read()
    stops = [(f"stop {p.name}", f"kill {p.pid}") for p in node.runtime.list()]
    going = leaving(record, observed, slices=slices, mig_off=mig_off)
    told = [*stops, *((describe(s, observed.gpus), by_hand(s, observed)) for s in going)]
    out().print(told_view(told))
    if going:
        _show_hooks(record.desired.hooks if record.desired else Hooks())
    out().print(NOTHING_CHANGED)


def _show_hooks(hooks: Hooks) -> None:
    from gpuslice.cli.console import out

    for stage, commands in (("before", hooks.before), ("after", hooks.after)):
        for command in commands:
            out().print(f"hook {stage}: {' '.join(command)}", markup=False)
