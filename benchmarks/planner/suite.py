"""The benchmark of the planner: every family, size and seed, every method, one table, one picture.

Run it with ``make benchmarks-planner``; options narrow it down, ``--large`` adds the large sizes,
``--write`` puts the table and the picture into docs. Times stand beside a yardstick: the same
solver on a small fixed program, timed before each instance of the same run, so that a slow or busy
machine shows. Nothing here is asserted in tests.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence

import highspy
from benchmarks.planner import parvagpu
from benchmarks.planner.bounds import bound
from benchmarks.planner.families import Family, families
from benchmarks.planner.measure import PLANNER, measure, methods
from benchmarks.planner.online_rows import online_rows
from benchmarks.planner.peak import peak_mib
from benchmarks.planner.plot import PICTURE, draw
from benchmarks.planner.relaxation import Silent
from benchmarks.planner.rows import Trial, rows
from benchmarks.planner.table import describe_run, render, write

_PATIENCE = 3
"""How many times the solver's limit any method may take before it counts as not answering."""

_MEMORY_FROM = 4000
"""From so many GPUs, replicas or services on, the memory that planning takes is measured."""


def main() -> None:
    """Run what was asked for, print the table, and write it down if that was asked for too."""
    options = _options()
    if parvagpu.data_folder() is None:
        _say(f"F3 and F4 ARE LEFT OUT: {parvagpu.VARIABLE} does not name ParvaGPU's data")
    trials: list[Trial] = []
    peaks: dict[tuple[str, str], float] = {}
    for family, size in _asked_for(options):
        began = time.perf_counter()
        found = list(run(family, size, options))
        trials += found
        if size >= _MEMORY_FROM:
            peaks[family.name, found[0].own.size] = peak_mib(family.name, size, options.limit)
        _say(f"{family.name}, {found[0].own.size}: {time.perf_counter() - began:.1f} s")
    lines = rows(trials, peaks)
    if not options.families or "F8" in options.families:
        lines += online_rows()
    text = f"{describe_run(trials)}\n\n{render(lines)}" if trials else render(lines)
    print(text)
    if options.write:
        write(text)
        PICTURE.write_text(draw(trials), encoding="utf-8")


def run(family: Family, size: int, options: argparse.Namespace) -> Iterator[Trial]:
    """Try every method on every seed of one size; the yardstick runs before each seed."""
    for seed in range(options.seeds or family.seeds_of(size)):
        instance = family.draw(size, seed)
        limit = bound(instance)
        yardstick_s = time_yardstick()
        chosen = (PLANNER,) if options.alone else methods(instance)
        yield Trial(
            name=family.name,
            group=family.group,
            results=tuple(
                measure(name, instance, limit, options.limit, _PATIENCE * options.limit)
                for name in chosen
            ),
            yardstick_s=yardstick_s,
            priced=instance.rules.prices is not None,
        )


def time_yardstick() -> float:
    """Time the solver on one fixed program, seconds: 6 knapsacks over 20 columns, seed 1."""
    rng = random.Random(1)
    solver = Silent()
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


def _asked_for(options: argparse.Namespace) -> Iterator[tuple[Family, int]]:
    for family in families():
        if not options.families or family.name.split()[0] in options.families:
            for size in (*family.sizes, *(family.large_sizes if options.large else ())):
                if not options.sizes or size in options.sizes:
                    yield family, size


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark the planner against its rivals.")
    parser.add_argument("--families", nargs="*", help="F1 to F10; all by default")
    parser.add_argument("--sizes", nargs="*", type=int, help="only these sizes of each family")
    parser.add_argument("--seeds", type=int, help="instances of each size; by family by default")
    parser.add_argument("--large", action="store_true", help="the large sizes too")
    parser.add_argument("--alone", action="store_true", help="the planner only, without rivals")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for the solver, 10")
    parser.add_argument("--write", action="store_true", help="write into docs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
