"""Find what an engine reaches of a board's peaks from the runs that `throughput` wrote.

    python -m benchmarks.fit measured.json [more.json …]

Two steps, each a search over a grid, so that the same runs always give the same numbers:

1. ``compute_share`` from prompts alone: nothing else is in them.
2. ``memory_share`` and the fixed time of a step from decode alone, with that share of the
   arithmetic. Small models tell the time of a step, large ones the share of the bandwidth.

What is made least is the sum of the squared logarithms of measured by estimated, so that twice and
half count alike, and a model with ten times as many tokens a second counts no more than another.
Whole answers take no part; how well they are met is the test of the fit.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed import HEAD, Compared, Timed, compare, row

from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.calibration import general_efficiency, whole_board
from gpuslice.sizing.throughput import Efficiency, SliceSpeed

_SHARES = tuple(n / 100 for n in range(30, 101))
_STEPS_MS = tuple(n / 20 for n in range(101))


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
        f"step_ms {found.step_s * 1000:g}; measured is {found.low:.2f} to {found.high:.2f} times "
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
    """Find the shares and the step that fit best; ``low`` and ``high`` enclose every rate.

    Args:
        servers: What was measured; some prompts alone and some decode are among it.
        start: Where nothing says otherwise.
    """
    prefill = _best(
        (replace(start, compute_share=share) for share in _SHARES),
        lambda tried: _misfit(servers, tried, "prefill"),
    )
    found = _best(
        (
            replace(prefill, memory_share=share, step_s=step_ms / 1000)
            for share in _SHARES
            for step_ms in _STEPS_MS
        ),
        lambda tried: _misfit(servers, tried, "decode"),
    )
    ratios = [one.measured / one.likely for s in servers for one in s.compared(found)]
    return replace(found, low=min(ratios), high=max(ratios))


def _best(tried: Iterable[Efficiency], misfit: Callable[[Efficiency], float]) -> Efficiency:
    return min(tried, key=misfit)


def _misfit(servers: Sequence[Measured], tried: Efficiency, what: str) -> float:
    return sum(
        math.log(one.measured / one.likely) ** 2
        for server in servers
        for one in server.compared(tried)
        if one.what == what
    )


if __name__ == "__main__":
    main()
