"""What the rules of a plan do: ties between replicas, limits of moves, targets, contradictions."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings

from gpuslice.errors import ContradictionError, PlanningError
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import Demand
from gpuslice.planner.frontier import frontier
from property.brute_force import best_worth, worths_by_moves
from property.case import Case, geometry_of, incumbents, usable
from property.judge import Worth, goals, proved_values, seating_of, worth_of_plan
from property.legality import faults
from property.planned import certificate_of, make
from property.strategies_planner import (
    bound_cases,
    crowded_cases,
    scattered_cases,
    target_cases,
)

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(quick, max_examples=120)
@given(case=bound_cases())
def test_no_plan_that_keeps_to_the_rules_is_better(case: Case) -> None:
    made = make(case)
    assert not list(faults(case, seating_of(made)))
    assert worth_of_plan(case, made) == best_worth(case)


@settings(quick, max_examples=60)
@given(case=target_cases())
def test_no_multiset_of_slices_reaches_targets_better(case: Case) -> None:
    check_targets(case)


@settings(quick, max_examples=60)
@given(case=target_cases(bound=True))
def test_no_multiset_of_slices_that_keeps_to_the_rules_is_better(case: Case) -> None:
    check_targets(case)


@settings(quick, max_examples=80)
@given(case=bound_cases(contradictory=True))
def test_a_plan_is_refused_where_none_is_legal_or_somebody_could_come_nowhere(case: Case) -> None:
    best = best_worth(case)
    try:
        made = make(case)
    except ContradictionError:
        assert best is None or not everybody_could_come(case) or somebody_is_pinned_outside(case)
    except PlanningError:
        assert best is None
    else:
        assert worth_of_plan(case, made) == best


@quick
@given(case=scattered_cases() | bound_cases() | crowded_cases())
def test_a_looser_limit_of_moves_never_makes_a_plan_worse(case: Case) -> None:
    limits = (0, 1, 2, None)
    assume(best_worth(with_limit(case, 0)) is not None)
    found = [worth_of_plan(with_limit(case, n), make(with_limit(case, n))) for n in limits]
    assert found == sorted(found, reverse=True)


@quick
@given(case=scattered_cases() | crowded_cases() | bound_cases())
def test_every_corner_of_the_frontier_is_the_least_cost_of_so_many_moves(case: Case) -> None:
    points = frontier(case.observed, case.demands, case.owned, case.rules)
    assert [(point.cost, point.moves) for point in points] == corners(case)
    assert all(point.proved for point in points)


def with_limit(case: Case, most_moves: int | None) -> Case:
    return replace(case, rules=replace(case.rules, most_moves=most_moves))


def everybody_could_come(case: Case) -> bool:
    """Tell whether each model could have a replica, were nobody there but those who are pinned."""
    pinned = {demand.model for demand in case.demands if demand.pinned}
    staying = {s.key for replica, s in incumbents(case).items() if replica.model in pinned}
    machine = tuple(
        replace(gpu, slices=tuple(s for s in gpu.slices if s.key in staying))
        for gpu in case.observed.gpus
    )
    empty = replace(
        case,
        observed=replace(case.observed, gpus=machine),
        owned=tuple(record for record in case.owned if record.slice in staying),
    )
    return all(best_served(favouring(empty, d)) for d in case.demands if could_be_alone(case, d))


def somebody_is_pinned_outside(case: Case) -> bool:
    """Tell whether a replica is pinned to a GPU that is drained or not to be used."""
    pinned = {demand.model for demand in case.demands if demand.pinned}
    open_ = {gpu.uuid for gpu in usable(case)}
    return any(
        record.replica is not None
        and record.replica.model in pinned
        and record.slice.gpu_uuid not in open_
        for record in case.owned
    )


def favouring(case: Case, favourite: Demand) -> Case:
    """The case with one demand above all others."""
    demands = tuple(replace(d, priority=int(d == favourite)) for d in case.demands)
    return replace(case, demands=demands)


def best_served(case: Case) -> int:
    """How many of the demands of highest priority can be served."""
    best = best_worth(case)
    return 0 if best is None else -best[0]


def could_be_alone(case: Case, demand: Demand) -> bool:
    """Tell whether any usable GPU offers what a demand accepts."""
    return any(
        demand.accepts(profile, gpu.name)
        for gpu in usable(case)
        for profile in geometry_of(gpu).profiles
    )


def corners(case: Case) -> list[tuple[int, int]]:
    """Cost and moves of all plans that serve as many as any, where neither improves alone.

    What has to be added counts before the cost, here as everywhere.
    """
    by_moves = worths_by_moves(case)
    limit = case.rules.most_moves
    allowed = {n: w for n, w in by_moves.items() if limit is None or n <= limit}
    names = [goal for goal, _, _ in goals(case)]
    first, cost = names.index(Goal.SERVED_OF_MODEL) + len(case.demands), names.index(Goal.COST)
    most: Worth = min(allowed.values())[:first]
    found: list[tuple[Worth, int]] = []
    for moves, worth in sorted(allowed.items()):
        price = worth[first : cost + 1]
        if worth[:first] == most and (not found or price < found[-1][0]):
            found.append((price, moves))
    return [(price[-1], moves) for price, moves in reversed(found)]


def check_targets(case: Case) -> None:
    """Hold a plan with targets against the best there is, as far as it claims to be that.

    Recipes are chosen by price alone, so of the goals behind it nothing need be proved.
    """
    made = make(case)
    assert not list(faults(case, seating_of(made)))
    best, proved = best_worth(case), proved_values(certificate_of(made))
    assert best is not None
    assert worth_of_plan(case, made) >= best
    assert best[: len(proved)] == proved
