"""Find what an engine reaches of a board's peaks from the runs that `throughput` wrote.

    python -m benchmarks.fit measured.json [more.json …]

One number after the other takes the best of its grid while the others stand, round and round until
none changes; so the same runs always give the same numbers. Small models tell the time of a step
and of a prompt, large ones the shares of the peaks.

What is made least is the sum of the squared logarithms of measured by estimated, so that twice and
half count alike, and a model with ten times as many tokens a second counts no more than another.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed import HEAD, Compared, Timed, compare, row

from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.calibration import general_efficiency, whole_board
from gpuslice.sizing.throughput import Efficiency, SliceSpeed

_GRIDS = {
    "memory_share": tuple(n / 100 for n in range(30, 101)),
    "compute_share": tuple(n / 100 for n in range(30, 101)),
    "step_s": tuple(n / 20_000 for n in range(101)),
    "request_s": tuple(n / 2000 for n in range(61)),
}
_MOST_ROUNDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The points of one server.

    Attributes:
        model: What it served.
        work: What that costs.
        speed: The peaks of the card.
        timed: The points.
    """

    model: str
    work: TokenWork
    speed: SliceSpeed
    timed: tuple[Timed, ...]

    def compared(self, reached: Efficiency) -> tuple[Compared, ...]:
        """Hold every rate of every point against an estimate."""
        return compare(self.timed, self.work, self.speed, reached)


def main() -> None:
    """Fit, and show how well it is met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="what benchmarks.throughput wrote")
    asked = parser.parse_args()
    entries = [entry for file in asked.files for entry in json.loads(file.read_text())]
    servers = [read(entry) for entry in entries]
    found = fit(servers, general_efficiency(entries[0]["engine"]))
    print(HEAD)
    for server in servers:
        for one in server.compared(found):
            print(row(server.model, one))
    print(
        f"memory_share {found.memory_share}, compute_share {found.compute_share}, "
        f"step_ms {found.step_s * 1000:g}, request_ms {found.request_s * 1000:g}; "
        f"measured is {found.low:.2f} to {found.high:.2f} times "
        "the estimate"
    )


def read(entry: dict[str, Any]) -> Measured:
    """Read one server's entry."""
    return Measured(
        model=entry["shape"],
        work=TokenWork(**entry["work"]),
        speed=whole_board(entry["board"]),
        timed=tuple(Timed(**one) for one in entry["timed"]),
    )


def fit(servers: Sequence[Measured], start: Efficiency) -> Efficiency:
    """Find the numbers that fit best; ``low`` and ``high`` enclose every rate.

    Args:
        servers: What was measured: prompts alone, decode and whole answers, of models unlike in
            size, or the numbers cannot be told from one another.
        start: Where the search begins.
    """
    found = start
    for _ in range(_MOST_ROUNDS):
        before = found
        for name, grid in _GRIDS.items():
            changes: list[dict[str, Any]] = [{name: value} for value in grid]
            tried = [replace(found, **change) for change in changes]
            found = min(tried, key=lambda each: _misfit(servers, each))
        if found == before:
            break
    ratios = [one.measured / one.likely for s in servers for one in s.compared(found)]
    return replace(found, low=min(ratios), high=max(ratios))


def _misfit(servers: Sequence[Measured], tried: Efficiency) -> float:
    return sum(
        math.log(one.measured / one.likely) ** 2
        for server in servers
        for one in server.compared(tried)
    )


if __name__ == "__main__":
    main()
