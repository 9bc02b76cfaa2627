"""The benchmark of the planner: every family, size and seed, every method, one table.

Run it with ``make benchmarks-planner``; options narrow it down, ``--large`` adds the large sizes,
``--write`` puts the table into docs/benchmarks.md. Times stand beside a yardstick: the same solver
on a small fixed program, timed between the instances of the same run, so that a slow or busy
machine shows. Nothing here is asserted in tests.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import highspy
from benchmarks.planner.bounds import bound
from benchmarks.planner.families import Family, families
from benchmarks.planner.measure import PLANNER, Result, Row, measure, methods, summarise

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- planner table: begin -->", "<!-- planner table: end -->"
COLUMNS = (
    *("family", "size", "method", "GPUs", "gap %", "gap staying %", "accepted %", "moves"),
    *("idle compute", "idle memory", "median ms", "worst ms", "median ratio"),
    *("checked", "unproved"),
)


class Line(NamedTuple):
    """One row of the table, and the yardstick that ran beside it, seconds."""

    family: str
    size: str
    method: str
    row: Row
    yardstick_s: float


def main() -> None:
    """Run what was asked for, print the table, and write it down if that was asked for too."""
    options = _options()
    lines: list[Line] = []
    for family in families():
        if options.families and family.name.split()[0] not in options.families:
            continue
        for size in _sizes(family, options):
            lines += run(family, size, options.seeds or family.seeds, options.limit)
            print(f"{family.name}, {lines[-1].size}: done", file=sys.stderr)
    text = f"{describe_run(lines)}\n\n{render(lines)}"
    print(text)
    if options.write:
        write(text)


def run(family: Family, size: int, seeds: int, limit_s: float) -> list[Line]:
    """Try every method on every seed of one size; the yardstick runs before each seed."""
    results: dict[str, list[Result]] = {}
    yardsticks = []
    for seed in range(seeds):
        yardsticks.append(time_yardstick())
        instance = family.draw(size, seed)
        limit = bound(instance)
        for name in methods(instance):
            result = measure(name, instance, limit, limit_s)
            results.setdefault(name, []).append(result)
    beside = statistics.median(yardsticks)
    return [
        Line(family.name, instance.size, name, summarise(found), beside)
        for name, found in results.items()
    ]


def time_yardstick() -> float:
    """Time the solver on one fixed program, seconds: 6 knapsacks over 20 columns, seed 1."""
    rng = random.Random(1)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    for _ in range(20):
        solver.addCol(-float(rng.randint(10, 30)), 0.0, 3.0, 0, [], [])
    for column in range(20):
        solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
    for _ in range(6):
        columns = sorted(rng.sample(range(20), 10))
        weights = [float(rng.randint(5, 25)) for _ in columns]
        solver.addRow(0.0, sum(weights), len(columns), columns, weights)
    began = time.perf_counter()
    solver.run()
    return time.perf_counter() - began


def render(lines: Sequence[Line]) -> str:
    """Make the Markdown table."""
    rule = "|".join("---" if number < 3 else "---:" for number in range(len(COLUMNS)))
    body = "\n".join(f"| {' | '.join(_cells(line))} |" for line in lines)
    return f"| {' | '.join(COLUMNS)} |\n|{rule}|\n{body}"


def describe_run(lines: Sequence[Line]) -> str:
    """Say in one sentence a line what the numbers come from, and what they add up to."""
    yardsticks = [line.yardstick_s * 1000 for line in lines]
    own = [line.row for line in lines if line.method == PLANNER]
    plans = sum(row.legal[1] for row in own)
    unproved, failed = sum(r.unproved for r in own), sum(r.legal[1] - r.legal[0] for r in own)
    return (
        f"Python {platform.python_version()}, highspy {highspy.Highs().version()}, one thread.\n"
        f"The yardstick took {min(yardsticks):.0f} to {max(yardsticks):.0f} ms, "
        f"{statistics.median(yardsticks):.0f} ms in the median.\n"
        f"Of {plans} plans of the planner, {unproved} are not proved optimal in every goal, "
        f"and {failed} fail the checker."
    )


def write(text: str) -> None:
    """Replace what stands between the markers in docs/benchmarks.md."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _cells(line: Line) -> Iterator[str]:
    row, own = line.row, line.method == PLANNER
    yield from (line.family, line.size, f"**{line.method}**" if own else line.method)
    yield f"{row.gpus:.1f}"
    yield _percent(row.gap)
    yield _percent(row.gap_staying)
    yield f"{row.acceptance:.1%}"[:-1] + ("" if row.at_most >= 1 else f" of {row.at_most:.1%}"[:-1])
    yield from (f"{row.moves:.1f}", f"{row.idle_compute:.1f}", f"{row.idle_memory:.1f}")
    yield from (f"{row.median_s * 1000:.1f}", f"{row.worst_s * 1000:.1f}")
    yield f"{row.median_s / line.yardstick_s:.2f}"
    yield f"{row.legal[0]}/{row.legal[1]}"
    yield f"{row.unproved}/{row.legal[1]}" if own else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"


def _sizes(family: Family, options: argparse.Namespace) -> tuple[int, ...]:
    sizes = (*family.sizes, *(family.large_sizes if options.large else ()))
    return tuple(size for size in sizes if not options.sizes or size in options.sizes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark the planner against its rivals.")
    parser.add_argument("--families", nargs="*", help="F1, F2, F6, F7, F9, F10; all by default")
    parser.add_argument("--sizes", nargs="*", type=int, help="only these sizes of each family")
    parser.add_argument("--seeds", type=int, help="instances of each size; by family by default")
    parser.add_argument("--large", action="store_true", help="the large sizes too: many minutes")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for the solver, 10")
    parser.add_argument("--write", action="store_true", help="write into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
