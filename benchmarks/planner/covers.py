"""The cheapest slices that reach a throughput, at given prices for slices: exactly.

Separate because the bound on plans with throughput targets rests on it and nothing else: for any
prices of slices under which no GPU's slices are worth more than the GPU costs, the sum of what all
services would pay is a bound (Lagrange).

It is a covering knapsack with at most a handful of kinds of slices. Kinds are tried by how little
their throughput costs, most copies first, and a branch is left when even the cheapest throughput of
the kinds that remain could not beat the best that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of slice: what it contributes, and what it costs."""

    rate: int
    price: float


class Cover(NamedTuple):
    """Slices that reach a throughput together: their price, and how many of each kind."""

    price: float
    counts: tuple[int, ...]


def cheapest_cover(kinds: Sequence[Kind], wanted: int) -> Cover:
    """Find the cheapest slices that reach a throughput.

    Args:
        kinds: What there is; at least one, each with a positive rate and no negative price.
        wanted: The throughput, positive, in the unit of the rates.
    """
    order = sorted(
        range(len(kinds)), key=lambda n: (kinds[n].price / kinds[n].rate, -kinds[n].rate)
    )
    ratios = [kinds[n].price / kinds[n].rate for n in order]
    counts = [0] * len(kinds)
    best_price, best_counts = float("inf"), tuple(counts)

    def extend(depth: int, left: int, paid: float) -> None:
        nonlocal best_price, best_counts
        if left <= 0:
            if paid < best_price:
                best_price, best_counts = paid, tuple(counts)
            return
        if depth == len(order) or paid + left * ratios[depth] >= best_price:
            return
        kind = kinds[order[depth]]
        for copies in range(-(-left // kind.rate), -1, -1):
            rest = left - copies * kind.rate
            at_least = ratios[depth + 1] if depth + 1 < len(order) else float("inf")
            if rest > 0 and paid + copies * kind.price + rest * at_least >= best_price:
                break  # fewer copies leave more to kinds that are no cheaper
            counts[order[depth]] = copies
            extend(depth + 1, rest, paid + copies * kind.price)
        counts[order[depth]] = 0

    extend(0, wanted, 0.0)
    return Cover(best_price, best_counts)
