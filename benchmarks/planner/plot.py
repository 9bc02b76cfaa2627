"""The picture beside the table: cost against size, method by method, and the planner's time.

Separate because it only draws: it is given results and answers with SVG, written out by hand so
that the suite needs no plotting library. Sizes are on a logarithmic axis; a line ends in its name.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.planner.measure import PLANNER, Result
from benchmarks.planner.rows import Trial

PICTURE = Path(__file__).parents[2] / "docs" / "benchmarks-planner.svg"

_WIDTH, _HEIGHT = 470, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 128, 50, 46
_INK, _PALE, _OURS = "#222222", "#dddddd", "#0b5fa5"
_COLOURS = {
    PLANNER: _OURS,
    "first fit": "#475569",
    "sorted best fit": "#0f766e",
    "HAMi": "#4d7c0f",
    "MFI": "#a16207",
    "FGD": "#be185d",
    "nos": "#9f1239",
    "vacate least used": "#c2410c",
    "MIG-Serving greedy": "#7c3aed",
    "ParvaGPU": "#c2410c",
}
"""The methods that are drawn; others would lie on the line of first fit."""

_OTHERS = ("#0b5fa5", "#c2410c", "#4d7c0f", "#7c3aed", "#be185d", "#0f766e", "#a16207")
_LABEL_HEIGHT = 12.5
_FINE = 3
"""Up to so many powers of ten, an axis is marked at 1, 2 and 5 of each."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: its name and its points, by x."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One diagram.

    Attributes:
        title: What it is about.
        upwards: What is counted upwards.
        across: What is counted from left to right.
        series: The lines.
        logarithmic: True where the axis upwards is logarithmic too.
    """

    title: str
    upwards: str
    across: str
    series: tuple[Series, ...]
    logarithmic: bool = False


def draw(trials: Sequence[Trial]) -> str:
    """Draw what was measured; families that were not run are left out."""
    panels = [panel for panel in _panels(trials) if panel.series]
    columns = min(2, max(1, len(panels)))
    lines = -(-len(panels) // columns)
    width, height = columns * _WIDTH, lines * _HEIGHT
    parts = [
        f'<g transform="translate({number % columns * _WIDTH} {number // columns * _HEIGHT})">'
        f"{''.join(_panel(panel))}</g>"
        for number, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _panels(trials: Sequence[Trial]) -> Iterator[Panel]:
    """Make the diagrams: three of cost, one of time."""
    for group, title, across in (
        ("F1", "F1: replicas on empty GPUs", "replicas"),
        ("F4", "F4: services with a throughput", "services"),
        ("F6", "F6: churned fleets", "GPUs of the fleet"),
    ):
        mine = [trial for trial in trials if trial.group == group]
        yield Panel(
            title=title,
            upwards="cost above the proven bound, %",
            across=across,
            series=_by_method(mine, lambda r: None if r.above is None else 100 * r.above),
        )
    yield Panel(
        title="The planner's median time, with its proof",
        upwards="ms",
        across="replicas, services or GPUs",
        series=tuple(
            Series(name=group, points=points)
            for group in dict.fromkeys(trial.group for trial in trials)
            if not group.startswith(("F3", "F7")) and len(points := _times(trials, group)) > 1
        ),
        logarithmic=True,
    )


def _by_method(
    trials: Sequence[Trial], value: Callable[[Result], float | None]
) -> tuple[Series, ...]:
    """Make a line for each method that has more than one point."""
    if not trials:
        return ()
    found = []
    for method in _COLOURS:
        points = _points(trials, trials[0].group, method, value)
        if len(points) > 1:
            found.append(Series(name=method, points=points))
    return tuple(found)


def _points(
    trials: Iterable[Trial],
    group: str,
    method: str,
    value: Callable[[Result], float | None],
    middle: Callable[[Sequence[float]], float] = statistics.fmean,
) -> tuple[Point, ...]:
    """Put a method's instances of each size together, by their mean unless told otherwise."""
    values: dict[float, list[float]] = {}
    for trial in trials:
        for result in trial.results:
            if trial.group == group and result.method == method:
                known = value(result)
                if known is not None:
                    values.setdefault(_number(result.size), []).append(known)
    return tuple((size, middle(found)) for size, found in sorted(values.items()))


