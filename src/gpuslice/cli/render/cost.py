"""Money as a person reads it: per slice, per model, against a card of its own. Rounded here."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.cost.report import CardCost, CostReport, Total

_CENT = Decimal("0.01")


def money(amount: Decimal) -> str:
    """Round to the cent, half up, with thousands apart."""
    return f"{amount.quantize(_CENT, ROUND_HALF_UP):,}"


def cost_view(report: CostReport) -> RenderableType:
    """Show every slice, every model and the whole."""
    return Group(
        slices_table(report),
        Text(),
        models_table(report),
        Text(),
        *_totals(report),
        Text(f"Share: {report.rule}", style="dim"),
    )


def cost_summary(report: CostReport) -> RenderableType:
    """Show what a plan costs in a few lines."""
    return Group(Text("\nCost", style="bold"), models_table(report), *_totals(report))


def slices_table(report: CostReport) -> Table:
    """Show each slice's share of its card and its money, and what nobody uses."""
    table = Table(box=None, title="per slice and month", title_justify="left")
    for name in ("GPU", "slice", "serves", "share", "cost", ""):
        table.add_column(name, justify="right" if name in ("share", "cost") else "left")
    for card in report.cards:
        for row in _card_rows(card):
            table.add_row(*row)
    return table


def models_table(report: CostReport) -> Table:
    """Show each model against a card of its own."""
    table = Table(box=None, title="per model and month", title_justify="left")
    for name in ("model", "replicas", "each", "all", "own cards", "saved", ""):
        table.add_column(name, justify="left" if name in ("model", "") else "right")
    for model in report.models:
        table.add_row(
            model.model,
            str(model.replicas),
            money(model.average_per_month),
            money(model.per_month),
            money(model.own_cards_per_month),
            money(model.own_cards_per_month - model.per_month),
            model.currency,
        )
    return table


def cost_json(report: CostReport) -> dict[str, Any]:
    """The same for scripts; amounts are strings with two decimals, so that nothing is lost."""
    return {
        "slices": [
            {
                "gpu": card.index,
                "profile": cost.slice.profile,
                "placement": str(cost.slice.placement),
                "replica": str(cost.slice.replica) if cost.slice.replica else None,
                "share": float(cost.share),
                "per_month": _plain(cost.per_month),
                "currency": cost.currency,
            }
            for card in report.cards
            for cost in card.slices
        ],
        "models": [
            {
                "model": model.model,
                "replicas": model.replicas,
                "per_month": _plain(model.per_month),
                "own_cards_per_month": _plain(model.own_cards_per_month),
                "currency": model.currency,
            }
            for model in report.models
        ],
        "totals": [_total_json(total) for total in report.totals],
        "rule": report.rule,
    }


def cost_lines(report: CostReport) -> tuple[str, ...]:
    """Say what the cards cost, one line for each currency."""
    return tuple(
        f"{money(total.per_month)} {total.currency} a month for the cards that are used "
        f"({total.per_hour:,.2f} an hour), {money(total.unused_per_month)} of it not used. "
        f"A card for each server: {money(total.own_cards_per_month)} a month."
        for total in report.totals
    )


def _card_rows(card: CardCost) -> Iterator[tuple[str, ...]]:
    for cost in card.slices:
        yield (
            str(card.index),
            f"{cost.slice.profile}@{cost.slice.placement}",
            str(cost.slice.replica) if cost.slice.replica else "not of this stack",
            f"{float(cost.share):.2%}",
            money(cost.per_month),
            cost.currency,
        )
    if card.unused_share:
        share = f"{float(card.unused_share):.2%}"
        yield (str(card.index), "not used", "", share, money(card.unused_per_month), card.currency)
    yield (str(card.index), card.name, "the whole card", "", money(card.per_month), card.currency)


def _totals(report: CostReport) -> Iterator[Text]:
    for total in report.totals:
        factor = f", {total.factor:.1f} times as much" if total.factor is not None else ""
        yield Text(
            f"Cards: {money(total.per_month)} {total.currency} a month "
            f"({total.per_hour:.2f} an hour), {money(total.unused_per_month)} of it not used. "
            f"A card for each server: {money(total.own_cards_per_month)}{factor}."
        )


def _total_json(total: Total) -> dict[str, str]:
    return {
        "currency": total.currency,
        "per_month": _plain(total.per_month),
        "unused_per_month": _plain(total.unused_per_month),
        "own_cards_per_month": _plain(total.own_cards_per_month),
    }


def _plain(amount: Decimal) -> str:
    return str(amount.quantize(_CENT, ROUND_HALF_UP))
