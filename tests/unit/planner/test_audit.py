"""A certificate that says more than the plan has is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import BadPlanError
from gpuslice.model.plan import Certificate, Demand, Goal, Objective, Plan
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan

# A replica that has to move, a slice of ours that nobody wants, somebody else's, and MIG off.
FIRST = with_slices(a_board_gpu(), ("1g.10gb", 3), ("1g.10gb", 6))
SECOND = with_slices(a_board_gpu(index=1), ("1g.10gb", 0), ("4g.40gb", 4))
MACHINE = an_observed(FIRST, SECOND, a_board_gpu(index=2, mig_on=False))
DEMANDS = (
    Demand(model="small", replicas=1, profile="1g.10gb"),
    Demand(model="large", replicas=2, profile="7g.80gb"),
)
OWNED = (owned(FIRST.slices[0], "small"), owned(FIRST.slices[1]))
GOOD = plan(MACHINE, DEMANDS, OWNED)


def stated(made: Plan) -> Certificate:
    assert made.certificate is not None
    return made.certificate


def with_objectives(*objectives: Objective) -> Plan:
    return replace(GOOD, certificate=replace(stated(GOOD), objectives=objectives))


def spoilt(goal: Goal, **changes: int | None) -> Plan:
    """The plan with something else said of one goal."""
    said = [
        replace(o, **changes) if o.goal is goal else o  # type: ignore[arg-type] # names are checked at run time
        for o in stated(GOOD).objectives
    ]
    return with_objectives(*said)


def complaints(made: Plan) -> str:
    with pytest.raises(BadPlanError) as caught:
        check_plan(made, MACHINE, DEMANDS, OWNED)
    return "\n".join(caught.value.details)


def test_the_plan_that_is_spoilt_below_is_good() -> None:
    check_plan(GOOD, MACHINE, DEMANDS, OWNED)
    values = {o.goal: o.value for o in stated(GOOD).objectives}
    assert values[Goal.MOVED] == 1
    assert values[Goal.DESTROYED] == 2
    assert values[Goal.SWITCHED] == 1


COUNTED = [goal for goal in Goal if goal is not Goal.POSITIONS]


@pytest.mark.parametrize("goal", COUNTED)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_value_that_the_plan_does_not_have_is_found(goal: Goal, by: int) -> None:
    true = next(o.value for o in stated(GOOD).objectives if o.goal is goal)
    assert f"{goal}" in complaints(spoilt(goal, value=true + by, bound=None))


@pytest.mark.parametrize("goal", Goal)
def test_a_bound_that_the_value_exceeds_is_no_bound(goal: Goal) -> None:
    values = [o.value for o in stated(GOOD).objectives if o.goal is goal]
    bound = min(values) - 1 if goal.most else max(values) + 1
    assert f"beyond its bound {bound}" in complaints(spoilt(goal, bound=bound))


def test_an_unknown_bound_is_honest() -> None:
    check_plan(spoilt(Goal.OCCUPIED, bound=None), MACHINE, DEMANDS, OWNED)


def test_a_goal_left_out_is_missed() -> None:
    assert "every goal" in complaints(with_objectives(*stated(GOOD).objectives[1:]))


def test_goals_in_another_order_are_refused() -> None:
    assert "in order" in complaints(with_objectives(*reversed(stated(GOOD).objectives)))


def test_a_plan_for_something_needs_a_certificate() -> None:
    assert "none for something" in complaints(replace(GOOD, certificate=None))


def test_a_plan_for_nothing_has_none() -> None:
    nothing = plan(MACHINE, (), OWNED)
    check_plan(nothing, MACHINE, (), OWNED)
    with pytest.raises(BadPlanError, match="certificate for nothing"):
        check_plan(replace(nothing, certificate=stated(GOOD)), MACHINE, (), OWNED)
