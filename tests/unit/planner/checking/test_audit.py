"""A certificate that says more than the plan has is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.certificate import Certificate, Goal, Objective
from gpuslice.model.demand import Prices, Rules
from gpuslice.model.plan import Plan
from plans_by_hand import Given, by_hand, planned

A100, H200 = "NVIDIA A100-SXM4-80GB", "NVIDIA H200"
# A replica that has to move, a slice of ours that nobody wants, somebody else's, a GPU on which
# MIG mode is off, and one that would have to be added.
FIRST = with_slices(a_board_gpu(), ("1g.10gb", 3), ("1g.10gb", 6))
SECOND = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
THIRD = a_board_gpu(index=2, mig_on=False)
ADDED = a_board_gpu("h200", index=3)
GIVEN = Given(
    observed=an_observed(FIRST, SECOND, THIRD, ADDED),
    demands=(
        a_demand("small", "1g.10gb", move_cost=3),
        a_demand("large", "7g.80gb", 2, priority=5),
        a_target("fast", 10_000, ("3g.71gb", 10_000), priority=5),
    ),
    owned=(owned(FIRST.slices[0], "small"), owned(FIRST.slices[1])),
    rules=Rules(
        addable=frozenset({"GPU-3"}),
        prices=Prices(currency="EUR", milli_per_hour=((A100, 1500), (H200, 4000))),
    ),
)
GOOD = by_hand(
    GIVEN,
    {
        "large/0": planned(FIRST, "7g.80gb", 0),
        "large/1": planned(THIRD, "7g.80gb", 0),
        "small/0": planned(SECOND, "1g.10gb", 1),
        "fast/0": planned(ADDED, "3g.71gb", 4),
    },
)
# Beside the slices at 0 and 1 of the second GPU there is room for five of 1g.10gb, three of
# 1g.20gb, two of 2g.20gb and one of 3g.40gb: 5 + 6 + 4 + 4. On the first half of the added one:
# four of one memory slice, two and two of two, one and one of four: 4 + 4 + 4 + 4 + 4.
WORKED_OUT = [
    (Goal.SERVED, "", 5, 3),
    (Goal.SERVED, "", 0, 1),
    (Goal.SERVED_OF_MODEL, "large", None, 2),
    (Goal.SERVED_OF_MODEL, "fast", None, 1),
    (Goal.SERVED_OF_MODEL, "small", None, 1),
    (Goal.ADDED, "", None, 4000),
    (Goal.COST, "", None, 3 * 1500 + 4000),
    (Goal.MOVED, "", None, 3),
    (Goal.DESTROYED, "", None, 2),
    (Goal.SWITCHED, "", None, 1),
    (Goal.OURS, "", None, 4),
    (Goal.MEMORY, "", None, 8 + 8 + 1 + 4),
    (Goal.ROOM, "", None, 19 + 20),
    (Goal.COMPUTE, "", None, 7 + 7 + 1 + 3),
]


def stated(made: Plan) -> Certificate:
    assert made.certificate is not None
    return made.certificate


def with_objectives(*objectives: Objective, made: Plan = GOOD) -> Plan:
    return replace(made, certificate=replace(stated(made), objectives=objectives))


def spoilt(goal: Goal, **changes: int | None) -> Plan:
    """The plan with something else said of one goal."""
    said = [
        replace(o, **changes) if o.goal is goal else o  # type: ignore[arg-type] # names are checked at run time
        for o in stated(GOOD).objectives
    ]
    return with_objectives(*said)


def complaints(made: Plan, given: Given = GIVEN) -> str:
    return "\n".join(given.complaints(made))


def test_the_plan_that_is_spoilt_below_is_good_and_has_what_was_worked_out() -> None:
    assert complaints(GOOD) == ""
    objectives = stated(GOOD).objectives
    assert [(o.goal, o.model, o.priority, o.value) for o in objectives] == WORKED_OUT


@pytest.mark.parametrize("number", range(len(WORKED_OUT)))
@pytest.mark.parametrize("by", [-1, 1])
def test_a_value_that_the_plan_does_not_have_is_found(number: int, by: int) -> None:
    said = list(stated(GOOD).objectives)
    said[number] = replace(said[number], value=said[number].value + by)
    goal, model, priority, value = WORKED_OUT[number]
    about = f" ({model or f'priority {priority}'})" if model or priority is not None else ""
    told = f"the certificate says {goal}{about}: {value + by}, but the plan has {value}"
    assert told in complaints(with_objectives(*said))


@pytest.mark.parametrize("goal", Goal)
def test_a_bound_that_the_value_exceeds_is_no_bound(goal: Goal) -> None:
    values = [o.value for o in stated(GOOD).objectives if o.goal is goal]
    bound = min(values) - 1 if goal.most else max(values) + 1
    assert f"beyond its bound {bound}" in complaints(spoilt(goal, bound=bound))


@pytest.mark.parametrize("goal", Goal)
def test_a_bound_that_is_reached_or_unknown_is_honest(goal: Goal) -> None:
    values = {o.value for o in stated(GOOD).objectives if o.goal is goal}
    for bound in (None, *(values if len(values) == 1 else ())):
        assert complaints(spoilt(goal, bound=bound)) == ""


def test_a_goal_left_out_is_missed() -> None:
    for number in range(len(WORKED_OUT)):
        said = list(stated(GOOD).objectives)
        del said[number]
        assert "every goal" in complaints(with_objectives(*said))


def test_goals_in_another_order_are_refused() -> None:
    assert "in order" in complaints(with_objectives(*reversed(stated(GOOD).objectives)))


def test_a_goal_stated_twice_is_refused() -> None:
    said = stated(GOOD).objectives
    assert "once" in complaints(with_objectives(*said, said[-1]))


def test_added_gpus_are_counted_only_where_any_may_be_added() -> None:
    given = replace(GIVEN, rules=replace(GIVEN.rules, addable=frozenset()))
    assert "every goal" in complaints(GOOD, given)
    said = [o for o in stated(GOOD).objectives if o.goal is not Goal.ADDED]
    assert complaints(with_objectives(*said), given) == ""


def test_each_gpu_counts_as_one_without_prices() -> None:
    given = replace(GIVEN, rules=replace(GIVEN.rules, prices=None))
    said = [
        replace(o, value={Goal.ADDED: 1, Goal.COST: 4}.get(o.goal, o.value))
        for o in stated(GOOD).objectives
    ]
    without = with_objectives(*said, made=GOOD)
    assert "counts in 'EUR'" in complaints(without, given)
    nameless = replace(without, certificate=replace(stated(without), currency=""))
    assert complaints(nameless, given) == ""


def test_the_currency_is_that_of_the_prices() -> None:
    made = replace(GOOD, certificate=replace(stated(GOOD), currency="USD"))
    assert "counts in 'USD'" in complaints(made)


def test_a_gpu_that_may_be_used_has_a_price() -> None:
    prices = Prices(currency="EUR", milli_per_hour=((A100, 1500),))
    given = replace(GIVEN, rules=replace(GIVEN.rules, prices=prices))
    assert "NVIDIA H200 may be used, but has no price" in complaints(GOOD, given)


def test_what_may_not_be_used_costs_nothing_and_leaves_no_room() -> None:
    full = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    given = Given(
        observed=an_observed(a_board_gpu(), full),
        demands=(a_demand("a", "7g.80gb"),),
        owned=(owned(full.slices[0], "gone"),),
        rules=Rules(gpus=frozenset({"GPU-0"})),
    )
    made = by_hand(given, {"a/0": planned(given.observed.gpus[0], "7g.80gb", 0)})
    values = {o.goal: o.value for o in stated(made).objectives}
    assert (values[Goal.COST], values[Goal.ROOM], values[Goal.DESTROYED]) == (1, 0, 1)
    assert given.complaints(made) == ()


def test_a_plan_for_something_needs_a_certificate() -> None:
    assert "none for something" in complaints(replace(GOOD, certificate=None))


def test_a_plan_for_nothing_has_none() -> None:
    given = replace(GIVEN, demands=())
    nothing = by_hand(given, {})
    assert complaints(nothing, given) == ""
    made = replace(nothing, certificate=stated(GOOD))
    assert "certificate for nothing" in complaints(made, given)
