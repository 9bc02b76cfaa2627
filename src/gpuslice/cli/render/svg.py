"""A plan as an SVG picture that one would put in a report.

Pure: values in, text out. Separate from the terminal's pictures (`picture`), with which it shares
lanes, cells, signs and words, but neither sizes nor colours. Written by hand, because what is
needed of SVG is rectangles and text. Everything that is not ours to choose is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gpuslice.cli.render.lanes import Lane
from gpuslice.cli.render.picture import GROUP_WORDS, WORDS, Cell, Fate

_WIDTH = 960
_MARGIN = 32
_LEFT = 84
_GRID_WIDTH = _WIDTH - _LEFT - _MARGIN
_ROW_HEIGHT = 44
_LINE = 20
_FONT = "font-family=\"'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif\""
_CHARACTER = 7.4
"""Width of a wide character at 13 pixels; a label is cut rather than let run over its cell."""

_HEADING_CHARACTER = 9.2
"""The same for bold ones at 15 pixels."""

_FILLS = {
    Fate.COMES: ("#2e7d32", "#ffffff"),
    Fate.STAYS: ("#1565c0", "#ffffff"),
    Fate.GOES: ("#c62828", "#ffffff"),
    Fate.FOREIGN: ("#bdbdbd", "#212121"),
    Fate.FREE: ("#f5f5f5", "#757575"),
    Fate.MIXED: ("#00737f", "#ffffff"),
}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is drawn, top to bottom.

    Attributes:
        title: The largest line.
        badge: What must not be overlooked: simulated, or on paper; "" for neither.
        lines: Lines under the title.
        lanes: Rows of memory slices.
        grouped: True when lanes stand for many GPUs.
        notes: Lines under the legend, such as the cost.
    """

    title: str
    badge: str = ""
    lines: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()
    grouped: bool = False
    notes: tuple[str, ...] = ()


def svg_text(picture: Picture) -> str:
    """Write a picture as an SVG document; equal pictures give equal text."""
    page = _Page()
    page.text(picture.title, size=22, weight="bold", height=34)
    if picture.badge:
        page.badge(picture.badge)
    for line in picture.lines:
        page.text(line, size=14, fill="#424242")
    for lane in picture.lanes:
        page.lane(lane)
    page.legend(GROUP_WORDS if picture.grouped else WORDS)
    for line in picture.notes:
        page.text(line, size=14)
    return page.document(picture.title)


