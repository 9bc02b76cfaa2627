"""The planner's front door: what is there and what is wanted in, a plan out.

Pure: it reads nothing and changes nothing. How the best layout is found is told in
`gpuslice.planner.packing.pack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpuslice.model.certificate import SlicePrice
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Addition, Owned, Plan, Seat, Unplaced
from gpuslice.planner.admission import check_input
from gpuslice.planner.certificate import Attempt, certify, costs_of
from gpuslice.planner.consistency.contradiction import check_consistent
from gpuslice.planner.deciding import decide
from gpuslice.planner.explain import explain_unplaced
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.ordering.servers import running_now, server_plans
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.portions import Portions, choose_portions
from gpuslice.planner.seating import furnish, seat_all
from gpuslice.planner.situation import Situation, survey

_NO_RULES = Rules()


def plan(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules = _NO_RULES,
    *,
    limit_s: float = 60.0,
    prices: bool = False,
) -> Plan:
    """Find the layout that serves most, costs least and disturbs least.

    Slices that are not in ``owned`` are somebody else's: they stay, and their room is taken.
    Slices of ours stay under a replica that runs on them and still fits, are taken over by another
    that fits, or are destroyed. The objectives and their order are those of
    `gpuslice.planner.packing.pack`.

    Args:
        observed: The machine as read now.
        demands: What each model asks for, most important first.
        owned: Every slice that belongs to this stack, whatever GPU it lies on.
        rules: What the plan has to keep to. Slices of ours on GPUs that may not be used are
            destroyed.
        limit_s: How long the solver may take in all, seconds, where it is needed. Whatever happens
            to it, there is a plan; its certificate says how good it is known to be.
        prices: True to compute what one more slice of each profile would cost.

    Returns:
        The plan, with its certificate. Replicas that find no slice are in ``unplaced`` with the
        reason; that is no error here. Equal arguments give an equal plan, unless the solver reaches
        its limit.

    Raises:
        BadInputError: The question makes no sense; every finding is named.
        ContradictionError: Some rules exclude each other; names the smallest such set.
        UnknownGpuError: A GPU of the rules is not in the machine.
        PlanningError: The rules cannot be kept with so few moves.
    """
    check_input(observed, demands, owned, rules)
    check_consistent(observed, demands, owned, rules)
    situation = survey(observed, demands, owned, rules)
    allowance = Allowance(limit_s=limit_s)
    found = _find(situation, allowance)
    seats = found.attempt.seats or seat_all(found.attempt.asked, found.attempt.answer)
    gpu_plans = furnish(situation, seats)
    missing = _missing(situation, seats)
    reasons = explain_unplaced(situation, gpu_plans, seats, missing)
    return Plan(
        gpus=gpu_plans,
        seats=seats,
        unplaced=tuple(Unplaced(replica=replica, reason=reasons[replica]) for replica in missing),
        servers=server_plans(gpu_plans, seats, running_now(observed, owned)),
        addition=_addition(situation, found, allowance) if missing else (),
        fingerprint=fingerprint(observed),
        certificate=certify(situation, found.attempt, seats),
        slice_prices=_prices(situation, found.attempt, allowance) if prices else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was decided, and for which portions."""

    portions: Portions
    attempt: Attempt


def _find(situation: Situation, allowance: Allowance) -> _Found:
    """Choose slices for the targets, then a layout for all; give a target up that it cannot meet.

    A target is met in full or not at all. The recipes fit together, but where moves are limited
    not all of them may fit around what stays: then the least important one goes, and it is tried
    again.
    """
    portions = choose_portions(situation, allowance)
    while True:
        found = _try(situation, portions, allowance)
        if found.attempt.meets_targets or not portions.met:
            return found
        portions = portions.without_least()


def _try(situation: Situation, portions: Portions, allowance: Allowance) -> _Found:
    """Decide for some portions, and where somebody moves for leaner ones too; take the better."""
    attempt = decide(situation, portions.all, allowance)
    attempt = replace(
        attempt, with_targets=portions.with_targets, least_price=_least_price(portions, attempt)
    )
    found = _Found(portions=portions, attempt=attempt)
    costs = costs_of(situation, attempt)
    if portions.leaner is None or not (costs.moved and attempt.serves_all):
        return found
    other = _try(situation, portions.leaner, allowance)
    better = other.attempt.serves_all and costs_of(situation, other.attempt) < costs
    return other if better else found


def _least_price(portions: Portions, attempt: Attempt) -> int | None:
    """Return what no plan can cost less than, where the packing's own bound does not say it."""
    return portions.least_price if portions.with_targets else attempt.least_price


def _prices(situation: Situation, attempt: Attempt, allowance: Allowance) -> tuple[SlicePrice, ...]:
    """Price one more slice of each profile; loads the solver."""
    from gpuslice.planner.prices import price_slices  # noqa: PLC0415 - only where asked for

    return price_slices(situation, attempt, allowance)


def _addition(situation: Situation, found: _Found, allowance: Allowance) -> tuple[Addition, ...]:
    """Find the cheapest GPUs with which everything would fit."""
    from gpuslice.planner.addition import cheapest_addition  # noqa: PLC0415 - where needed

    return cheapest_addition(situation, found.portions, allowance)


def _missing(situation: Situation, seats: tuple[Seat, ...]) -> tuple[ReplicaId, ...]:
    """List the replicas without a seat, in order; a target that is not met is one of them."""
    seated = {seat.replica for seat in seats}
    served = {replica.model for replica in seated}
    return tuple(
        ReplicaId(demand.model, number)
        for demand in sorted(situation.demands, key=lambda demand: demand.model)
        for number in range(1 if demand.target else demand.replicas)
        if (demand.model not in served if demand.target else True)
        if ReplicaId(demand.model, number) not in seated
    )
