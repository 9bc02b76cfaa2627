"""How little any plan can cost, worked out without a solver and without the plan.

Separate because it is a second opinion: where the certificate's bound on the cost is no higher than
this one, nobody has to believe a solver for it.

Method: weak duality of the configuration program. Give every demand a weight, and every slice the
weight of the heaviest demand it can serve (`gpuslice.planner.checking.audit_weights`). What is
served weighs no more than what the GPUs in use carry, so the cheapest GPUs that carry it cost no
more than any plan does. Each weighting gives a bound, and the highest counts.

The bound is not always reached: limits on the number of slices of a profile, running slices and
constraints between replicas are left out. GPUs are grouped, so it costs milliseconds for a fleet.

Source: Gilmore and Gomory, "A linear programming approach to the cutting-stock problem" (1961).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd

from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Owned
from gpuslice.planner.checking.audit_weights import Weighing, could_serve, weighings
from gpuslice.planner.checking.catalogue import Layout, layout_of
from gpuslice.planner.checking.facts import Facts, gather

_NO_RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """GPUs that are equal as far as room for slices goes.

    Attributes:
        gpu: One of them.
        fixed: What lies there whatever is planned.
        paid: True when they are in use whatever is planned.
        count: How many there are.
        price: What one of them costs.
    """

    gpu: Gpu
    fixed: Layout
    paid: bool
    count: int
    price: int


def least_cost(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules = _NO_RULES,
    *,
    served: Mapping[str, int] | None = None,
) -> int | None:
    """Bound the price of the GPUs in use from below.

    Args:
        observed: The machine.
        demands: What is asked for.
        owned: Which slices are ours.
        rules: What plans have to keep to; GPUs that may be used have prices, where any have.
        served: How many replicas of each model are served (1 for a target that is met); all that
            are asked for where it is None.

    Returns:
        What every plan that serves so many costs at least, as in `Goal.COST`; None when no plan
        can serve so many.
    """
    facts = gather(observed, demands, owned, rules)
    wanted = _wanted(facts.demands) if served is None else dict(served)
    return _least(list(_kinds(facts)), facts.demands, wanted)


def could_carry(facts: Facts, added: Mapping[str, int]) -> bool:
    """Tell whether some more GPUs could hold everything that is asked for.

    Args:
        facts: Machine, demands and rules.
        added: How many GPUs of each product are added to those that may be used.

    Returns:
        False when they cannot; True proves nothing.
    """
    samples = {gpu.name: gpu for gpu in facts.observed.gpus if gpu.geometry is not None}
    more = [
        _Kind(gpu=samples[board], fixed=(), paid=False, count=count, price=1)
        for board, count in added.items()
    ]
    return _least([*_kinds(facts), *more], facts.demands, _wanted(facts.demands)) is not None


def _wanted(demands: Sequence[Demand]) -> dict[str, int]:
    """Count what is asked for; a target is one thing."""
    return {d.model: d.replicas if d.target is None else min(1, d.replicas) for d in demands}


def _kinds(facts: Facts) -> Iterator[_Kind]:
    """Group the GPUs that may be used."""
    incumbents = facts.incumbents.items()
    pinned = {s.gpu_uuid for r, s in incumbents if facts.demand_of[r.model].pinned}
    prices = facts.rules.prices
    price_of = None if prices is None else dict(prices.milli_per_hour)
    counts: Counter[tuple[int, str, Layout, bool]] = Counter()
    samples: dict[tuple[int, str, Layout, bool], Gpu] = {}
    for gpu in facts.usable_gpus:
        assert gpu.geometry is not None, "usable GPUs have a geometry"
        fixed = layout_of(facts.foreign.get(gpu.uuid, ()))
        paid = bool(fixed) or gpu.uuid in pinned
        key = facts.catalogue.number(gpu.geometry), gpu.name, fixed, paid
        counts[key] += 1
        samples[key] = gpu
    for key, gpu in samples.items():
        price = 1 if price_of is None else price_of.get(gpu.name, 0)
        yield _Kind(gpu=gpu, fixed=key[2], paid=key[3], count=counts[key], price=price)


def _least(
    kinds: Sequence[_Kind], demands: Sequence[Demand], wanted: Mapping[str, int]
) -> int | None:
    """Return the highest of the bounds of all weighings, or None where one cannot be carried."""
    asked = [demand for demand in demands if wanted.get(demand.model)]
    gpus = [kind.gpu for kind in kinds]
    if not all(could_serve(demand, gpus) for demand in asked):
        return None
    least = sum(kind.price * kind.count for kind in kinds if kind.paid)
    for weighing in weighings(asked, [(kind.gpu, kind.price) for kind in kinds]):
        need = sum(weight * wanted[model] for model, weight in weighing.weights.items())
        cost = _cover(kinds, weighing, need)
        if cost is None:
            return None
        least = max(least, cost)
    return least


def _cover(kinds: Sequence[_Kind], weighing: Weighing, need: int) -> int | None:
    """Return what the cheapest GPUs cost that carry a weight, those already paid included.

    The last GPU may be taken in part, which only lowers the result; prices are whole numbers, so
    the total is rounded up to what they have in common.
    """
    carried = {id(kind): weighing.carries(kind.gpu, kind.fixed) for kind in kinds}
    need -= sum(carried[id(kind)] * kind.count for kind in kinds if kind.paid)
    sunk = sum(kind.price * kind.count for kind in kinds if kind.paid)
    useful = [kind for kind in kinds if not kind.paid and carried[id(kind)]]
    cost = Fraction(0)
    for kind in sorted(useful, key=lambda kind: Fraction(kind.price, carried[id(kind)])):
        taken = min(Fraction(max(need, 0), carried[id(kind)]), Fraction(kind.count))
        cost += taken * kind.price
        need -= carried[id(kind)] * kind.count
    if need > 0:
        return None
    step = gcd(*(kind.price for kind in useful)) or 1
    return sunk + ceil(cost / step) * step
