"""A plan as a person reads it, for one GPU or for thousands, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuslice.agent.prepare import Proposal
from gpuslice.cli.render import picture
from gpuslice.cli.render.lanes import MANY_GPUS, Lane, lanes_of
from gpuslice.cli.render.proof import proof_json, proof_view
from gpuslice.cli.render.seats import seats_summary, seats_table
from gpuslice.cli.render.steps import steps_summary, steps_told, steps_view


def plan_view(proposal: Proposal, *, prices: bool = False) -> RenderableType:
    """Show the whole plan, with slice prices where they were asked for.

    Above `MANY_GPUS` GPUs it is added up by model, layout and kind of step.
    """
    many = len(proposal.plan.gpus) > MANY_GPUS
    return Group(
        Text(f"Plan for stack {proposal.desired.stack}", style="bold"),
        seats_summary(proposal) if many else seats_table(proposal),
        Text(),
        *pictures(proposal),
        steps_summary(proposal) if many else steps_view(proposal),
        proof_view(proposal.plan, prices=prices),
    )


def pictures(proposal: Proposal) -> Iterator[RenderableType]:
    """Draw every GPU that the stack may use, or every group of them that end alike."""
    lanes = lanes_of(proposal)
    for lane in lanes.shown:
        yield Text.assemble((lane.heading, "bold"), f"  {lane.detail}" if lane.detail else "")
        for note in lane.notes:
            yield Text(f"  {note}", style="yellow")
        yield Padding(_drawing(lane), (0, 0, 1, 2))
    if lanes.left_out:
        yield Text(f"{lanes.left_out}\n", style="dim")
    yield picture.GROUP_LEGEND if lanes.grouped else picture.LEGEND


def plan_json(proposal: Proposal) -> dict[str, Any]:
    """The same for scripts; always complete."""
    plan = proposal.plan
    return {
        "simulated": proposal.observed.simulated,
        "on_paper": proposal.on_paper,
        "stack": proposal.desired.stack,
        "changes": plan.changes,
        "fingerprint": plan.fingerprint,
        "demands": [asdict(demand) for demand in proposal.demands],
        "gpus": [asdict(gpu) for gpu in plan.gpus],
        "seats": [asdict(seat) for seat in plan.seats],
        "unplaced": [asdict(unplaced) for unplaced in plan.unplaced],
        "steps": [{"step": text, "by_hand": typed} for text, typed in steps_told(proposal)],
        **proof_json(plan),
    }


def _drawing(lane: Lane) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_row("", picture.ruler(lane.grid))
    if lane.before is not None:
        table.add_row("now", picture.row(lane.before, lane.grid))
    table.add_row("then" if lane.before is not None else "", picture.row(lane.after, lane.grid))
    return table
