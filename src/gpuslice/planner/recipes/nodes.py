"""Partial recipes of many services, and how they grow by one article after the other.

Separate from `gpuslice.planner.recipes.knapsacks`, which tells why this finds every recipe within a
slack: here is the bookkeeping over arrays, one entry for each partial recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuslice.planner.recipes.market import Flags, Floats, Ints

_BEYOND_ALL = 2.0**45
"""More ticks than any recipe costs, and few enough that many services of it can be added up."""

_NO_LIMIT = 1e12

_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The Lagrangian view of all services at given prices.

    Attributes:
        base: What no recipe costs less than, by service, ticks.
        blur: More than arithmetic can have added to it, by service, ticks.
        best: The article of least price per throughput, by service.
        order: Articles by service, largest excess first, those of no use before all others.
        excess: By service, in that order; infinite where an article is of no use.
        rates: By service, in that order.
        prices: By service, in that order, ticks.
        reach: The highest rate from a place of that order on, by service.
    """

    base: Floats
    blur: Floats
    best: Ints
    order: Ints
    excess: Floats
    rates: Ints
    prices: Ints
    reach: Ints

    @property
    def floor(self) -> Ints:
        """The base in whole ticks; of a service that nothing can meet, more than any recipe."""
        return np.floor(np.minimum(self.base - self.blur, _BEYOND_ALL)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Partial recipes.

    Attributes:
        services: Whose recipe it is.
        missing: Throughput that is still missing; negative when there is more than wanted.
        slots: How many more slices it may have.
        slack: How much more it may cost than the base, ticks.
        costs: What it costs so far, ticks.
        counts: Slices so far, by article.
    """

    services: Ints
    missing: Ints
    slots: Ints
    slack: Floats
    costs: Ints
    counts: Ints

    def choices(self, frame: Frame, place: int) -> Ints:
        """How many slices of the article at a place each may take at most."""
        excess = frame.excess[self.services, place]
        bearable = np.full(len(excess), _NO_LIMIT)
        np.divide(self.slack, excess, out=bearable, where=excess > 0)
        useful = -(-np.maximum(self.missing, 0) // np.maximum(1, frame.rates[self.services, place]))
        bearable = np.floor(np.minimum(bearable, _NO_LIMIT)).astype(np.int64)
        choices: Ints = np.minimum(np.minimum(self.slots, useful), bearable)
        return choices

    def branched(self, frame: Frame, place: int, choices: Ints) -> Nodes:
        """Take each number of slices up to the choices; drop what can reach no target then."""
        parents = np.repeat(np.arange(len(choices)), choices + 1)
        firsts = np.cumsum(choices + 1) - choices - 1
        taken = np.arange(len(parents)) - firsts[parents]
        services = self.services[parents]
        missing = self.missing[parents] - taken * frame.rates[services, place]
        slots = self.slots[parents] - taken
        alive = slots * frame.reach[services, place + 1] >= missing
        parents, taken, services = parents[alive], taken[alive], services[alive]
        counts = self.counts[parents]
        counts[np.arange(len(parents)), frame.order[services, place]] = taken
        spent = np.zeros(len(parents))
        np.multiply(taken, frame.excess[services, place], out=spent, where=taken > 0)
        return Nodes(
            services=services,
            missing=missing[alive],
            slots=slots[alive],
            slack=self.slack[parents] - spent,
            costs=self.costs[parents] + taken * frame.prices[services, place],
            counts=counts,
        )

    def undominated(self, free: Flags) -> Nodes:
        """Drop what misses at least as much as another of the same service, and costs no less.

        Args:
            free: Services where the number of slices does not matter.
        """
        missing = np.maximum(0, self.missing)
        order = np.lexsort((self.costs, missing, self.services))
        runs = np.cumsum(starts(self.services[order]))
        # Far enough apart that the least so far of one service is above all of the next.
        step = int(self.costs.max(initial=0)) + 1
        if step * (len(self.services) + 1) > _ENDLESS:
            return self
        levels = self.costs[order] - runs * step
        least = np.minimum.accumulate(levels)
        better = np.concatenate(([True], levels[1:] < least[:-1]))
        kept = order[better | ~free[self.services[order]]]
        return Nodes(
            services=self.services[kept],
            missing=self.missing[kept],
            slots=self.slots[kept],
            slack=self.slack[kept],
            costs=self.costs[kept],
            counts=self.counts[kept],
        )

    def filled(self, frame: Frame) -> Nodes:
        """Fill what is missing with the last article."""
        last = frame.rates.shape[1] - 1
        rates = np.maximum(1, frame.rates[self.services, last])
        taken = -(-np.maximum(self.missing, 0) // rates)
        alive = np.flatnonzero(taken <= self.slots)
        counts = self.counts[alive]
        counts[np.arange(len(alive)), frame.order[self.services[alive], last]] = taken[alive]
        return Nodes(
            services=self.services[alive],
            missing=self.missing[alive],
            slots=self.slots[alive],
            slack=self.slack[alive],
            costs=self.costs[alive],
            counts=counts,
        )


def starts(ordered: Ints) -> Flags:
    """Flag the first of each run of equal values."""
    first: Flags = np.diff(ordered, prepend=-1) != 0
    return first