def _times(trials: Iterable[Trial], group: str) -> tuple[Point, ...]:
    """Return the planner's median times, ms."""
    return _points(trials, group, PLANNER, lambda r: 1000 * r.seconds, statistics.median)


def _number(size: str) -> float:
    """Return the number in a size that is told in words."""
    return float(next(word for word in size.split() if word.isdecimal()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Where values lie on an axis."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return the position of a value."""
        share = (self._of(value) - self._of(self.low)) / (self._of(self.high) - self._of(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """List the values that are marked: powers of ten and parts of them, or some round steps."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) <= _FINE else (1,)
            marks = [step * 10.0**power for power in powers for step in steps]
            return [mark for mark in marks if self.low <= mark <= self.high * (1 + 1e-9)]
        step = 10 ** math.floor(math.log10(max(self.high, 1e-9) / 3))
        step *= next(m for m in (1, 2, 5, 10) if self.high / (step * m) <= 6)
        return [step * number for number in range(int(self.high / step + 1e-9) + 1)]

    def _of(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self.logarithmic else value


def _panel(panel: Panel) -> Iterator[str]:
    """Draw one diagram."""
    xs = [x for series in panel.series for x, _ in series.points]
    ys = [y for series in panel.series for _, y in series.points]
    low = min(ys) / 1.5 if panel.logarithmic else 0.0
    top = max(ys) * (1.5 if panel.logarithmic else 1.08) or 1.0
    across = _Scale(low=min(xs), high=max(xs), start=_LEFT, end=_WIDTH - _RIGHT, logarithmic=True)
    upwards = _Scale(
        low=low, high=top, start=_HEIGHT - _BOTTOM, end=_TOP, logarithmic=panel.logarithmic
    )
    yield _text(_LEFT, 18, panel.title, size=13, bold=True)
    yield _text(_LEFT, 34, panel.upwards)
    yield from _axes(across, upwards, panel.across)
    ends = {}
    for number, series in enumerate(_ours_last(panel.series)):
        own = series.name == PLANNER
        colour = _COLOURS.get(series.name, _OTHERS[number % len(_OTHERS)])
        spots = [(across.at(x), upwards.at(y)) for x, y in series.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield (
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{2.6 if own else 1.3}"/>'
        )
        for x, y in spots:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 if own else 2}" fill="{colour}"/>'
        ends[series.name] = (spots[-1], colour)
    yield from _labels(ends)


def _ours_last(series: Sequence[Series]) -> list[Series]:
    """Draw our line over the others."""
    return sorted(series, key=lambda one: one.name == PLANNER)


def _axes(across: _Scale, upwards: _Scale, name: str) -> Iterator[str]:
    """Draw the axes, their marks and the name of the lower one."""
    for value in upwards.ticks():
        y = upwards.at(value)
        yield _line(across.start, y, across.end, y, _PALE)
        yield _text(across.start - 6, y + 4, f"{value:,.10g}", anchor="end")
    for value in across.ticks():
        x = across.at(value)
        yield _line(x, upwards.start, x, upwards.start + 4, _INK)
        yield _text(x, upwards.start + 17, f"{value:,.10g}", anchor="middle")
    yield _line(across.start, upwards.start, across.end, upwards.start, _INK)
    middle = (across.start + across.end) / 2
    yield _text(middle, upwards.start + 34, name, anchor="middle")


def _labels(ends: dict[str, tuple[Point, str]]) -> Iterator[str]:
    """Write each name beside the end of its line, pushed apart where lines end close together."""
    right, bottom = _WIDTH - _RIGHT + 10, float(_HEIGHT - _BOTTOM)
    by_height = sorted(ends.items(), key=lambda end: end[1][0][1])
    spots: list[float] = []
    for _, ((_, y), _) in by_height:
        spots.append(max(y, spots[-1] + _LABEL_HEIGHT) if spots else y)
    for number in range(len(spots) - 1, -1, -1):
        spots[number] = min(spots[number], bottom)
        bottom = spots[number] - _LABEL_HEIGHT
    for (name, ((x, y), colour)), spot in zip(by_height, spots, strict=True):
        yield _line(x, y, right - 3, spot, colour, width=0.5)
        yield _text(right, spot + 4, name, colour=colour, bold=name == PLANNER)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 11,
    colour: str = _INK,
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
        f'{weight} fill="{colour}">{escape(words)}</text>'
    )
