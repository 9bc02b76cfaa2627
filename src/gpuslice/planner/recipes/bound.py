"""Prices of slices, and the bound they prove: column generation over whole groups of services.

Separate from the choice itself (`gpuslice.planner.recipes.search`): this relaxes it, and whatever
happens here, the bound is right.

**Bound.** Give every article a price. Any choice of GPUs and recipes then costs at least what the
services' recipes are worth at these prices at the least, and the orders' slices, minus what GPUs
supply beyond their own price, as many as there are: the Lagrangian bound of the rows "supply is at
least demand". It holds for *any* prices, so it does not matter where they come from or how exact
the solver is: prices are integers (ticks), worth is added up in integers, and the least cost of a
recipe is proven (`gpuslice.planner.recipes.knapsacks`).

**Prices.** The best ones are the dual values of the linear program over layouts and recipes. It has
more columns than anybody could list; those that matter are found by asking for the cheapest recipes
at the prices of the moment, adding them and solving again. There is a row for each article, order
and offer, and only few for services: the recipes of a group are added up to one column, which
leaves the program as small for ten thousand services as for ten, and takes about ten rounds all the
same. Prices that are asked about lie half-way between the best so far and the program's, since
those of a program with few columns are wild.

Source: Gilmore and Gomory 1961; Dantzig and Wolfe 1960 (bound and aggregation); Wentges 1997
(smoothing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.blocks import (
    first_rows,
    gpu_block,
    layout_block,
    recipe_block,
    substitute_block,
    use_block,
)
from gpuslice.planner.recipes.knapsacks import Knapsacks
from gpuslice.planner.recipes.market import Instance, Ints
from gpuslice.planner.recipes.solver import End, Outcome, Program

_GROUPS = 64
"""Most groups of services; fewer services are groups of their own."""

_PATIENCE = 15
"""Rounds without a better bound after which nothing more is expected."""

_SMOOTHING = 0.5
"""Weight of the best prices so far in what is asked about next. Where that did not change the
program's value, its own prices are asked about, which end the generation or change it."""

_CLOSE = 1e-7
"""Relative distance to the program's value at which the bound is as good as it gets."""

_LITTLE = 0.05
"""Share of the way to the next whole unit that may be left when the bound rounds to the same."""

_DEAR = 2
"""What a slice from nowhere costs in the relaxed program, in GPUs of the dearest kind. This keeps
the program feasible; where stock is short it bounds the prices and so weakens the bound."""

_ENDLESS = np.iinfo(np.int64).max

