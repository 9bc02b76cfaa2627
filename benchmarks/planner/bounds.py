"""Bounds on what any plan could reach, worked out without the planner.

Separate, and sharing no code with `gpuslice.planner`, because a gap is only worth something if the
bound is somebody else's. It is the configuration program of cutting stock (Gilmore and Gomory
1961): for each kind of GPU, how many of them get which multiset of slices. Slices of somebody else
and of pinned replicas stay where they are; all others are taken as if they could lie anywhere, and
nothing is spread, so the bound also holds for plans that move everything.

With throughput targets the program chooses for each one of the covers that meet it; these are too
many to list and are generated as their price asks for them (`benchmarks.planner.covers`). Then the
bound is that of the linear program, less what covers not yet listed could save.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from benchmarks.planner.instance import Instance, asked
from benchmarks.planner.relaxation import whole_above, whole_below
from benchmarks.planner.supply import Market

from gpuslice.model.demand import Demand

_LIMIT_S = 2.0
_ROUNDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What no plan can do better than, each under the condition that it reaches those before.

    Attributes:
        served: For each priority, the most that can be served, targets counting 1.
        added: Least price of GPUs that have to be added, or None where none may be.
        cost: Least price of the GPUs in use.
    """

    served: Mapping[int, int]
    added: int | None
    cost: int


def bound(instance: Instance) -> Bound:
    """Work out the bounds of an instance."""
    market = _market(instance)
    served = {}
    for priority in sorted({d.priority for d in instance.demands}, reverse=True):
        served[priority] = _most_served(market, instance, priority)
    added = None
    if instance.rules.addable:
        added = _least(market, market.prices(addable=True), instance)
        market.program.row(-math.inf, market.prices(addable=True), added)
    cost = market.fixed_cost + _least(market, market.prices(), instance)
    return Bound(served=served, added=added, cost=cost)


def _market(instance: Instance) -> Market:
    """Make the program of an instance, with as many moves as the rules allow."""
    most = instance.rules.most_moves
    if most is None:
        return Market(instance)
    market = Market(instance, {demand.model: 1 for demand in instance.demands})
    market.program.row(-math.inf, market.moved, most)
    return market


def fewest_moves(instance: Instance) -> int:
    """Bound the moves of any plan that serves all, whatever it costs; 0 where none can."""
    everything = {demand.model: demand.replicas for demand in instance.demands}
    if sum(bound(instance).served.values()) < asked(instance.demands):
        return 0
    return least_moves(instance, everything, None)


def least_moves(instance: Instance, served: Mapping[str, int], cost: int | None) -> int:
    """Bound what the moves count of any plan that serves as much at the same cost or less.

    Args:
        instance: The instance.
        served: What has to be served of each demand; only the sum of each priority counts.
        cost: What the GPUs in use may cost, or None for any price.
    """
    market = Market(instance, {demand.model: demand.move_cost for demand in instance.demands})
    for priority in {demand.priority for demand in instance.demands}:
        mine = [demand for demand in instance.demands if demand.priority == priority]
        most = sum(served[demand.model] for demand in mine) - market.staying(mine)
        market.program.row(most, dict.fromkeys(market.serving(mine), 1.0))
    if cost is not None:
        market.program.row(-math.inf, market.prices(), cost - market.fixed_cost)
    return _least(market, market.moved, instance)


def _most_served(market: Market, instance: Instance, priority: int) -> int:
    """Bound what is served of one priority, and demand that it is reached from now on."""
    mine = [demand for demand in instance.demands if demand.priority == priority]
    already = market.staying(mine)
    columns = market.serving(mine)
    market.program.aim(dict.fromkeys(columns, -1.0))
    value = _solve(market, instance)
    assert value is not None, "serving nobody is always possible"
    most = min(whole_below(-value), sum(market.asked(demand) for demand in mine))
    market.program.row(most, dict.fromkeys(columns, 1.0))
    return most + already


def _least(market: Market, prices: Mapping[int, float], instance: Instance) -> int:
    """Bound a sum of prices."""
    if not any(prices.values()):
        return 0
    market.program.aim(prices)
    value = _solve(market, instance)
    assert value is not None, "the linear program could be solved for what is served"
    return whole_above(value, _divisor(prices.values()))


def _solve(market: Market, instance: Instance) -> float | None:
    """Solve for whole numbers; with targets for fractions, listing covers as they are asked for."""
    if not instance.targets:
        relaxed = market.program.relaxed()
        proved = market.program.integral(_LIMIT_S) if relaxed is not None else None
        return relaxed if proved is None or relaxed is None else max(relaxed, proved)
    best = -math.inf
    for _ in range(_ROUNDS):
        value = market.program.relaxed()
        if value is None:
            return None if best == -math.inf else best
        saving = market.list_covers(market.program.duals())
        best = max(best, value + saving)
        if saving > -1e-7 * max(1.0, abs(value)):
            break
    return best


def _divisor(prices: Iterable[float]) -> int:
    """Return the largest number that divides all prices."""
    return reduce(math.gcd, (round(price) for price in prices), 0)


def is_reached(limit: Bound, demands: Iterable[Demand], served: Mapping[str, int]) -> bool:
    """Tell whether a plan serves as much as the bound allows, priority by priority."""
    counts: Counter[int] = Counter()
    for demand in demands:
        counts[demand.priority] += served[demand.model]
    return all(counts[priority] >= most for priority, most in limit.served.items())
