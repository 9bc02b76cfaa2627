"""What must hold inside the packing: every way to solve a question agrees with every other."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpuslice.errors import PlanningError
from gpuslice.model.gpu import Gpu
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.enumeration import Enumeration
from gpuslice.planner.grid import compile_grid, union
from gpuslice.planner.objectives import objective_values
from gpuslice.planner.program import pack_by_program
from gpuslice.planner.question import Question
from gpuslice.planner.situation import survey
from gpuslice.planner.states import States
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
    assume(not (settled and question.tied))
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
    if not lenient or reached[: len(question.wants)] == best.proof.bounds[: len(question.wants)]:
        assert reached == best.proof.bounds
        assert solved.proof.bounds == reached


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
