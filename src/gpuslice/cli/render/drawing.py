"""What the SVG picture of a plan says: its title, its label, its lanes and its cost.

Separate from the SVG writer, which knows nothing of plans.
"""

from __future__ import annotations

from collections import Counter

from gpuslice.agent.proposal import Proposal
from gpuslice.cli.render.cost import cost_lines
from gpuslice.cli.render.lanes import drawn_gpus, lanes_of
from gpuslice.cli.render.proof import proof_line
from gpuslice.cli.render.purchases import purchase_lines
from gpuslice.cli.render.servers import servers_line
from gpuslice.cli.render.svg import Picture
from gpuslice.cost.report import CostReport


def picture_of(proposal: Proposal, report: CostReport | None) -> Picture:
    """Choose what is drawn of a plan; ``report`` is its cost where prices are known."""
    lanes = lanes_of(proposal)
    return Picture(
        title=f"Plan for stack {proposal.desired.stack}",
        badge=_badge(proposal),
        lines=(_gpus(proposal), *_models(proposal)),
        lanes=lanes.shown,
        grouped=lanes.grouped,
        notes=_notes(proposal, lanes.left_out, report),
    )


def _notes(proposal: Proposal, left_out: str, report: CostReport | None) -> tuple[str, ...]:
    """Say what no lane shows: what becomes of servers, what is paid for, how good the plan is."""
    certificate = proposal.plan.certificate
    proof = (proof_line(certificate),) if certificate else ()
    cost = cost_lines(report) if report else ()
    servers = (servers_line(proposal),) if proposal.plan.servers else ()
    return tuple(filter(None, (left_out, *servers, *purchase_lines(proposal), *proof, *cost)))


def _badge(proposal: Proposal) -> str:
    if proposal.on_paper:
        return "Planned on paper: these GPUs are not there"
    return "Simulated GPUs" if proposal.observed.simulated else ""


def _gpus(proposal: Proposal) -> str:
    """Count the GPUs that are drawn by product, and how many of them the stack uses."""
    planned = {gpu.gpu_uuid for gpu in drawn_gpus(proposal)}
    names = Counter(gpu.name for gpu in proposal.observed.gpus if gpu.uuid in planned)
    used = {seat.slice.gpu_uuid for seat in proposal.plan.seats}
    products = ", ".join(f"{count:,} × {name}" for name, count in names.items())
    return f"{products}; {len(used):,} used by this stack"


def _models(proposal: Proposal) -> tuple[str, ...]:
    """Say for each model how many replicas sit on which profile, and how many find no slice."""
    seated = Counter((s.replica.model, s.slice.profile) for s in proposal.plan.seats)
    unplaced = Counter(unplaced.replica.model for unplaced in proposal.plan.unplaced)
    lines = []
    for demand in proposal.demands:
        parts = [
            f"{n:,} × {p}" for (model, p), n in sorted(seated.items()) if model == demand.model
        ]
        if missing := unplaced[demand.model]:
            parts.append(f"{missing:,} without a slice")
        lines.append(f"{demand.model}: {', '.join(parts)}")
    return tuple(lines)
