"""The trade of GPUs against moves, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.proposal import Proposal
from gpuslice.model.certificate import FrontierPoint


def frontier_view(proposal: Proposal, points: Sequence[FrontierPoint]) -> RenderableType:
    """Show one row for each point, and which of them `plan` takes."""
    prices = proposal.rules.prices
    table = Table(box=None, padding=(0, 2, 0, 0))
    money = (f"{prices.currency} an hour",) if prices else ()
    for name in ("GPUs", *money, "servers that move", "planned with", "", ""):
        right = name in ("GPUs", *money, "servers that move")
        table.add_column(name, justify="right" if right else "left")
    taken = _taken(proposal, points)
    for point in points:
        table.add_row(
            f"{point.gpus:,}",
            *((f"{point.cost / 1000:,.3f}",) if prices else ()),
            f"{point.moves:,}",
            f"--moves {point.moves}",
            "proved" if point.proved else "not proved",
            "← this plan" if point is taken else "",
        )
    return Group(Text("\nGPUs against moves", style="bold"), table)


def frontier_json(proposal: Proposal, points: Sequence[FrontierPoint]) -> list[dict[str, Any]]:
    """The same for scripts."""
    taken = _taken(proposal, points)
    return [asdict(point) | {"taken": point is taken} for point in points]


def _taken(proposal: Proposal, points: Sequence[FrontierPoint]) -> FrontierPoint | None:
    """Find the point that a plan with these rules is at: the cheapest within its moves."""
    most = proposal.rules.most_moves
    return next((point for point in points if most is None or point.moves <= most), None)
