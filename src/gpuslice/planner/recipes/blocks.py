"""The columns and rows of the programs that choose recipes.

Separate because two programs share them: the relaxed one that prices slices
(`gpuslice.planner.recipes.bound`) and the integer ones that choose
(`gpuslice.planner.recipes.search`).

Rows, in this order: for each article, supply is at least demand; for each order, its slices add up;
for each offer, its layouts add up to its GPUs; then whatever a program adds for services.

GPUs have columns of their own, which carry the price, beside those of their layouts. A program
could do without, but an integer one that branches over how many GPUs of each kind there are is done
after a few nodes where it takes thousands over layouts.
"""

from __future__ import annotations

import numpy as np

from gpuslice.planner.recipes.market import Floats, Instance, Ints
from gpuslice.planner.recipes.solver import Block


def first_rows(instance: Instance, fixed: Ints) -> tuple[Floats, Floats]:
    """Bounds of the shared rows.

    Args:
        instance: What is chosen from.
        fixed: Slices that are wanted in any case, by article.
    """
    wants = instance.wants.astype(np.float64)
    low = np.concatenate((fixed.astype(np.float64), wants, np.zeros(len(instance.most))))
    high = np.concatenate((np.full(instance.articles, np.inf), low[instance.articles :]))
    return low, high


def gpu_block(instance: Instance) -> Block:
    """Columns for GPUs in use, by offer."""
    count = len(instance.most)
    rows = instance.articles + len(instance.wants) + np.arange(count)
    nothing = np.zeros((count, instance.articles))
    return _block(instance.prices, instance.most, nothing, (rows, -np.ones(count)))


def layout_block(instance: Instance, chosen: Ints) -> Block:
    """Columns for GPUs of some of the layouts."""
    offers = instance.offer_of[chosen]
    return _block(
        np.zeros(len(chosen)),
        instance.most[offers],
        instance.layouts[chosen],
        (instance.articles + len(instance.wants) + offers, np.ones(len(chosen))),
    )


def uses(instance: Instance) -> tuple[Ints, Ints]:
    """Orders and articles of the columns that say what serves an order."""
    order, article = np.nonzero(instance.accepts)
    return order, article


def use_block(instance: Instance) -> Block:
    """Columns for slices of an article that serve an order."""
    order, article = uses(instance)
    return _block(
        np.zeros(len(order)),
        instance.wants[order],
        -_single(instance, article),
        (instance.articles + order, np.ones(len(order))),
    )


def recipe_block(recipes: Ints, rows: Ints) -> Block:
    """Columns for recipes, each in the row of its service."""
    count = len(recipes)
    return _block(np.zeros(count), np.ones(count), -recipes, (rows, np.ones(count)))


def slice_block(instance: Instance, services: Ints, articles: Ints, rows: Ints) -> Block:
    """Columns for the slices of services whose recipes are not listed.

    Args:
        instance: What is chosen from.
        services: Service by column.
        articles: Article by column.
        rows: By column, the row in which the service's slices reach its target as 1; in the next
            they are counted.
    """
    shares = instance.rates[services, articles] / instance.targets[services]
    return _block(
        np.zeros(len(services)),
        instance.limits[services],
        -_single(instance, articles),
        (rows, shares),
        (rows + 1, np.ones(len(services))),
    )


def substitute_block(instance: Instance, cost: float) -> Block:
    """Columns for single slices from nowhere, at a cost that nobody pays if it can be helped."""
    width = instance.articles
    return _block(np.full(width, cost), np.full(width, np.inf), np.eye(width))


def _single(instance: Instance, articles: Ints) -> Ints:
    return np.eye(instance.articles, dtype=np.int64)[articles]


def _block(
    costs: Ints | Floats, most: Ints | Floats, supply: Ints | Floats, *others: tuple[Ints, Floats]
) -> Block:
    """Columns with a supply by article and one coefficient each in other rows."""
    columns, rows = np.nonzero(supply)
    all_columns = np.concatenate((columns, *(np.arange(len(costs)) for _ in others)))
    in_order = np.argsort(all_columns, kind="stable")
    values = np.concatenate((supply[columns, rows], *(values for _, values in others)))
    return Block(
        costs=costs.astype(np.float64),
        most=most.astype(np.float64),
        rows=np.concatenate((rows, *(own for own, _ in others)))[in_order],
        columns=all_columns[in_order],
        values=values.astype(np.float64)[in_order],
    )
