"""Many results put together into the rows of the table.

Separate from measuring and from printing. The planner has a row for each family and size; each
rival has one for each group of families, over all their sizes, because what matters of it is how
far it is from the planner and not how it grows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.planner.measure import PLANNER, Result

ALL_SIZES = "all sizes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method on some instances; means unless said otherwise.

    Attributes:
        family: Family, variant or group.
        size: Size, or that of all.
        method: Method.
        instances: How many.
        gpus: GPUs in use.
        per_hour: Their price per hour in the currency, or None where each GPU counts as one.
        above: Cost above the independent bound, as a share, or None where it speaks of no plan.
        accepted: Share of what needed a slice that got one, over all instances.
        at_most: The independent bound on it.
        moves: Replicas moved.
        tight: Of the plans whose moves have an independent bound, how many reach it, and how many
            there are.
        idle_compute: Share of the compute slices of GPUs in use that nobody has, over all.
        idle_memory: The same of memory slices.
        median_s: Median time.
        worst_s: Longest time.
        ratio: Median of the times over that of the yardstick beside each.
        check_s: Median time of the checker.
        legal: Plans that passed the checker.
        unproved: Plans whose certificate leaves a goal open.
        worst_gap: Largest distance of a cost from its own certificate's bound, as a share, or None.
        better: Instances on which it stands better than the planner in the planner's own order.
        peak_mib: Memory that planning took, or None where that was not measured.
    """

    family: str
    size: str
    method: str
    instances: int = 0
    gpus: float | None = None
    per_hour: float | None = None
    above: float | None = None
    accepted: float | None = None
    at_most: float = 1.0
    moves: float | None = None
    tight: tuple[int, int] = (0, 0)
    idle_compute: float | None = None
    idle_memory: float | None = None
    median_s: float | None = None
    worst_s: float | None = None
    ratio: float | None = None
    check_s: float | None = None
    legal: int = 0
    unproved: int | None = None
    worst_gap: float | None = None
    better: int | None = None
    peak_mib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All results on one instance.

    Attributes:
        name: Family and variant.
        group: Under which name rivals are summed up.
        results: One for each method, the planner's first.
        yardstick_s: What the yardstick took just before, seconds.
        priced: True where GPUs have prices.
    """

    name: str
    group: str
    results: tuple[Result, ...]
    yardstick_s: float
    priced: bool

    @property
    def own(self) -> Result:
        """The planner's result."""
        return self.results[0]

    def better(self, result: Result) -> bool:
        """Tell whether a legal plan stands better than the planner's."""
        return not result.complaint and result.standing < self.own.standing


def rows(trials: Sequence[Trial], peaks: Mapping[tuple[str, str], float]) -> list[Row]:
    """Put all trials together, family by family, the planner first.

    Args:
        trials: What was tried.
        peaks: Memory that planning took, MiB, by family and size, where it was measured.
    """
    found = []
    for group in dict.fromkeys(trial.group for trial in trials):
        mine = [trial for trial in trials if trial.group == group]
        for name, size in dict.fromkeys((t.name, t.own.size) for t in mine):
            same = [t for t in mine if (t.name, t.own.size) == (name, size)]
            found.append(_row(name, size, PLANNER, same, peaks.get((name, size))))
        rivals = dict.fromkeys(r.method for trial in mine for r in trial.results[1:])
        found += [_row(group, ALL_SIZES, method, mine, None) for method in rivals]
    return found


def _row(
    family: str, size: str, method: str, trials: Iterable[Trial], peak_mib: float | None
) -> Row:
    """Put the results of one method together."""
    pairs = [(t, r) for t in trials for r in t.results if r.method == method]
    results = [result for _, result in pairs]
    own = method == PLANNER
    bounded = [result for result in results if result.moved_bound is not None]

    def mean(value: Callable[[Result], float]) -> float:
        return statistics.fmean(value(result) for result in results)

    waiting = sum(result.waiting for result in results)
    gaps = [result.gap for result in results if result.gap is not None]
    return Row(
        family=family,
        size=size,
        method=method,
        instances=len(results),
        gpus=mean(lambda result: result.gpus),
        per_hour=mean(lambda r: r.cost) / 1000 if all(t.priced for t, _ in pairs) else None,
        above=_mean_of_known(result.above for result in results),
        accepted=sum(result.accepted for result in results) / waiting,
        at_most=sum(result.at_most for result in results) / waiting,
        moves=mean(lambda result: result.moves),
        tight=(sum(r.moved == r.moved_bound for r in bounded), len(bounded)),
        idle_compute=_share(result.compute for result in results),
        idle_memory=_share(result.memory for result in results),
        median_s=statistics.median(result.seconds for result in results),
        worst_s=max(result.seconds for result in results),
        ratio=statistics.median(result.seconds / t.yardstick_s for t, result in pairs),
        check_s=statistics.median(result.check_s for result in results),
        legal=sum(not result.complaint for result in results),
        unproved=sum(bool(result.unproved) for result in results) if own else None,
        worst_gap=max(gaps, default=None) if own else None,
        better=None if own else sum(trial.better(result) for trial, result in pairs),
        peak_mib=peak_mib,
    )


def _share(parts: Iterable[tuple[int, int]]) -> float | None:
    """Divide what is idle by all there is, over all instances."""
    listed = list(parts)
    whole = sum(all_ for _, all_ in listed)
    return sum(idle for idle, _ in listed) / whole if whole else None


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known, or None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
