"""What must hold inside the packing: every way to solve a question agrees with every other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpuslice.errors import PlanningError
from gpuslice.model.gpu import Gpu
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import columns_of, rows_of
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.greedy import choose_greedily
from gpuslice.planner.packing.grid import compile_grid, union
from gpuslice.planner.packing.objectives import moves, objective_values, served_by_want
from gpuslice.planner.packing.program import _choice, _values, pack_by_program
from gpuslice.planner.packing.question import Choice, Cost, Kind, Pattern, Question, Site
from gpuslice.planner.packing.states import States
from gpuslice.planner.situation import survey
from property.case import Case
from property.strategies_planner import (
    FEW_SHAPES,
    bound_cases,
    cases,
    crowded_cases,
    gpus,
)

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


CASES = cases(most_gpus=3, most_replicas=9, keys=FEW_SHAPES) | crowded_cases() | bound_cases()


def question_of(case: Case, *, settled: bool = False, lenient: bool = False) -> Question:
    """The question that a case without targets puts to the packing, if it is a small one."""
    situation = survey(case.observed, case.demands, case.owned, case.rules)
    asked = ask(situation, whole_demands(situation), settled=settled, lenient=lenient)
    assume(asked.question.groups)
    return asked.question


@quick
@given(case=CASES)
def test_without_time_the_solver_bounds_what_is_best(case: Case) -> None:
    question = question_of(case)
    trying = Enumeration(question, States(question))
    assume(trying.work < 50_000)
    try:
        hasty = pack_by_program(question, States(question), Allowance(limit_s=0.0))
    except PlanningError:  # no start is known, and there is no time to look for one
        return
    best, reached = trying.answer().proof.bounds, objective_values(question, hasty)
    for bound, value, optimum in zip(hasty.proof.bounds, reached, best, strict=True):
        assert bound is not None
        assert optimum is not None
        assert bound <= value
        assert bound <= optimum
        if value != optimum:  # what follows is bounded among plans of another kind
            break


@settings(quick, max_examples=80)
@given(case=CASES, settled=st.booleans(), lenient=st.booleans())
def test_both_ways_of_packing_agree_on_every_objective(
    case: Case, settled: bool, lenient: bool
) -> None:
    question = question_of(case, settled=settled, lenient=lenient)
    trying = Enumeration(question, States(question))
    assume(trying.work < 50_000)
    try:
        best = trying.answer()
    except PlanningError:  # more moves are needed than may be
        with pytest.raises(PlanningError):
            pack_by_program(question, States(question), Allowance(limit_s=60.0))
        return
    solved = pack_by_program(question, States(question), Allowance(limit_s=60.0))
    reached = objective_values(question, solved)
    assert reached == solved.proof.bounds == best.proof.bounds
    assert reached == objective_values(question, best)
    assert solved.proof.note == best.proof.note == ""
    for answer in (solved, best):
        assert question.most_moves is None or moves(answer) <= question.most_moves
        assert not list(faults_of(question, answer))


@quick
@given(case=CASES)
def test_a_lenient_answer_that_serves_all_costs_no_more_and_no_less(case: Case) -> None:
    answers = []
    for lenient in (False, True):
        question = question_of(case, lenient=lenient)
        trying = Enumeration(question, States(question))
        assume(trying.work < 50_000)
        try:
            answers.append((question, trying.answer()))
        except PlanningError:
            assume(False)
    costs = [objective_values(q, answer)[-len(Cost._fields) :] for q, answer in answers]
    served = [sum(served_by_want(q, answer)) for q, answer in answers]
    assert served[1] <= served[0]
    if served[0] == answers[0][0].wanted:
        assert served[1] == served[0]
        assert costs[1] == costs[0]


@quick
@given(case=CASES | cases(most_gpus=6, most_replicas=20, most_demands=4, keys=FEW_SHAPES))
def test_the_greedy_choice_keeps_every_rule_of_the_program(case: Case) -> None:
    question = question_of(case)
    states = States(question)
    found = choose_greedily(question, states)
    assume(found is not None)
    assert found is not None
    columns = columns_of(question, states)
    values = _values(columns, found)
    assert all(0 <= v <= most for v, most in zip(values, columns.upper_bounds, strict=True))
    for low, terms, high in rows_of(columns):
        here = sum(coefficient * values[column] for column, coefficient in terms.items())
        assert low <= here
        assert high is None or here <= high
    assert not list(faults_of(question, _choice(columns, values)))


def faults_of(question: Question, answer: Choice) -> Iterator[str]:
    """Yield what is illegal in an answer."""
    used: Counter[Kind] = Counter()
    for (kind, want), count in answer.flow:
        used[kind] += count
        if want not in kind:
            yield f"a slice for {kind} serves {want}"
    supplied: Counter[Kind] = Counter()
    for group, patterns in zip(question.groups, answer.patterns, strict=True):
        for pattern in patterns:
            supplied.update(dict(pattern.supply))
            yield from _misplaced(group.site, pattern)
    if used != supplied:
        yield f"slices for {supplied} serve {used}"
    for served, asked in zip(served_by_want(question, answer), question.wants, strict=True):
        if served > asked.count:
            yield f"{served} are served of {asked.count}"


def _misplaced(site: Site, pattern: Pattern) -> Iterator[str]:
    """Yield what may not lie where it does."""
    lying = list(site.fixed)
    own = {(each.profile, each.placement): each.incumbent for each in site.own}
    for part in sorted(pattern.slices, key=lambda part: not part.kept):
        there = (part.profile, part.placement)
        if not site.geometry.allows(lying, *there):
            yield f"{there} may not lie beside {lying}"
        lying.append(there)
        if part.kept and there not in own:
            yield f"{there} is not there to be kept"
        if part.stays and (own[there],) != part.kind:
            yield f"{part.kind} does not run on {there}"
        if not part.stays and not set(part.kind) <= set(dict(site.menu).get(part.profile, ())):
            yield f"{part.kind} do not all accept {part.profile}"


@quick
@given(gpu=gpus(index=0))
def test_the_remainder_by_masks_is_the_remainder_by_the_geometry(gpu: Gpu) -> None:
    geometry = gpu.geometry
    assert geometry is not None
    lying = [(s.profile, s.placement) for s in gpu.slices]
    slow = sum(
        profile.memory_slices * geometry.free(lying, profile)
        for profile in geometry.profiles
        if not profile.attributes
    )
    counts = {name: sum(other == name for other, _ in lying) for name, _ in lying}
    fast = compile_grid(geometry).remainder(union(at for _, at in lying), counts)
    assert fast == slow
