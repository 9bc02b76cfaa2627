"""How good a plan is known to be, in one line, and what one more slice would cost.

Separate from the plan's own view, which shows what happens; this shows why to believe in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import takewhile
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.cli.render.purchases import hourly
from gpuslice.model.certificate import Certificate, Goal, Method, Objective, SlicePrice
from gpuslice.model.plan import Plan

_PROVED_BY = {
    Method.ENUMERATION: "optimal: proved by looking at every layout",
    Method.HIGHS: "optimal: proved by HiGHS",
    Method.GREEDY: "optimal: the greedy placement reaches every bound",
}

_UNITS = {
    Goal.SERVED: "replica",
    Goal.SERVED_OF_MODEL: "replica",
    Goal.ADDED: "GPU",
    Goal.COST: "GPU",
    Goal.MOVED: "",
    Goal.DESTROYED: "destroyed slice",
    Goal.SWITCHED: "GPU",
    Goal.OURS: "GPU",
    Goal.MEMORY: "memory slice",
    Goal.ROOM: "weighted memory slice",
    Goal.COMPUTE: "compute slice",
}
"""What a goal counts; the cost of moves is whatever a stack file says of each."""


def proof_view(plan: Plan, *, prices: bool) -> RenderableType:
    """Show the proof in one line, and the slice prices where they were asked for."""
    parts: list[RenderableType] = []
    if plan.certificate is not None:
        colour = "green" if plan.certificate.optimal else "yellow"
        parts.append(Text(f"\n{proof_line(plan.certificate)}", style=colour))
    if prices:
        parts.append(_prices(plan.slice_prices))
    return Group(*parts)


def proof_line(certificate: Certificate) -> str:
    """Say how good a plan is known to be.

    The most important goal that is not proved is the one told; the others are in the JSON.
    """
    worst = certificate.open
    if worst is None:
        return _PROVED_BY[certificate.method]
    how = "; placed greedily" if certificate.method is Method.GREEDY else ""
    why = f"; {certificate.note}" if certificate.note else ""
    return f"{_proved_before(certificate)}{_distance(worst, certificate.currency)}{how}{why}"


def proof_json(plan: Plan) -> dict[str, Any]:
    """The same for scripts: every goal with its value, bound and gap."""
    certificate = plan.certificate
    return {
        "certificate": certificate and _certificate_json(certificate),
        "slice_prices": [asdict(price) for price in plan.slice_prices],
    }


def _certificate_json(certificate: Certificate) -> dict[str, Any]:
    return {
        "summary": proof_line(certificate),
        "optimal": certificate.optimal,
        "method": certificate.method,
        "currency": certificate.currency,
        "note": certificate.note,
        "objectives": [asdict(each) | {"gap": each.gap} for each in certificate.objectives],
    }


def _proved_before(certificate: Certificate) -> str:
    """Say that the goals that cost money are proved, where only one below them is not."""
    proved = takewhile(lambda objective: objective.gap == 0, certificate.objectives)
    if any(objective.goal is Goal.COST for objective in proved):
        return "most served at least cost is proved; after that, "
    return ""


def _distance(objective: Objective, currency: str) -> str:
    """Say how far a goal is from its bound at most."""
    about = f"{objective.goal}{_whose(objective)}"
    if objective.gap is None:
        return f"gap unknown ({about})"
    return f"within {_amount(objective, currency)} of the proven bound ({about})"


def _whose(objective: Objective) -> str:
    if objective.model:
        return f": {objective.model}"
    return f": priority {objective.priority}" if objective.priority else ""


def _amount(objective: Objective, currency: str) -> str:
    gap = objective.gap or 0
    if currency and objective.goal in (Goal.COST, Goal.ADDED):
        return hourly(gap, currency)
    unit = _UNITS[objective.goal]
    return f"{gap:,} {unit}{'' if gap == 1 else 's'}" if unit else f"{gap:,}"


def _prices(prices: Sequence[SlicePrice]) -> RenderableType:
    """Show what one more slice of each profile costs, a row for each board."""
    if not prices:
        return Text("No slice prices: the solver did not finish.", style="yellow")
    title = "\nOne more slice costs, in GPUs"
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for name in ("board", "slice", "GPUs"):
        table.add_column(name, justify="right" if name == "GPUs" else "left")
    board = ""
    for price in prices:
        table.add_row("" if price.board == board else price.board, price.profile, _gpus(price))
        board = price.board
    return table


def _gpus(price: SlicePrice) -> str:
    return f"{price.gpus:.2f}"
