"""The cheapest recipe of every service at given prices of slices: covering knapsacks, many at once.

Separate because this is where the time of large choices goes, so that it is written over arrays.

**Problem.** For each service: ``min prices · n`` over counts ``n`` with ``rates · n >= target`` and
at most ``limit`` slices.

**Method.** Lagrangian first: with a price ``extra >= 0`` on each slice and ``value`` on each unit
of throughput, the least of ``(prices + extra) / rates``, no recipe costs less than
``base = value * target - extra * limit``, and what a recipe costs above that is a sum of terms that
are never negative: ``excess[article]`` for each of its slices, ``value`` for throughput beyond the
target, ``extra`` for each slice that was allowed and not used. So a recipe that costs at most
``base + slack`` has few slices of large excess, and all such recipes are found by going through
the articles, largest excess first, with the slack that is left; the last article fills what is
missing. The first step is a quick recipe that is good already; its cost is the slack.

**Proof.** Prices are integers (`Instance.ticks` to the unit), so costs are exact. Excess and slack
are floating-point, and more than rounding can do (``blur``) is added to the slack, which lets more
recipes through, never fewer. Where only the cheapest recipe is wanted and partial ones abound,
those go that miss no less than another and cost no less: whatever completes them completes it.
Where too many are left, a service is *open*: its least cost is bounded by ``base`` alone.

Source: knapsacks by branch and bound in the order of ratios (Martello and Toth 1990).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuslice.planner.recipes.market import Flags, Floats, Instance, Ints
from gpuslice.planner.recipes.nodes import Frame, Nodes, starts

_AT_ONCE = 2_400_000
"""Counts that may lie in memory at once."""

_PER_SERVICE = 40_000
"""Partial recipes of one service; beyond that it is open."""

_LISTED = 1_000
"""Recipes of one service in a list; a program does better with the slices of one that has more."""

_AT_ALL = 12_000_000
"""Partial recipes of one call, a few seconds; services that come later are open."""

_CROWDED = 64
"""Partial recipes for each service at which it pays to compare them."""

_BATCH = 2_000
"""Services that are looked at together to begin with."""

_BISECTIONS = 40

_BLUR = 1e-12
"""What arithmetic may add to a sum of its size, and a good deal more."""

_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """The best recipe known of each service, and what none can cost less than.

    Attributes:
        recipes: Counts by service and article.
        bounds: Proven least cost by service, ticks.
    """

    recipes: Ints
    bounds: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All minimal recipes within a slack.

    Attributes:
        services: Service by recipe.
        recipes: Counts by recipe and article.
        open: Services whose recipes are not listed: they are too many, or only bounds are known.
    """

    services: Ints
    recipes: Ints
    open: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Recipes found by a search, and which services have too many of them."""

    services: Ints
    recipes: Ints
    open: Flags


class Knapsacks:
    """The covering knapsacks of all services; owned by one choice of recipes.

    Attributes:
        work: Partial recipes looked at so far.
    """

    def __init__(self, instance: Instance) -> None:
        self.work = 0
        self._targets = instance.targets
        self._rates = instance.rates
        self._limits = instance.limits
        self._usable = instance.rates > 0
        slowest = np.where(self._usable, instance.rates, _ENDLESS).min(axis=1, initial=_ENDLESS)
        # No minimal recipe of these services breaks the limit, so it need not be watched.
        self._free = instance.limits >= -(-instance.targets // slowest)
        self._slots = instance.limits * np.where(self._free, instance.articles, 1)

    def rough(self, prices: Ints) -> Cheapest:
        """Do as `cheapest` in a small part of the time: good recipes and lower bounds."""
        frame = self._frame(prices)
        return Cheapest(recipes=self._quick(prices, frame.best), bounds=frame.floor)

    def cheapest(self, prices: Ints) -> Cheapest:
        """Find the cheapest recipe of every service."""
        frame = self._frame(prices)
        recipes = self._quick(prices, frame.best)
        costs = recipes @ prices
        found = self._search(frame, costs - frame.base, complete=False)
        found_costs = found.recipes @ prices
        cheaper = np.flatnonzero(found_costs < costs[found.services])
        ranked = cheaper[np.lexsort((found_costs[cheaper], found.services[cheaper]))]
        first = ranked[starts(found.services[ranked])]
        recipes[found.services[first]] = found.recipes[first]
        costs[found.services[first]] = found_costs[first]
        bounds = np.where(found.open, np.minimum(costs, frame.floor), costs)
        return Cheapest(recipes=recipes, bounds=bounds)

    def within(self, prices: Ints, most: Ints) -> Listing:
        """List every minimal recipe that costs at most so much, by service.

        A recipe is minimal when it misses the target without any one of its slices.
        """
        frame = self._frame(prices)
        found = self._search(frame, most - frame.base, complete=True)
        costs = found.recipes @ prices
        rates = self._rates[found.services]
        spare = (found.recipes * rates).sum(axis=1) - self._targets[found.services]
        smallest = np.where(found.recipes > 0, rates, _ENDLESS).min(axis=1, initial=_ENDLESS)
        kept = (costs <= most[found.services]) & (spare < smallest) & ~found.open[found.services]
        counts = np.bincount(found.services[kept], minlength=len(self._targets))
        open_ = (counts == 0) | (counts > _LISTED)
        kept &= ~open_[found.services]
        return Listing(services=found.services[kept], recipes=found.recipes[kept], open=open_)

    def _frame(self, prices: Ints) -> Frame:
        extra = self._extra(prices)
        ratios = self._ratios(prices, extra)
        best = ratios.argmin(axis=1)
        value = np.take_along_axis(ratios, best[:, None], axis=1)
        worth = value[:, 0] * self._targets
        excess = np.maximum(0.0, prices + extra[:, None] - value * self._rates)
        excess[~self._usable] = np.inf
        order = np.argsort(-excess, axis=1, kind="stable")
        rates = np.take_along_axis(self._rates, order, axis=1)
        return Frame(
            base=worth - extra * self._limits,
            blur=1 + _BLUR * (worth + extra * self._limits),
            best=best,
            order=order,
            excess=np.take_along_axis(excess, order, axis=1),
            rates=rates,
            prices=prices[order],
            reach=np.maximum.accumulate(rates[:, ::-1], axis=1)[:, ::-1],
        )

    def _ratios(self, prices: Ints, extra: Floats) -> Floats:
        """Price per throughput, by service and article."""
        ratios = np.full(self._rates.shape, np.inf)
        np.divide(prices + extra[:, None], self._rates, out=ratios, where=self._usable)
        return ratios

    def _extra(self, prices: Ints) -> Floats:
        """Price the slice itself where the best article alone would need too many of them.

        Any such price is right; the best one, found by bisection, makes the bound tight.
        """
        low, high = np.zeros(len(self._targets)), np.zeros(len(self._targets))
        step = float(prices.max(initial=1))
        short = self._too_many(prices, high)
        while short.any():
            low[short] = high[short]
            high[short] += step
            step *= 4
            short = self._too_many(prices, high)
        for _ in range(_BISECTIONS if high.any() else 0):
            middle = (low + high) / 2
            short = self._too_many(prices, middle)
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return high

    def _too_many(self, prices: Ints, extra: Floats) -> Flags:
        """Tell which services need more slices of the best article than they may have."""
        best = self._ratios(prices, extra).argmin(axis=1)
        return self._limits * self._rate(best) < self._targets

    def _rate(self, article: Ints) -> Ints:
        """Rate of one article for each service."""
        return np.take_along_axis(self._rates, article[:, None], axis=1)[:, 0]

    def _quick(self, prices: Ints, best: Ints) -> Ints:
        """Try every article alone, and the best one completed by one other."""
        everyone = np.arange(len(self._targets))
        costs = np.full(len(everyone), _ENDLESS)
        recipes = np.zeros(self._rates.shape, dtype=np.int64)
        fill = self._targets // self._rate(best)
        for article in range(self._rates.shape[1]):
            rates = np.maximum(1, self._rates[:, article])
            for many in (0 * fill, fill, np.maximum(0, fill - 1)):
                few = np.maximum(0, -(-(self._targets - many * self._rate(best)) // rates))
                cost = few * prices[article] + many * prices[best]
                legal = self._usable[:, article] & (few + many <= self._limits)
                better = np.flatnonzero(legal & (cost < costs))
                costs[better] = cost[better]
                recipes[better] = 0
                recipes[better, best[better]] = many[better]
                recipes[better, article] += few[better]
        return recipes

    def _search(self, frame: Frame, slack: Floats, *, complete: bool) -> _Found:
        """Find all recipes within a slack above the base, or at least the cheapest of them."""
        searched = np.flatnonzero(slack > -frame.blur)
        batches = [searched[at : at + _BATCH] for at in range(0, len(searched), _BATCH)][::-1]
        nobody = np.zeros((0, frame.rates.shape[1]), dtype=np.int64)
        services, recipes = [searched[:0]], [nobody]
        too_many = np.zeros(len(slack), dtype=np.bool_)
        budget = self.work + _AT_ALL
        while batches:
            batch = batches.pop()
            nodes = None if self.work > budget else self._walk(frame, batch, slack, complete)
            if nodes is not None:
                services.append(nodes.services)
                recipes.append(nodes.counts)
            elif len(batch) == 1 or self.work > budget:
                too_many[batch] = True
            else:
                batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
        return _Found(
            services=np.concatenate(services), recipes=np.concatenate(recipes), open=too_many
        )

    def _walk(self, frame: Frame, batch: Ints, slack: Floats, complete: bool) -> Nodes | None:
        """Go through the articles; None where that is too much at once."""
        width = frame.rates.shape[1]
        most = _AT_ONCE // width if len(batch) > 1 else _PER_SERVICE
        nodes = Nodes(
            services=batch,
            missing=self._targets[batch],
            slots=self._slots[batch],
            slack=(slack + frame.blur)[batch],
            costs=np.zeros(len(batch), dtype=np.int64),
            counts=np.zeros((len(batch), width), dtype=np.int64),
        )
        for place in range(width - 1):
            choices = nodes.choices(frame, place)
            grown = len(choices) + int(choices.sum())
            if grown > most:
                return None
            self.work += grown
            nodes = nodes.branched(frame, place, choices)
            if not complete and len(nodes.services) > _CROWDED * len(batch):
                nodes = nodes.undominated(self._free)
        return nodes.filled(frame)
