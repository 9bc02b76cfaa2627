"""Try every point of every scenario on every board family: ``make chaos``.

    python -m benchmarks.chaos.suite [--family a100 …] [--scenario mixed …] [--kind kill …]

Says how many points it tried and how many broke; the exit status is 1 if any did.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from benchmarks.chaos.points import Kind, Point, failures, points, undoing_points
from benchmarks.chaos.scenarios import FAMILIES, SCENARIOS
from benchmarks.chaos.stage import Wings
from benchmarks.chaos.trial import Undisturbed, calls_of, try_point, undisturbed

AT_ONCE = 40
"""Points that a process takes at a time."""

SHOWN = 20
"""Broken points that are told in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some points of one scenario on one family."""

    family: str
    scenario: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A point after which something did not hold."""

    family: str
    scenario: str
    point: Point
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Say where, and what."""
        what = "".join(f"\n    {line}" for line in self.lines)
        return f"{self.family}, {self.scenario}: {self.point}{what}"


def every_point(family: str, scenario: str) -> Iterator[Point]:
    """Yield every point of a scenario on a family."""
    wings, plain = _prepared(family, scenario)
    yield from points(plain.run)
    for failure in failures(plain.run):
        with wings.stage() as stage:
            calls = calls_of(stage, failure)
        yield from undoing_points(failure, calls)


def attempt(batch: Batch) -> tuple[int, tuple[Broken, ...]]:
    """Try some points; returns how many, and what broke."""
    wings, plain = _prepared(batch.family, batch.scenario)
    broken = []
    for point in batch.points:
        with wings.stage() as stage:
            try:
                lines = try_point(stage, point, plain)
            except Exception as error:  # noqa: BLE001 - an error that is not ours is a break too
                lines = (f"{type(error).__name__}: {error}",)
        if lines:
            place = {"family": batch.family, "scenario": batch.scenario}
            broken.append(Broken(**place, point=point, lines=lines))
    return len(batch.points), tuple(broken)


def batches(
    families: Iterable[str], scenarios: Iterable[str], kinds: frozenset[Kind], *, every: int = 1
) -> Iterator[Batch]:
    """Yield all there is to try.

    Args:
        families: Boards, by family.
        scenarios: Scenarios, by name.
        kinds: What goes wrong.
        every: Take each n-th point only.
    """
    for family in families:
        for scenario in scenarios:
            wanted = (p for p in every_point(family, scenario) if p.kind in kinds)
            chosen = islice(wanted, 0, None, every)
            while some := tuple(islice(chosen, AT_ONCE)):
                yield Batch(family=family, scenario=scenario, points=some)


@cache
def _folder() -> TemporaryDirectory[str]:
    """Where machines are made: in memory where there is such a place, since nothing has to last."""
    memory = Path("/dev/shm")
    return TemporaryDirectory(dir=memory if memory.is_dir() else gettempdir(), prefix="chaos-")


@cache
def _prepared(family: str, scenario: str) -> tuple[Wings, Undisturbed]:
    folder = Path(_folder().name, f"{family}-{scenario}-{os.getpid()}")
    wings = Wings(family, scenario, folder)
    with wings.stage() as stage:
        return wings, undisturbed(stage)


def main() -> int:
    """Try everything that was asked for; 1 where something broke."""
    asked = _arguments()
    logging.disable(logging.CRITICAL)
    kinds = frozenset(Kind(kind) for kind in asked.kind)
    todo = batches(asked.family, asked.scenario, kinds, every=asked.every)
    tried, broken = Counter[str](), list[Broken]()
    began = shown = time.monotonic()
    with Pool(asked.processes) as pool:
        for batch, (count, failed) in pool.imap(_attempt_named, todo):
            tried[f"{batch.family} {batch.scenario}"] += count
            for one in failed[: max(0, SHOWN - len(broken))]:
                print(f"BROKEN {one}", flush=True)
            broken += failed
            if time.monotonic() - shown > asked.progress_s:
                shown = time.monotonic()
                where = f"{batch.family} {batch.scenario}"
                print(f"{tried.total():8} tried, {len(broken)} broke; {where}", file=sys.stderr)
    _tell(tried, broken, time.monotonic() - began)
    return 1 if broken else 0


def _attempt_named(batch: Batch) -> tuple[Batch, tuple[int, tuple[Broken, ...]]]:
    return batch, attempt(batch)


def _tell(tried: Counter[str], broken: list[Broken], took_s: float) -> None:
    bad = Counter(f"{one.family} {one.scenario}" for one in broken)
    for name, count in tried.items():
        print(f"{name:28} {count:8} points {bad[name]:6} broke")
    print(f"{tried.total()} points tried in {took_s:.0f} s, {len(broken)} broke")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    kinds = [kind.value for kind in Kind]
    parser.add_argument("--kind", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--every", type=int, default=1, help="try each n-th point only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--progress-s", type=float, default=10.0, help="seconds between lines")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