class _Page:
    """A page that grows downwards. Lives only while `svg_text` runs."""

    def __init__(self) -> None:
        self._y = _MARGIN
        self._parts: list[str] = []

    def text(
        self,
        text: str,
        *,
        size: int = 13,
        weight: str = "normal",
        fill: str = "#212121",
        height: int = _LINE,
    ) -> None:
        """Write paragraphs from the left margin, broken where they are too long."""
        for line in _broken(text, int((_WIDTH - 2 * _MARGIN) / (size * 0.54))):
            at = self._y + size
            self._parts.append(_text(_MARGIN, at, line, size=size, weight=weight, fill=fill))
            self._y += height

    def badge(self, text: str) -> None:
        """Write something on yellow."""
        width = len(text) * (_CHARACTER + 1) + 20  # bold is wider
        self._parts.append(_rect(_MARGIN, self._y, width, 24, fill="#fdd835"))
        self._parts.append(_text(_MARGIN + 10, self._y + 17, text, weight="bold"))
        self._y += 34

    def lane(self, lane: Lane) -> None:
        """Draw one lane: heading, numbers, and one or two rows."""
        self._y += 14
        heading = lane.heading.replace("  ", " · ")
        if lane.added:
            self._tag("to be added", _MARGIN + len(heading) * _HEADING_CHARACTER + 14)
        self.text(heading, size=15, weight="bold", height=22)
        if lane.detail:
            self.text(lane.detail, fill="#424242")
        for note in lane.notes:
            self.text(note, fill="#a04000")
        self._ruler(lane.grid)
        if lane.before is not None:
            self._row("now", lane.before, lane.grid)
        self._row("then" if lane.before is not None else "", lane.after, lane.grid)

    def legend(self, words: Mapping[Fate, str]) -> None:
        """Explain signs and colours."""
        self._y += 18
        x = float(_MARGIN)
        for fate, word in words.items():
            fill, ink = _FILLS[fate]
            self._parts.append(_rect(x, self._y, 22, 22, fill=fill))
            self._parts.append(_text(x + 11, self._y + 16, fate.value, fill=ink, anchor="middle"))
            self._parts.append(_text(x + 30, self._y + 16, word))
            x += 30 + len(word) * _CHARACTER + 22
        self._y += 40

    def document(self, title: str) -> str:
        """Close the page."""
        height = self._y + _MARGIN - 12
        size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_FONT}>',
                f"<title>{_escaped(title)}</title>",
                _rect(0, 0, _WIDTH, height, fill="#ffffff", stroke="none"),
                *self._parts,
                "</svg>\n",
            )
        )

    def _tag(self, text: str, x: float) -> None:
        """Write something on blue behind a heading; the page does not grow by it."""
        width = len(text) * _CHARACTER + 16
        self._parts.append(_rect(x, self._y, width, 19, fill="#bbdefb"))
        self._parts.append(_text(x + 8, self._y + 14, text))

    def _ruler(self, grid: int) -> None:
        for number in range(grid):
            x = _LEFT + (number + 0.5) * _GRID_WIDTH / grid
            said = _text(x, self._y + 12, str(number), size=11, fill="#757575", anchor="middle")
            self._parts.append(said)
        self._y += 18

    def _row(self, name: str, cells: Sequence[Cell], grid: int) -> None:
        if name:
            self._parts.append(_text(_MARGIN, self._y + 27, name, fill="#616161"))
        taken = {n for cell in cells for n in range(cell.placement.start, cell.placement.end)}
        for number in sorted(set(range(grid)) - taken):
            self._parts.extend(_free(number, self._y, grid))
        for cell in cells:
            self._parts.extend(_cell(cell, self._y, grid))
        self._y += _ROW_HEIGHT + 6


def _free(number: int, y: float, grid: int) -> Iterator[str]:
    fill, ink = _FILLS[Fate.FREE]
    x, width = _span(number, 1, grid)
    yield _rect(x, y, width, _ROW_HEIGHT, fill=fill)
    yield _text(x + width / 2, y + 27, Fate.FREE.value, fill=ink, anchor="middle")


def _cell(cell: Cell, y: float, grid: int) -> Iterator[str]:
    """Draw a slice: sign and name above, profile below, all of it in the tooltip."""
    fill, ink = _FILLS[cell.fate]
    x, width = _span(cell.placement.start, cell.placement.size, grid)
    name, _, profile = cell.label.rpartition(" ")
    room = int((width - 12) / _CHARACTER)
    yield "<g>"
    yield f"<title>{_escaped(f'{cell.fate.value} {cell.label} at {cell.placement}')}</title>"
    yield _rect(x, y, width, _ROW_HEIGHT, fill=fill)
    upper = _cut(f"{cell.fate.value} {name or profile}", room)
    yield _text(x + 7, y + (18 if name else 27), upper, fill=ink, weight="bold")
    if name:
        yield _text(x + 7, y + 35, _cut(profile, room), fill=ink)
    yield "</g>"


def _span(start: int, size: int, grid: int) -> tuple[float, float]:
    """Return where a run of memory slices begins, and how wide it is, in pixels."""
    unit = _GRID_WIDTH / grid
    return _LEFT + start * unit + 1, size * unit - 2


def _rect(
    x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "#9e9e9e"
) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect {place} rx="3" fill="{fill}" stroke="{stroke}" stroke-width="0.8"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    weight: str = "normal",
    fill: str = "#212121",
    anchor: str = "start",
) -> str:
    look = f'font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {look}>{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Make text fit for XML; what XML cannot hold at all becomes a replacement character."""
    return escape(_NO_XML.sub("\ufffd", text))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(1, room - 1)] + "…"


def _broken(text: str, room: int) -> Iterator[str]:
    """Break a line between words."""
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
