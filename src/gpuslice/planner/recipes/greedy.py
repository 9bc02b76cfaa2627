"""A quick choice of recipes without a solver: what is left when there is no time or no solver.

Separate because nothing here is proved. Every service takes a recipe that is cheap at guessed
prices, every order the cheapest article, and GPUs are taken one layout after the other, the one
whose slices are worth most for its price first. What is short becomes dearer, and all of it is
tried again.
"""

from __future__ import annotations

import numpy as np

from gpuslice.planner.recipes.knapsacks import Knapsacks
from gpuslice.planner.recipes.market import Floats, Instance, Ints, Solution

_TRIALS = 40

_RISE = 0.5
"""How much dearer an article becomes of which nothing is there."""


def choose_greedily(
    instance: Instance, knapsacks: Knapsacks, prices: Ints, *, exact: bool = False
) -> Solution | None:
    """Choose without a solver.

    Args:
        instance: What is chosen from.
        knapsacks: Its services.
        prices: What slices may be worth, by article, ticks.
        exact: True to begin with the cheapest recipes, which takes more time than good ones.

    Returns:
        A legal choice, or None where none was found, which proves nothing.
    """
    for trial in range(_TRIALS):
        find = knapsacks.cheapest if exact and not trial else knapsacks.rough
        recipes = find(prices).recipes
        uses = _cheapest_uses(instance, prices)
        demand = recipes.sum(axis=0) + uses.sum(axis=0)
        layouts, short = _cover(instance, demand, prices.astype(np.float64))
        if not short.any():
            return Solution(recipes=recipes, layouts=layouts, uses=uses)
        prices = prices + np.ceil(_RISE * prices * short / np.maximum(1, demand)).astype(np.int64)
    return None


def _cheapest_uses(instance: Instance, prices: Ints) -> Ints:
    """Serve every order with its cheapest article."""
    uses = np.zeros(instance.accepts.shape, dtype=np.int64)
    if len(instance.wants):
        cheapest = np.where(instance.accepts, prices, np.iinfo(np.int64).max).argmin(axis=1)
        uses[np.arange(len(uses)), cheapest] = instance.wants
    return uses


def _cover(instance: Instance, demand: Ints, prices: Floats) -> tuple[Ints, Ints]:
    """Take GPUs until demand is met or nothing helps; return layouts and what is short."""
    left, most = demand.copy(), instance.most.copy()
    layouts = np.zeros(len(instance.layouts), dtype=np.int64)
    paid = instance.prices[instance.offer_of] * float(instance.ticks)
    while left.any():
        useful = np.minimum(instance.layouts, left)
        worth = (useful @ prices + useful.sum(axis=1)) * (most[instance.offer_of] > 0)
        # What costs nothing comes first, whatever it is worth.
        ratios = worth / np.maximum(paid, 1e-9)
        chosen = int(ratios.argmax()) if len(ratios) else -1
        if chosen < 0 or worth[chosen] <= 0:
            break
        count = min(_times(instance.layouts[chosen], left), int(most[instance.offer_of[chosen]]))
        layouts[chosen] += count
        most[instance.offer_of[chosen]] -= count
        left = np.maximum(0, left - count * instance.layouts[chosen])
    return layouts, left


def _times(layout: Ints, left: Ints) -> int:
    """How often a layout can be taken before its worth changes, at least once."""
    useful = (layout > 0) & (left > 0)
    return max(1, int((left[useful] // layout[useful]).min()))
