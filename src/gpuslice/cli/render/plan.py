"""A plan as a person reads it, for one GPU or for thousands, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuslice.agent.proposal import Proposal
from gpuslice.cli.render import picture
from gpuslice.cli.render.lanes import MANY_GPUS, Lane, drawn_gpus, lanes_of
from gpuslice.cli.render.places import places_json, places_line
from gpuslice.cli.render.proof import proof_json, proof_view
from gpuslice.cli.render.purchases import purchase_lines
from gpuslice.cli.render.seats import seats_summary, seats_table
from gpuslice.cli.render.servers import servers_view
from gpuslice.cli.render.steps import steps_summary, steps_told, steps_view
from gpuslice.model.demand import Rules


def plan_view(proposal: Proposal, *, prices: bool = False) -> RenderableType:
    """Show the whole plan, with slice prices where they were asked for.

    Above `MANY_GPUS` GPUs it is added up by model, layout and kind of step.
    """
    many = len(drawn_gpus(proposal)) > MANY_GPUS
    return Group(
        Text(f"Plan for stack {proposal.desired.stack}", style="bold"),
        *(Text(note, style="yellow") for note in proposal.notes),
        seats_summary(proposal) if many else seats_table(proposal),
        Text(places_line(proposal.desired)),
        Text(),
        *pictures(proposal),
        servers_view(proposal),
        steps_summary(proposal) if many else steps_view(proposal, proposal.acts),
        Text(),
        *(Text(line) for line in purchase_lines(proposal)),
        proof_view(proposal.plan, prices=prices),
    )


def pictures(proposal: Proposal) -> Iterator[RenderableType]:
    """Draw every GPU that the stack may use, or every group of them that end alike."""
    lanes = lanes_of(proposal)
    for lane in lanes.shown:
        added = ("  to be added", "bold cyan") if lane.added else ""
        detail = f"  {lane.detail}" if lane.detail else ""
        yield Text.assemble((lane.heading, "bold"), added, detail)
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
        "rules": _rules_json(proposal.rules),
        "notes": proposal.notes,
        "runtimes": places_json(proposal.desired),
        "gpus": [asdict(gpu) for gpu in plan.gpus],
        "seats": [asdict(seat) for seat in plan.seats],
        "unplaced": [asdict(unplaced) for unplaced in plan.unplaced],
        "servers": [asdict(server) for server in plan.servers],
        "restarts": [asdict(restart) for restart in proposal.restarts],
        "addition": [asdict(addition) for addition in plan.addition],
        "steps": [
            {"step": text, "by_hand": typed} for text, typed in steps_told(proposal, proposal.acts)
        ],
        **proof_json(plan),
    }


def _rules_json(rules: Rules) -> dict[str, Any]:
    """Write rules so that equal ones are equal text."""
    return {
        "gpus": None if rules.gpus is None else sorted(rules.gpus),
        "drained": sorted(rules.drained),
        "addable": sorted(rules.addable),
        "prices": rules.prices and asdict(rules.prices),
        "most_moves": rules.most_moves,
    }


def _drawing(lane: Lane) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_row("", picture.ruler(lane.grid))
    if lane.before is not None:
        table.add_row("now", picture.row(lane.before, lane.grid))
    table.add_row("then" if lane.before is not None else "", picture.row(lane.after, lane.grid))
    return table
