"""The live table of ``top``."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.monitor.snapshot import ModelRow, SliceRow, Snapshot

_BAR_WIDTH = 10
_UNKNOWN = "–"


def top_view(snapshot: Snapshot) -> RenderableType:
    """Show slices, then models."""
    slices = Table(box=None, title="slices", title_justify="left")
    for name in (
        "GPU",
        "slice",
        "serves",
        "memory",
        "used / total MiB",
        "SM",
        "requests",
        "tokens/s",
    ):
        slices.add_column(name, justify="right" if name in _RIGHT else "left")
    for row in snapshot.slices:
        slices.add_row(*_slice_cells(row))
    models = Table(box=None, title="models", title_justify="left")
    for name in ("model", "requests", "requests/s", "tokens/s"):
        models.add_column(name, justify="left" if name == "model" else "right")
    for model in snapshot.models:
        models.add_row(*_model_cells(model))
    label = Text("SIMULATED GPU\n", style="bold yellow") if snapshot.simulated else Text()
    return Group(label, slices, Text(), models)


_RIGHT = ("used / total MiB", "SM", "requests", "tokens/s")


def _slice_cells(row: SliceRow) -> tuple[str | Text, ...]:
    return (
        str(row.gpu_index),
        f"{row.profile}@{row.placement}",
        str(row.replica) if row.replica else _UNKNOWN,
        _bar(row.used_mib, row.total_mib),
        f"{_number(row.used_mib)} / {row.total_mib:,}",
        f"{row.sm_utilisation:.0%}" if row.sm_utilisation is not None else "n/a",
        _number(row.requests_running),
        _number(row.tokens_per_s),
    )


def _model_cells(row: ModelRow) -> tuple[str, ...]:
    return (
        row.model,
        _number(row.requests_running),
        _UNKNOWN if row.requests_per_s is None else f"{row.requests_per_s:.2f}",
        _number(row.tokens_per_s),
    )


def _bar(used: int | None, total: int) -> Text:
    filled = round(_BAR_WIDTH * min(1.0, (used or 0) / total)) if total else 0
    return Text.assemble(("█" * filled, "green"), ("░" * (_BAR_WIDTH - filled), "dim"))


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.0f}"
