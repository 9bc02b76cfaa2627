"""What must hold for every certificate: it says what the plan is worth, and no plan is better."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from gpuslice.model.certificate import Certificate
from property.brute_force import best_worth
from property.case import Case
from property.judge import (
    Worth,
    goals,
    stated_bounds,
    stated_goals,
    stated_values,
    worth_of_plan,
)
from property.planned import certificate_of, make
from property.strategies_planner import (
    bound_cases,
    cases,
    crowded_cases,
    scattered_cases,
    target_cases,
)

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@quick
@given(
    case=cases() | bound_cases() | crowded_cases() | scattered_cases() | target_cases(bound=True)
)
def test_a_certificate_states_every_goal_in_order_and_what_the_plan_is_worth(case: Case) -> None:
    made = make(case)
    assert stated_goals(certificate_of(made)) == goals(case)
    assert stated_values(certificate_of(made)) == worth_of_plan(case, made)


@quick
@given(case=cases() | bound_cases() | crowded_cases() | scattered_cases())
def test_every_goal_of_a_small_question_is_proved_to_its_very_optimum(case: Case) -> None:
    certificate = certificate_of(make(case))
    assert certificate.optimal
    assert stated_bounds(certificate) == best_worth(case)


@quick
@given(case=target_cases() | target_cases(bound=True))
def test_no_plan_with_targets_is_better_than_a_certified_bound(case: Case) -> None:
    best = best_worth(case)
    assert best is not None
    assert_no_bound_is_beaten(certificate_of(make(case)), best)


@quick
@given(
    case=cases() | bound_cases() | crowded_cases() | scattered_cases() | target_cases(bound=True)
)
def test_without_time_there_is_a_legal_plan_with_an_honest_certificate(case: Case) -> None:
    hasty = make(case, limit_s=0.0)
    best = best_worth(case)
    assert best is not None
    assert worth_of_plan(case, hasty) >= best
    assert_no_bound_is_beaten(certificate_of(hasty), best)


def assert_no_bound_is_beaten(certificate: Certificate, best: Worth) -> None:
    """Each bound speaks of plans that equal this one in every goal before it."""
    values, bounds = stated_values(certificate), stated_bounds(certificate)
    for value, bound, optimum in zip(values, bounds, best, strict=True):
        assert bound is None or bound <= min(value, optimum)
        if value != optimum:  # what follows is bounded among plans of another kind
            break
