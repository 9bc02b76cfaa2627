"""Recipes: which slices each service with a throughput target gets, so that GPUs cost least.

**Model.** A *service* has to reach a throughput, and every *article* (a profile of a board
geometry) contributes what one such slice can do for it. A *recipe* is a multiset of slices that
together reach the target; which one is best depends on what the recipes of all others leave of the
GPUs. An *offer* is a kind of GPU: its price, how many there are, and the layouts it may have. What
is sought is one recipe for each service and a layout for each GPU, so that every slice of a recipe
or of a fixed demand (an *order*) is supplied, and the GPUs cost least.

**Method.**

1. `gpuslice.planner.recipes.bound`: prices of slices by column generation, and the Lagrangian bound
   that they prove. The cheapest recipes at given prices come from
   `gpuslice.planner.recipes.knapsacks`.
2. `gpuslice.planner.recipes.search`: integer programs over the recipes that cost little beyond the
   cheapest at those prices. The rows that link services are few, one for each article, so the
   relaxation leaves few services undecided, and rounding loses less than a GPU.
3. Where price and bound do not meet, and the recipes that a better solution could have are few
   enough to be listed, a program over all of them settles it. They are where services are few.

`gpuslice.planner.recipes.greedy` comes first, so that there is a legal answer at every moment.
Where it finds none because GPUs are few, "how many slices are missing at the least" is asked, by
the same method: that question always has an answer, and an answer of none is where the search
begins.

**Why the bound is right.** Whatever prices slices have, no choice costs less than the least worth
of its recipes and orders, less what GPUs supply beyond their price. That is computed from prices
alone, in integers, and so depends on no solver. Totals are multiples of the greatest common divisor
of the prices, so the bound is rounded up to the next one. Only step 3 believes HiGHS: that no
solution of its program is below the program's dual bound.

**Cost.** Measured on one core with ParvaGPU's published measurements, all proved optimal: 11
services in 0.03 s, 1,100 in 0.3 s, 10,000 in 1.8 s. What grows with the services is the search for
cheapest recipes; the programs do not. Two boards of one price behave alike. Boards whose prices
have a small common divisor leave a gap below the price of one GPU for 10 to 60 s, in some cases for
good: there are many totals in reach, and each has to be refuted.

Source: Gilmore and Gomory 1961 (patterns and pricing); Lübbecke and Desrosiers 2005 (the Lagrangian
bound of column generation); Lee et al., ParvaGPU, SC 2024 (slices by measured throughput).
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.bound import Dual, best_dual, guess_prices
from gpuslice.planner.recipes.greedy import choose_greedily
from gpuslice.planner.recipes.knapsacks import Knapsacks
from gpuslice.planner.recipes.market import (
    Instance,
    Market,
    Offer,
    Order,
    Service,
    Solution,
    instance_of,
    with_substitutes,
)
from gpuslice.planner.recipes.search import Search

__all__ = ["Market", "Offer", "Order", "RecipeChoice", "Service", "choose_recipes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeChoice:
    """The recipes chosen, and how good they are known to be.

    Attributes:
        recipes: By service: how many slices of each article.
        price: The least price found of GPUs that supply all recipes and orders.
        bound: No choice costs less; equal to the price where that is proved optimal.
        note: Why the two differ, in words, or "".
    """

    recipes: tuple[tuple[int, ...], ...]
    price: int
    bound: int
    note: str


def choose_recipes(
    market: Market, allowance: Allowance, run: Run = highspy.Highs.run
) -> RecipeChoice | None:
    """Choose a recipe for each service.

    Args:
        market: What there is and what is wanted.
        allowance: How long the solver may take; what it takes is noted there, and so is work of
            ours that grows with the services.
        run: What lets the solver run.

    Returns:
        A legal choice with its bound; None where not all can be met together. Where the solver
        reached its limit or failed while GPUs are short, None says that no way was found. Equal
        markets have equal choices as long as no limit is reached.
    """
    instance = instance_of(market)
    if instance is None:
        return None
    knapsacks = Knapsacks(instance)
    dual = best_dual(instance, knapsacks, allowance, run)
    start = _start(instance, knapsacks, dual, exact=allowance.limit_s > 0)
    start = start or _any(instance, knapsacks, allowance, run)
    if start is None:
        return None
    search = Search(instance, knapsacks, dual, start, allowance, run)
    if not dual.why:
        search.improve()
    return RecipeChoice(
        recipes=tuple(tuple(recipe) for recipe in search.best.recipes.tolist()),
        price=search.price * instance.unit,
        bound=search.bound * instance.unit,
        note=_note(search, dual, allowance),
    )


def _start(instance: Instance, knapsacks: Knapsacks, dual: Dual, *, exact: bool) -> Solution | None:
    """Take the better of two greedy choices, at the proven prices and at guessed ones."""
    choices = (
        choose_greedily(instance, knapsacks, dual.prices, exact=exact),
        choose_greedily(instance, knapsacks, guess_prices(instance)),
    )
    known = [choice for choice in choices if choice is not None]
    return min(known, key=lambda choice: choice.price(instance), default=None)


def _any(
    instance: Instance, knapsacks: Knapsacks, allowance: Allowance, run: Run
) -> Solution | None:
    """Find a choice that no slice is missing from, whatever it costs; None where there is none."""
    short = with_substitutes(instance)
    dual = best_dual(short, knapsacks, allowance, run)
    start = choose_greedily(short, knapsacks, guess_prices(short))
    if start is None or dual.bound(short) > 0:
        return None
    search = Search(short, knapsacks, dual, start, allowance, run)
    search.improve()
    found = search.best
    if search.price > 0:
        return None
    layouts = found.layouts[: len(instance.layouts)]
    return Solution(recipes=found.recipes, layouts=layouts, uses=found.uses)


def _note(search: Search, dual: Dual, allowance: Allowance) -> str:
    """Say why price and bound differ."""
    if search.price == search.bound:
        return ""
    if dual.why or search.why:
        chosen = "recipes were chosen greedily" if dual.why else "the best known recipes stay"
        return f"the solver failed: {dual.why or search.why}; {chosen}"
    if allowance.left_s <= 0:
        return f"the solver reached its limit of {allowance.stated_s:.3g} s"
    return "the recipes that a better choice could have are too many to be looked at"
