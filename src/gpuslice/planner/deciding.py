"""Which questions are asked about a situation, in which order, and which answer is taken.

Separate from the plan, which is made of the answer, and from the packing, which answers one
question. These things are tried, the quick one first:

1. Everybody who runs, and whose move counts, is frozen in place. If all others are served, nothing
   has to be added and the price is one that no plan can be below, that is the optimum: nothing
   serves more, costs less or moves for less.
2. Where replicas are to be spread, the question is asked without that, but for the number of GPUs
   that one model alone takes, and for who may stay of those that run together. If everybody is
   served and can then be seated apart, nothing was lost by that (`gpuslice.planner.spreading`). If
   not, the model that is in the way is kept apart from the beginning, and it is asked again; a few
   times at most.
3. The question is asked leniently: replicas that count the same are one. If everybody is served,
   nothing was lost by that either.
4. Otherwise it is asked exactly, model by model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

from gpuslice.errors import PlanningError
from gpuslice.model.geometry import Geometry
from gpuslice.planner.asking import Asked, Portion, ask
from gpuslice.planner.certificate import Attempt
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.objectives import objective_values, serve_levels
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.packing.question import Cost
from gpuslice.planner.situation import Situation
from gpuslice.planner.spreading import CrowdedError, seat_apart

_ADDED, _PRICE = Cost._fields.index("added"), Cost._fields.index("price")

_MOST_TIED = 4
"""How many models are kept apart beforehand at most; each makes the question several times as
dear."""


def decide(situation: Situation, portions: Sequence[Portion], allowance: Allowance) -> Attempt:
    """Find the best answer to what is wanted.

    Args:
        situation: The situation.
        portions: What is wanted.
        allowance: How long the solver may take.

    Raises:
        PlanningError: The rules cannot be kept with so few moves.
    """
    frozen = _frozen(situation, portions, allowance)
    if frozen is not None:
        return frozen
    apart, least = _apart(situation, portions, allowance)
    if apart is not None:
        return apart
    lenient = _attempt(ask(situation, portions, lenient=True), allowance)
    if lenient.serves_all:
        return lenient if lenient.is_bounded else replace(lenient, least_price=least)
    if allowance.left_s <= 0:
        return lenient  # without time for a solver the exact question has no better answer
    return _attempt(ask(situation, portions), allowance)


def _attempt(asked: Asked, allowance: Allowance) -> Attempt:
    return Attempt(asked=asked, answer=pack(asked.question, allowance))


def _frozen(
    situation: Situation, portions: Sequence[Portion], allowance: Allowance
) -> Attempt | None:
    """Leave everybody whose move counts where they are; None where that may not be the best."""
    least = _least_price(situation, portions)
    if not any(g.own for g in situation.grounds) or _price_of_staying(situation) > least:
        return None
    asked = ask(situation, portions, settled=True, lenient=True)
    if asked.question.tied or asked.surplus:
        return None
    attempt = _attempt(asked, allowance)
    costs = objective_values(asked.question, attempt.answer)[len(serve_levels(asked.question)) :]
    if not attempt.serves_all or costs[_ADDED] > 0 or costs[_PRICE] > least:
        return None
    return replace(attempt, least_price=least)


def _apart(
    situation: Situation, portions: Sequence[Portion], allowance: Allowance
) -> tuple[Attempt | None, int | None]:
    """Choose a layout without spreading, and seat everybody apart.

    Returns:
        The answer, or None where that fails; and what no plan that serves all costs less than,
        where that is known: without spreading it can only be cheaper.
    """
    if all(portion.demand.most_per_gpu is None for portion in portions):
        return None, None
    least_price: int | None = None
    spread: list[str] = []
    while len(spread) <= _MOST_TIED:
        attempt = _without_spreading(situation, portions, allowance, spread)
        if attempt is None or not attempt.serves_all or not attempt.is_bounded:
            break
        try:
            seats = seat_apart(attempt.asked, attempt.answer)
        except CrowdedError as error:
            spread.append(error.model)
            least_price = _proved_price(attempt)
        else:
            return replace(attempt, seats=seats), None
    return None, least_price


def _proved_price(attempt: Attempt) -> int | None:
    """Return what nothing that serves all costs less than, where nothing has to be added."""
    question, answer = attempt.asked.question, attempt.answer
    levels = len(serve_levels(question))
    added = objective_values(question, answer)[levels + _ADDED]
    return None if added else answer.proof.bounds[levels + _PRICE]


def _without_spreading(
    situation: Situation,
    portions: Sequence[Portion],
    allowance: Allowance,
    spread: Sequence[str],
) -> Attempt | None:
    """Choose a layout as if replicas might lie anywhere but those of some models."""
    needed = _gpus_needed(portions)
    asked = ask(situation, portions, lenient=True, spread=spread, least_ours=needed)
    try:
        return _attempt(asked, allowance)
    except PlanningError:
        return None  # whether the rules can be kept is for the exact question to say


def _gpus_needed(portions: Sequence[Portion]) -> int:
    """Bound how many GPUs hold slices of ours when everybody is served and apart.

    The replicas of one model alone take so many. A layout chosen without spreading may have fewer.
    """
    return max(ceil(p.count / p.demand.most_per_gpu) for p in portions if p.demand.most_per_gpu)


def _price_of_staying(situation: Situation) -> int:
    """Add up the prices of GPUs that are in use when nobody leaves and nobody comes.

    That is no more than what it comes to: those whose move does not count may be counted in vain,
    and then the shortcut is missed.
    """
    return sum(
        situation.prices[ground.gpu.name]
        for ground in situation.grounds
        if ground.usable and (ground.foreign or any(own.incumbent for own in ground.own))
    )


def _least_price(situation: Situation, portions: Sequence[Portion]) -> int:
    """Bound the price of the GPUs that any plan uses when it serves all.

    Each replica takes a share of some GPU: at least the least share of memory or of compute that
    any profile has that serves it. GPUs with slices of somebody else are in use anyway; of the
    others at least so many are needed as the shares add up to, and the cheapest are taken.
    """
    usable = [ground for ground in situation.grounds if ground.usable]
    paid = [ground for ground in usable if ground.foreign]
    prices = sorted(situation.prices[g.gpu.name] for g in usable if not g.foreign)
    alike = {(ground.gpu.name, id(ground.gpu.geometry)): ground for ground in usable}
    boards = {(ground.gpu.name, ground.geometry) for ground in alike.values()}
    needed = max(
        sum((p.count * _least_share(p, boards, memory) for p in portions), Fraction(0))
        for memory in (True, False)
    )
    more = max(0, ceil(needed) - len(paid))
    return sum(situation.prices[ground.gpu.name] for ground in paid) + sum(prices[:more])


def _least_share(portion: Portion, boards: set[tuple[str, Geometry]], memory: bool) -> Fraction:
    """Return the least share of a GPU's memory or compute slices that serves one replica."""
    shares = (
        Fraction(profile.memory_slices, geometry.memory_slices)
        if memory
        else Fraction(profile.compute_slices, geometry.compute_slices or 1)
        for name, geometry in boards
        for profile in geometry.profiles
        if portion.accepts(profile, name)
    )
    return min(shares, default=Fraction(0))
