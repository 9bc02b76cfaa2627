"""The whole trade of GPUs against moves: every corner of it.

Separate from the plan, which is one point of it. The method is that of the epsilon constraint
(Haimes, Lasdon and Wismer 1971): plan, look how many moves the plan needs, allow one fewer, plan
again. Each plan is cheapest among those with as many moves, and moves fewest among those as cheap,
so no corner is missed and none is met twice. For that every move counts as one here, whatever the
demands say of their cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gpuslice.errors import PlanningError
from gpuslice.model.certificate import FrontierPoint, Goal
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.gpu import Observed, SliceKey
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.plan import plan
from gpuslice.planner.situation import survey

MAX_POINTS = 50
"""How many corners are looked for one by one; of a longer trade only some are shown."""

_NO_RULES = Rules()


def frontier(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules = _NO_RULES,
    *,
    limit_s: float = 60.0,
) -> tuple[FrontierPoint, ...]:
    """Find how cheap a plan can be for every number of moves.

    Takes the arguments of `gpuslice.planner.plan.plan` and raises what it raises. Every point
    serves as much as the plan without a limit of moves; fewer moves than the last point has would
    serve less.

    Args:
        observed: The machine.
        demands: What is asked for.
        owned: Slices of ours.
        rules: What plans have to keep to; ``most_moves`` is where the trade begins.
        limit_s: How long the solver may take for each point, seconds.

    Returns:
        Corners, cheapest first, fewest moves last; nothing where nothing is asked for. Where GPUs
        may be added, the price of those that are counts before that of all. A trade of more than
        `MAX_POINTS` corners is sampled: steps between the points then skip some.
    """
    corners: list[tuple[tuple[int, ...], FrontierPoint]] = []
    for made, moves in _plans(observed, demands, owned, rules, limit_s):
        # Each plan moves fewer than the one before. Only one that the solver had no time to make
        # cheap can be as dear all the same.
        price = _price(made)
        while corners and corners[-1][0] >= price:
            corners.pop()
        corners.append((price, _point(made, moves)))
    return tuple(point for _, point in corners)


def _plans(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules,
    limit_s: float,
) -> Iterator[tuple[Plan, int]]:
    """Make one plan after the other, each with the number of its moves."""
    alike = [replace(demand, move_cost=1) for demand in demands]
    made = plan(observed, alike, owned, rules, limit_s=limit_s)
    if made.certificate is None:
        return
    served = _served(made)
    situation = survey(observed, alike, owned, rules)
    origin = {replica: own.slice.key for replica, _, own in situation.incumbents}
    moves = _moves(made, origin)
    step = max(1, moves // MAX_POINTS)
    yield made, moves
    while moves:
        rules = replace(rules, most_moves=max(0, moves - step))
        try:
            made = plan(observed, alike, owned, rules, limit_s=limit_s)
            enough = _served(made) >= served
        except PlanningError:  # the rules need more moves than that
            enough = False
        if enough:
            moves = _moves(made, origin)
            yield made, moves
        elif step == 1:
            return
        else:
            step //= 2  # the last corner lies between


def _served(made: Plan) -> list[int]:
    """List what is served, by priority and by model."""
    assert made.certificate is not None, "something is asked for"
    goals = made.certificate.objectives
    return [o.value for o in goals if o.goal in (Goal.SERVED, Goal.SERVED_OF_MODEL)]


def _price(made: Plan) -> tuple[int, ...]:
    """List the price of what has to be added, where anything may be, and that of all."""
    assert made.certificate is not None, "something is asked for"
    return tuple(o.value for o in made.certificate.objectives if o.goal in (Goal.ADDED, Goal.COST))


def _moves(made: Plan, origin: Mapping[ReplicaId, SliceKey]) -> int:
    """Count the running replicas that leave their slice."""
    kept = {seat.replica: seat.kept.key for seat in made.seats if seat.kept is not None}
    return sum(kept.get(replica) != key for replica, key in origin.items())


def _point(made: Plan, moves: int) -> FrontierPoint:
    assert made.certificate is not None, "something is asked for"
    goals = {objective.goal: objective for objective in made.certificate.objectives}
    used = sum(bool(g.keep or g.create or g.foreign) for g in made.gpus if not g.barred)
    return FrontierPoint(
        cost=goals[Goal.COST].value,
        gpus=used,
        moves=moves,
        proved=goals[Goal.COST].gap == 0 and goals[Goal.MOVED].gap == 0,
    )
