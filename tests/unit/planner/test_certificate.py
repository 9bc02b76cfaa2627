"""What a plan says of its own quality: proved where it is, and honest where it is not."""

from __future__ import annotations

import highspy
import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Certificate, Demand, Goal, Method, Owned, Plan
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.certificate import Attempt, certify
from gpuslice.planner.check import check_plan
from gpuslice.planner.enumeration import pack_by_enumeration
from gpuslice.planner.plan import plan
from gpuslice.planner.program import pack_by_program
from gpuslice.planner.question import Answer, Question
from gpuslice.planner.situation import Situation, ask, survey

FLEET = an_observed(*(a_board_gpu(index=index) for index in range(12)))
MIXED = (
    Demand(model="small", replicas=20, profile="1g.10gb"),
    Demand(model="middle", replicas=9, profile="2g.20gb"),
    Demand(model="large", replicas=5, profile="3g.40gb"),
)


def certificate_of(made: Plan) -> Certificate:
    assert made.certificate is not None
    return made.certificate


def value(made: Plan, goal: Goal) -> int:
    return next(o.value for o in certificate_of(made).objectives if o.goal is goal)


def crowded() -> tuple[Observed, tuple[Demand, ...], tuple[Owned, ...]]:
    """Two cards with a small replica in the middle of each, and one that wants a whole card."""
    gpus = [with_slices(a_board_gpu(index=i), ("1g.10gb", 3)) for i in range(2)]
    records = tuple(owned(gpu.slices[0], "small", number) for number, gpu in enumerate(gpus))
    demands = (
        Demand(model="small", replicas=2, profile="1g.10gb"),
        Demand(model="large", replicas=1, profile="7g.80gb"),
    )
    return an_observed(*gpus), demands, records


def test_one_machine_is_proved_by_looking_at_every_layout() -> None:
    made = plan(an_observed(a_board_gpu()), MIXED[:1], ())
    certificate = certificate_of(made)
    assert certificate.method is Method.ENUMERATION
    assert certificate.optimal
    assert not certificate.note


def test_a_fleet_is_proved_by_the_solver() -> None:
    made = plan(FLEET, MIXED, ())
    assert certificate_of(made).method is Method.HIGHS
    assert certificate_of(made).optimal
    assert value(made, Goal.SERVED) == 34
    assert value(made, Goal.OCCUPIED) == 8


def test_goals_stand_in_the_order_in_which_they_are_settled() -> None:
    goals = [o.goal for o in certificate_of(plan(FLEET, MIXED, ())).objectives]
    assert list(dict.fromkeys(goals)) == list(Goal)
    assert goals.count(Goal.SERVED_OF_MODEL) == 3


def test_nothing_asked_for_has_nothing_to_prove() -> None:
    assert plan(FLEET, (), ()).certificate is None


def test_a_move_that_cannot_be_avoided_is_counted_and_proved() -> None:
    observed, demands, records = crowded()
    made = plan(observed, demands, records)
    assert (value(made, Goal.MOVED), value(made, Goal.DESTROYED)) == (1, 1)
    assert certificate_of(made).optimal


def test_slices_that_go_in_any_case_are_counted_too() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 2), half_made=(2,))
    records = (owned(gpu.slices[0], "small", 0), owned(gpu.slices[1]))
    demands = (Demand(model="small", replicas=1, profile="2g.20gb"),)
    made = plan(an_observed(gpu), demands, records)
    assert value(made, Goal.DESTROYED) == 1
    assert value(made, Goal.MEMORY) == 2
    check_plan(made, an_observed(gpu), demands, records)


@pytest.mark.parametrize("case", [(FLEET, MIXED, ()), crowded()], ids=["fresh", "crowded"])
def test_without_time_there_is_a_legal_plan_with_its_gap(
    case: tuple[Observed, tuple[Demand, ...], tuple[Owned, ...]],
) -> None:
    observed, demands, records = case
    made = plan(observed, demands, records, limit_s=0.0)
    check_plan(made, observed, demands, records)
    assert made.seats


def test_a_limit_is_told_with_the_most_important_goal_that_is_open() -> None:
    certificate = certificate_of(plan(FLEET, MIXED, (), limit_s=0.0))
    assert certificate.note == "the solver reached its limit of 0 s"
    assert certificate.open is not None
    assert certificate.open.goal is Goal.OCCUPIED
    assert certificate.open.bound == 0


def attempt(
    situation: Situation, *, settled: bool, limit_s: float = 60.0, broken: bool = False
) -> Attempt:
    """An answer of the integer program, whose solver may be idle."""
    run = (lambda _: None) if broken else highspy.Highs.run
    question = ask(situation, settled=settled)
    answer = pack_by_program(question, Allowance(limit_s=limit_s), run)
    return Attempt(settled=settled, question=question, answer=answer)


def test_a_solver_that_fails_leaves_the_greedy_placement_and_no_bound() -> None:
    situation = survey(FLEET, MIXED, (), None)
    certificate = certify(situation, attempt(situation, settled=False, broken=True), None)
    assert certificate is not None
    assert certificate.method is Method.GREEDY
    assert certificate.note == "the solver failed: Not Set"
    assert certificate.open is not None
    assert (certificate.open.goal, certificate.open.gap) == (Goal.OCCUPIED, None)
    assert certificate.objectives[0].value == 34


def test_a_frozen_answer_that_does_not_serve_all_is_bounded_by_the_question_with_moves() -> None:
    situation = survey(*crowded(), None)
    frozen = attempt(situation, settled=True)
    moving = attempt(situation, settled=False, limit_s=0.0)
    certificate = certify(situation, frozen, moving)
    assert certificate is not None
    bounds = {(o.goal, o.model): o.bound for o in certificate.objectives}
    assert (certificate.objectives[0].value, bounds[Goal.SERVED, ""]) == (2, 3)
    assert bounds[Goal.MOVED, ""] == 0
    assert bounds[Goal.OCCUPIED, ""] is None
    assert certificate.note == "the solver reached its limit of 0 s"


def both(question: Question) -> tuple[Answer, Answer]:
    return pack_by_enumeration(question), pack_by_program(question, Allowance(limit_s=60.0))


def test_both_ways_of_packing_prove_the_same_bounds() -> None:
    observed, demands, records = crowded()
    for settled in (True, False):
        question = ask(survey(observed, demands, records, None), settled=settled)
        by_trying, by_solving = both(question)
        assert by_trying.proof.bounds == by_solving.proof.bounds
