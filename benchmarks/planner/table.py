"""The table in docs/benchmarks.md: rows as Markdown, and what they add up to in sentences."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.planner.measure import PLANNER, Result
from benchmarks.planner.relaxation import Silent
from benchmarks.planner.rows import Row, Trial

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- planner table: begin -->", "<!-- planner table: end -->"
COLUMNS = (
    *("family", "size", "method", "n", "GPUs", "EUR/h", "above bound %", "accepted %", "moves"),
    *("least moves", "idle compute %", "idle memory %", "median ms", "worst ms", "ratio"),
    *("check ms", "legal", "unproved", "gap %", "better", "MiB"),
)
_WORDS = 3


def render(rows: Sequence[Row]) -> str:
    """Make the Markdown table."""
    rule = "|".join("---" if number < _WORDS else "---:" for number in range(len(COLUMNS)))
    body = "\n".join(f"| {' | '.join(_cells(row))} |" for row in rows)
    return f"| {' | '.join(COLUMNS)} |\n|{rule}|\n{body}"


def describe_run(trials: Sequence[Trial]) -> str:
    """Say in one sentence a line what the numbers come from, and what they add up to."""
    return "\n".join((*_setting(trials), *_proofs(trials), *_rivals(trials)))


def write(text: str, document: Path = DOCUMENT) -> None:
    """Replace what stands between the markers of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _setting(trials: Sequence[Trial]) -> Iterator[str]:
    yardsticks = [trial.yardstick_s * 1000 for trial in trials]
    yield (
        f"Python {platform.python_version()}, highspy {Silent().version()}, one thread, "
        f"{len(trials)} instances."
    )
    yield (
        f"The yardstick took {min(yardsticks):.0f} to {max(yardsticks):.0f} ms, "
        f"{statistics.median(yardsticks):.0f} ms in the median."
    )


def _proofs(trials: Sequence[Trial]) -> Iterator[str]:
    """Say how many plans of the planner are proved, legal, and equal to independent bounds."""
    own = [trial.own for trial in trials]
    failed = [result for result in own if result.complaint]
    costs = [result for result in own if result.cost_bound is not None]
    moves = [result for result in own if result.moved_bound is not None]
    yield f"Of {len(own)} plans of the planner, {len(failed)} fail the checker{_where(failed)}."
    for goal in dict.fromkeys(result.unproved for result in own if result.unproved):
        open_ = [result for result in own if result.unproved == goal]
        yield f"{len(open_)} leave the goal “{goal}” unproved{_where(open_)}."
    if not any(result.unproved for result in own):
        yield "All are proved optimal in every goal."
    met = sum(result.cost == result.cost_bound for result in costs)
    yield f"The cost equals the independent bound on {met} of the {len(costs)} it speaks of."
    met = sum(result.moved == result.moved_bound for result in moves)
    yield f"The moves equal their independent bound on {met} of the {len(moves)} it was asked for."


def _rivals(trials: Sequence[Trial]) -> Iterator[str]:
    """Say where any rival stands better, and which of their plans are not legal."""
    pairs = [(trial, result) for trial in trials for result in trial.results[1:]]
    better = [result for trial, result in pairs if trial.better(result)]
    illegal = [result for _, result in pairs if result.complaint]
    yield (
        f"Of {len(pairs)} plans of rivals, {len(better)} stand better than the planner's in its "
        f"own order of goals{_where(better)}, and {len(illegal)} fail the checker{_where(illegal)}."
    )


def _where(results: Sequence[Result]) -> str:
    """Name the instances, as many as can be read."""
    named = [
        f"{r.family}, {r.size}, seed {r.seed}" + ("" if r.method == PLANNER else f": {r.method}")
        for r in results
    ]
    if not named:
        return ""
    shown, rest = named[:8], len(named) - 8
    return f" ({'; '.join(shown)}{f'; and {rest} more' if rest > 0 else ''})"


def _cells(row: Row) -> Iterator[str]:
    own = row.method == PLANNER
    yield from (row.family, row.size, f"**{row.method}**" if own else row.method)
    yield str(row.instances) if row.instances else ""
    yield _number(row.gpus, 1)
    yield _number(row.per_hour, 2)
    yield _percent(row.above, 2)
    yield _percent(row.accepted, 1) + (f" of {_percent(row.at_most, 1)}" if row.at_most < 1 else "")
    yield _number(row.moves, 1)
    yield f"{row.tight[0]}/{row.tight[1]}" if row.tight[1] else ""
    yield from (_percent(row.idle_compute, 1), _percent(row.idle_memory, 1))
    yield from (_number(_ms(row.median_s), 1), _number(_ms(row.worst_s), 1))
    yield _number(row.ratio, 2)
    yield _number(_ms(row.check_s), 1)
    yield f"{row.legal}/{row.instances}" if row.instances else ""
    yield "" if row.unproved is None else str(row.unproved)
    yield _percent(row.worst_gap, 3)
    yield "" if row.better is None else str(row.better)
    yield _number(row.peak_mib, 0)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None, digits: int) -> str:
    return "" if share is None else f"{share * 100:.{digits}f}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