_SECONDS_OF_WORK = 2e-7
"""What a partial recipe takes, measured; charged to the allowance, since nobody reads a clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dual:
    """Prices of slices and what they prove.

    Attributes:
        prices: By article, ticks.
        worths: Proven least worth of a recipe, by service, ticks.
        value: No choice costs less, ticks.
        why: Why better prices were not looked for, or "".
    """

    prices: Ints
    worths: Ints
    value: int
    why: str = ""

    def bound(self, instance: Instance) -> int:
        """What no choice costs less than, units."""
        return max(0, -(-self.value // instance.ticks))


def guess_prices(instance: Instance) -> Ints:
    """Price every article at its share of the cheapest GPU that is full of it; ticks.

    GPUs that cost nothing count as the dearest: what lies on them is scarce, not cheap.
    """
    dearest = instance.prices.max(initial=1)
    paid = np.where(instance.prices > 0, instance.prices, dearest)[instance.offer_of]
    shares = np.full(instance.layouts.shape, np.inf)
    np.divide(paid[:, None], instance.layouts, out=shares, where=instance.layouts > 0)
    share = shares.min(axis=0, initial=dearest + 1.0)
    in_ticks: Ints = np.floor(share * instance.ticks).astype(np.int64)
    return in_ticks


def first_dual(instance: Instance, knapsacks: Knapsacks) -> Dual:
    """Prove what can be proved without a solver: the guess, brought down to what GPUs cost."""
    prices = guess_prices(instance)
    worth = (instance.layouts @ prices).astype(np.float64)
    paid = (instance.prices[instance.offer_of] * instance.ticks).astype(np.float64)
    share = np.min(paid[paid > 0] / worth[paid > 0], initial=1.0)
    prices = np.floor(prices * share).astype(np.int64)
    return _dual(instance, prices, knapsacks.rough(prices).bounds)


def best_dual(instance: Instance, knapsacks: Knapsacks, allowance: Allowance, run: Run) -> Dual:
    """Look for the prices that prove most.

    Args:
        instance: What is chosen from.
        knapsacks: Its services.
        allowance: How long the solver may take; what it takes, and work of ours, is noted there.
        run: What lets the solver run.

    Returns:
        The best prices found. They need not be the best there are: where the solver stops early or
        fails, the bound is lower.
    """
    return _Generation(instance, knapsacks, allowance, run).best(first_dual(instance, knapsacks))


def _dual(instance: Instance, prices: Ints, worths: Ints) -> Dual:
    """Add up the Lagrangian bound, in integers of any size."""
    slices = np.where(instance.accepts, prices, _ENDLESS).min(axis=1, initial=_ENDLESS)
    surplus = surplus_of(instance, prices)
    return Dual(
        prices=prices,
        worths=worths,
        value=_total(worths) + _total(slices, instance.wants) - _total(surplus, instance.most),
    )


def reduced_prices(instance: Instance, prices: Ints) -> Ints:
    """What a GPU of each layout costs beyond the worth of its slices, ticks; may be negative."""
    return instance.prices[instance.offer_of] * instance.ticks - instance.layouts @ prices


def surplus_of(instance: Instance, prices: Ints) -> Ints:
    """What a GPU of each offer is worth beyond its price at most, ticks."""
    surplus = np.zeros_like(instance.most)
    np.maximum.at(surplus, instance.offer_of, -reduced_prices(instance, prices))
    return surplus


def _total(values: Ints, counts: Ints | None = None) -> int:
    """Add up where 64 bits may not do."""
    if counts is None:
        return sum(values.tolist())
    return sum(v * n for v, n in zip(values.tolist(), counts.tolist(), strict=True) if n)


class _Generation:
    """The relaxed program while its columns are generated; owned by `best_dual`."""

    def __init__(
        self, instance: Instance, knapsacks: Knapsacks, allowance: Allowance, run: Run
    ) -> None:
        self._instance = instance
        self._knapsacks = knapsacks
        self._allowance = allowance
        groups = min(len(instance.targets), _GROUPS)
        self._group_of = np.arange(len(instance.targets)) % max(1, groups)
        low, high = first_rows(instance, np.zeros(instance.articles, dtype=np.int64))
        self._group_rows = len(low) + np.arange(groups)
        ones = np.ones(groups)
        self._program = Program(
            np.concatenate((low, ones)), np.concatenate((high, ones)), allowance, run
        )
        self._program.add(gpu_block(instance))
        self._program.add(layout_block(instance, np.arange(len(instance.layouts))))
        self._program.add(use_block(instance))
        dear = _DEAR * float(instance.prices.max(initial=1)) + 1
        self._program.add(substitute_block(instance, dear))

    def best(self, first: Dual) -> Dual:
        """Generate roughly, then exactly, until nothing better is to be expected."""
        rough = self._generate(first, guess_prices(self._instance), exact=False)
        return self._generate(rough, rough.prices, exact=True)

    def _generate(self, best: Dual, prices: Ints, *, exact: bool) -> Dual:
        """Ask for recipes and solve the program in turns."""
        value, idle = inf, 0
        asked: set[bytes] = set()
        while self._allowance.left_s > 0 and idle <= _PATIENCE and prices.tobytes() not in asked:
            asked.add(prices.tobytes())
            dual = self._ask(prices, exact=exact)
            idle = 0 if dual.value > best.value else idle + 1
            best = max(best, dual, key=lambda d: d.value)
            outcome = self._program.solve()
            if outcome.end is not End.SOLVED or not len(outcome.duals):
                return replace(best, why=outcome.why or best.why)
            if self._done(best, outcome.value):
                break
            falls = outcome.value < value - _CLOSE * max(1.0, outcome.value)
            value = outcome.value
            prices = self._between(best.prices, outcome, _SMOOTHING if falls else 0.0)
        return best

    def _ask(self, prices: Ints, *, exact: bool) -> Dual:
        """Find cheap recipes, add them to the program, and bound with what none can be below."""
        before = self._knapsacks.work
        cheapest = (self._knapsacks.cheapest if exact else self._knapsacks.rough)(prices)
        charge(self._allowance, self._knapsacks.work - before)
        sums = np.zeros((len(self._group_rows), self._instance.articles), dtype=np.int64)
        np.add.at(sums, self._group_of, cheapest.recipes)
        self._program.add(recipe_block(sums, self._group_rows))
        return _dual(self._instance, prices, cheapest.bounds)

    def _done(self, best: Dual, value: float) -> bool:
        """Tell whether the bound is as good as the program can make it."""
        ticks = self._instance.ticks
        left = value * ticks - best.value
        to_next = best.bound(self._instance) * ticks - best.value
        same = best.bound(self._instance) >= value - _CLOSE
        return left <= _CLOSE * max(1.0, value) * ticks or (same and left <= _LITTLE * to_next)

    def _between(self, best: Ints, outcome: Outcome, weight: float) -> Ints:
        """Choose what to ask about next."""
        own = np.maximum(0.0, outcome.duals[: self._instance.articles]) * self._instance.ticks
        prices: Ints = np.floor(weight * best + (1 - weight) * own).astype(np.int64)
        return prices


def charge(allowance: Allowance, work: int) -> None:
    """Note the time of work of ours."""
    allowance.spent_s += work * _SECONDS_OF_WORK
