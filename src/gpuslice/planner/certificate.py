"""From the bounds of a packing to a certificate of the whole plan.

Separate because the packing speaks of one question, in numbers of which less is better, and may
have been asked with the running replicas frozen; a certificate speaks of the plan, in words that
can be counted from outside (`gpuslice.planner.checking.audit` does).

**Why a frozen question proves something of the whole plan.** When every running replica whose move
counts stays, all the others are served, nothing has to be added and the price is one that no plan
can be below, nothing serves more, costs less or moves for less. Every plan that is as good in these
goals leaves the frozen replicas where they are, and so is an answer to the frozen question: its
bounds hold for the goals that follow.

**Targets.** Which slices a throughput target is met with is settled first, by price
(`gpuslice.planner.recipes.choose`). So the bound of the price is that of the recipes, and of the
goals behind it little is known: another recipe of the same price might do better there. What is
known:

* nothing is less than nothing, and what goes in any case goes in every plan;
* where no other slices could meet the targets, the bounds of the packing are those of the plan;
* where the targets are met by what runs, and nobody moves, only superfluous slices could come, and
  the bounds of the packing hold too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuslice.model.certificate import Certificate, Goal, Objective
from gpuslice.model.plan import Seat
from gpuslice.planner.asking import Asked
from gpuslice.planner.packing.objectives import objective_values, serve_levels, served_by_want
from gpuslice.planner.packing.question import Answer, Cost
from gpuslice.planner.situation import Ground, OwnSlice, Situation

_GOALS = (
    Goal.ADDED,
    Goal.COST,
    Goal.MOVED,
    Goal.DESTROYED,
    Goal.SWITCHED,
    Goal.OURS,
    Goal.MEMORY,
    Goal.ROOM,
    Goal.COMPUTE,
)
"""The goal of each entry of `Cost`, in its order."""

_NEAT = _GOALS[_GOALS.index(Goal.MOVED) + 1 :]
"""The goals that only make a plan neater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One question about a situation, and its answer.

    Attributes:
        asked: The question.
        answer: The answer.
        least_price: What the GPUs of no plan that serves all cost less than, if it adds none; None
            where nothing is known but the answer's own bound.
        with_targets: True when slices were chosen to meet throughput targets, and other slices
            might do so better.
        seats: Who sits where, where that was settled with the answer; None where any way of giving
            its slices to replicas will do.
    """

    asked: Asked
    answer: Answer
    seats: tuple[Seat, ...] | None = None
    least_price: int | None = None
    with_targets: bool = False

    @property
    def is_bounded(self) -> bool:
        """True when something is proved of the answer."""
        return any(bound is not None for bound in self.answer.proof.bounds)

    @property
    def serves_all(self) -> bool:
        """True when nobody is left without a slice."""
        served = served_by_want(self.asked.question, self.answer)
        return sum(served) == self.asked.question.wanted

    @property
    def meets_targets(self) -> bool:
        """True when every slice that was chosen to meet a target is given."""
        question = self.asked.question
        served = served_by_want(question, self.answer)
        return all(
            served[number] == question.wants[number].count
            for number, portions in enumerate(self.asked.portions)
            if any(portion.named is not None for portion in portions)
        )


def certify(situation: Situation, attempt: Attempt, seats: Sequence[Seat]) -> Certificate | None:
    """Write the certificate of a plan.

    Args:
        situation: What the plan was made from.
        attempt: The question whose answer became the plan.
        seats: Who sits where.

    Returns:
        The certificate, or None when nothing was asked for.
    """
    if not any(demand.replicas for demand in situation.demands):
        return None
    prices = situation.rules.prices
    return Certificate(
        method=attempt.answer.proof.method,
        objectives=(
            *_serving(situation, attempt, seats),
            *_spending(situation, attempt, seats),
        ),
        currency="" if prices is None else prices.currency,
        note=attempt.answer.proof.note,
    )


def _serving(situation: Situation, attempt: Attempt, seats: Sequence[Seat]) -> Iterator[Objective]:
    """Yield what is served, by priority and by model."""
    served = _served(situation, seats)
    asked = {
        d.model: int(situation.could_meet(d)) if d.target else d.replicas for d in situation.demands
    }
    bounds = _serve_bounds(attempt)
    demands = sorted(situation.demands, key=lambda demand: -demand.priority)
    for priority in dict.fromkeys(demand.priority for demand in demands):
        models = [demand.model for demand in demands if demand.priority == priority]
        value, most = sum(served[m] for m in models), sum(asked[m] for m in models)
        bound = _most(value, most, bounds.get(priority), attempt)
        yield Objective(goal=Goal.SERVED, priority=priority, value=value, bound=bound)
    for demand in demands:
        value, most = served[demand.model], asked[demand.model]
        bound = _most(value, most, bounds.get(demand.model), attempt)
        yield Objective(goal=Goal.SERVED_OF_MODEL, model=demand.model, value=value, bound=bound)


def _most(value: int, most: int, bound: int | None, attempt: Attempt) -> int | None:
    """Bound what can be served: by what is asked for, or better where the packing knows better."""
    if value == most:
        return most
    if attempt.with_targets:
        return None
    return None if bound is None else min(bound, most)


def _served(situation: Situation, seats: Sequence[Seat]) -> Counter[str]:
    """Count what is served of each model; a target that is met counts once."""
    served = Counter(seat.replica.model for seat in seats)
    for demand in situation.demands:
        if demand.target is not None:
            served[demand.model] = min(1, served[demand.model])
    return served


def _serve_bounds(attempt: Attempt) -> dict[int | str, int | None]:
    """Read the bounds of the serve levels, by priority and by the model of a want of one model."""
    asked = attempt.asked
    staying = Counter(portion.demand.priority for portion, _, _ in asked.staying)
    of_model = Counter(portion.demand.model for portion, _, _ in asked.staying)
    found: dict[int | str, int | None] = {}
    for level, bound in zip(
        serve_levels(asked.question), attempt.answer.proof.bounds, strict=False
    ):
        first = asked.portions[level[0]][0].demand
        if first.priority not in found:
            base = staying[first.priority]
            found[first.priority] = None if bound is None else base - bound
        elif len(level) == 1 and len(asked.portions[level[0]]) == 1:
            found[first.model] = None if bound is None else of_model[first.model] - bound
    return found


def costs_of(situation: Situation, attempt: Attempt) -> Cost:
    """Count what a plan costs, with all that was not in question; less is better."""
    levels = len(serve_levels(attempt.asked.question))
    numbers = objective_values(attempt.asked.question, attempt.answer)[levels:]
    base = _base(situation, attempt.asked)
    triples = zip(_GOALS, numbers, base, strict=True)
    return Cost(*(number - b if goal.most else number + b for goal, number, b in triples))


def _spending(situation: Situation, attempt: Attempt, seats: Sequence[Seat]) -> Iterator[Objective]:
    """Yield every goal that counts what a plan costs."""
    levels = len(serve_levels(attempt.asked.question))
    costs = costs_of(situation, attempt)
    bounds = attempt.answer.proof.bounds[levels:]
    least = Cost(destroyed=sum(len(ground.doomed) for ground in situation.grounds))
    steady = attempt.with_targets and not costs.moved and _runs_on(situation, attempt, seats)
    price = attempt.least_price if attempt.serves_all and not costs.added else None
    for goal, base, cost, bound, floor in zip(
        _GOALS, _base(situation, attempt.asked), costs, bounds, least, strict=True
    ):
        value = -cost if goal.most else cost
        proven = None if bound is None else (base - bound if goal.most else base + bound)
        if goal is Goal.COST and price is not None:
            proven = price
        elif attempt.with_targets and not (steady and goal in _NEAT):
            proven = value if value == floor and not goal.most else None
        steady = steady and value == proven
        if goal is not Goal.ADDED or situation.rules.addable:
            yield Objective(goal=goal, value=value, bound=proven)


def _runs_on(situation: Situation, attempt: Attempt, seats: Sequence[Seat]) -> bool:
    """Tell whether, as long as nobody moves, targets that are met could only get more slices.

    Where nobody moves and every slice of ours has its replica, a plan has the slices that run and
    others that come. What comes for a target that is met already could be left out; what is left
    would be an answer to the question that was asked, and no worse in any goal down to the memory.
    So for plans that move nobody the bounds of the question hold, while all before them are met.
    """
    demands = {demand.model: demand for demand in situation.demands}
    slices = [own for ground in situation.grounds for own in ground.own]
    running = Counter(own.incumbent.model for own in slices if own.incumbent is not None)
    placed = Counter(seat.replica.model for seat in seats)
    return (
        not attempt.asked.question.tied
        and not attempt.asked.surplus
        and running.total() == len(slices)
        and all(demands[model].pinned or demands[model].move_cost for model in running)
        and attempt.serves_all
        and all(placed[d.model] == running[d.model] for d in situation.demands if d.target)
    )


def _base(situation: Situation, asked: Asked) -> Cost:
    """Count what a plan has beyond what the question counts."""
    staying = [(ground, own) for _, ground, own in asked.staying]
    by_model = {demand.model: demand.move_cost for demand in situation.demands}
    return Cost(
        moved=sum(by_model[own.incumbent.model] for own in asked.surplus if own.incumbent),
        destroyed=sum(len(ground.doomed) for ground in situation.grounds),
        memory=sum(own.slice.placement.size for _, own in staying),
        idle=sum(_compute(ground, own) for ground, own in staying),
    )


def _compute(ground: Ground, own: OwnSlice) -> int:
    """Compute slices of a slice of ours."""
    profile = ground.geometry.named(own.profile)
    assert profile is not None, "only slices of known profiles can stay"
    return profile.compute_slices
