"""The picture of a GPU: its memory slices as a row of cells, before and after a change.

Every cell carries a sign as well as a colour, so the picture reads without colour: ``+`` comes,
``=`` stays, ``-`` goes, ``!`` belongs to somebody else, ``·`` is free; ``±`` stands for many GPUs
at once, where it comes on some and stays on others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.text import Text

from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice, SliceKey
from gpuslice.model.plan import GpuPlan, PlannedSlice, Seat

WIDTH = 72


class Fate(StrEnum):
    """What happens to a slice; the value is the sign shown."""

    COMES = "+"
    STAYS = "="
    GOES = "-"
    FOREIGN = "!"
    FREE = "·"
    MIXED = "±"


_STYLES = {
    Fate.COMES: "bold white on green4",
    Fate.STAYS: "bold white on dodger_blue3",
    Fate.GOES: "white on red3",
    Fate.FOREIGN: "black on grey70",
    Fate.FREE: "grey50",
    Fate.MIXED: "bold white on dark_cyan",
}

WORDS = {
    Fate.COMES: "comes",
    Fate.STAYS: "stays",
    Fate.GOES: "goes",
    Fate.FOREIGN: "somebody else's",
    Fate.FREE: "free",
}
"""What each sign means, in the order of the legend."""

GROUP_WORDS = {
    Fate.COMES: "comes",
    Fate.STAYS: "stays",
    Fate.MIXED: "comes or stays",
    Fate.FOREIGN: "somebody else's",
    Fate.FREE: "free",
}
"""The same for a picture that stands for many GPUs."""


def legend(words: Mapping[Fate, str]) -> Text:
    """Explain every sign in its colour."""
    parts = [Text(f" {fate.value} {word} ", style=_STYLES[fate]) for fate, word in words.items()]
    return Text(" ").join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One slice in the picture."""

    placement: Placement
    label: str
    fate: Fate


def row(cells: Iterable[Cell], memory_slices: int) -> Text:
    """Draw one row of cells over the whole grid; what no cell covers is free."""
    text = Text(no_wrap=True)
    width = max(2, WIDTH // memory_slices)
    at = 0
    for cell in sorted(cells, key=lambda c: c.placement):
        text.append(_free(cell.placement.start - at, width), style=_STYLES[Fate.FREE])
        text.append(_fitted(cell, cell.placement.size * width), style=_STYLES[cell.fate])
        at = cell.placement.end
    text.append(_free(memory_slices - at, width), style=_STYLES[Fate.FREE])
    return text


def ruler(memory_slices: int) -> Text:
    """Number the memory slices above a row."""
    width = max(2, WIDTH // memory_slices)
    return Text("".join(str(n).ljust(width) for n in range(memory_slices)), style="dim")


def observed_cells(gpu: Gpu, owners: Mapping[SliceKey, ReplicaId | None]) -> list[Cell]:
    """Show what is on a GPU now; ``owners`` names the slices that are ours."""
    return [
        Cell(
            placement=slice_.placement,
            label=_label(slice_.profile, owners.get(slice_.key)),
            fate=Fate.STAYS if slice_.key in owners else Fate.FOREIGN,
        )
        for slice_ in gpu.slices
    ]


def before_cells(plan: GpuPlan, owners: Mapping[SliceKey, ReplicaId | None]) -> list[Cell]:
    """Show what is on a GPU before the change, with what goes marked."""
    goes = [_cell(s, Fate.GOES, owners.get(s.key)) for s in plan.destroy]
    stays = [_cell(s, Fate.STAYS, owners.get(s.key)) for s in plan.keep]
    return [*goes, *stays, *(_cell(s, Fate.FOREIGN, None) for s in plan.foreign)]


def after_cells(plan: GpuPlan, seats: Sequence[Seat]) -> list[Cell]:
    """Show what is on a GPU after the change, with what comes marked."""
    replicas = {seat.slice: seat.replica for seat in seats}
    comes = [_cell(s, Fate.COMES, replicas.get(s)) for s in plan.create]
    stays = [_cell(s, Fate.STAYS, replicas.get(s)) for s in plan.keep]
    return [*comes, *stays, *(_cell(s, Fate.FOREIGN, None) for s in plan.foreign)]


def _cell(slice_: Slice | PlannedSlice, fate: Fate, replica: ReplicaId | None) -> Cell:
    return Cell(
        placement=slice_.placement,
        label="somebody else's" if fate is Fate.FOREIGN else _label(slice_.profile, replica),
        fate=fate,
    )


def _label(profile: str, replica: ReplicaId | None) -> str:
    return f"{replica} {profile}" if replica else profile


def _fitted(cell: Cell, width: int) -> str:
    inner = f"{cell.fate.value}{cell.label}"
    if len(inner) > width - 1:
        inner = inner[: max(1, width - 2)] + "…" if width > 3 else cell.fate.value
    return inner.ljust(width - 1) + "▕"


def _free(slices: int, width: int) -> str:
    return (Fate.FREE.value.center(width)) * max(0, slices)


LEGEND = legend(WORDS)
GROUP_LEGEND = legend(GROUP_WORDS)
