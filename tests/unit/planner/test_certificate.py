"""What a plan says of its own quality: proved where it is, and honest where it is not."""

from __future__ import annotations

from dataclasses import replace

import highspy
import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.certificate import Certificate, Goal, Method, Objective
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.certificate import Attempt, certify
from gpuslice.planner.check import check_plan
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.program import pack_by_program
from gpuslice.planner.packing.states import States
from gpuslice.planner.plan import plan
from gpuslice.planner.seating import seat_all
from gpuslice.planner.situation import Situation, survey

FLEET = an_observed(*(a_board_gpu(index=index) for index in range(12)))
MIXED = (
    a_demand("small", "1g.10gb", 20),
    a_demand("middle", "2g.20gb", 9),
    a_demand("large", "3g.40gb", 5),
)
ANY = Rules()
NEAT = (Goal.OURS, Goal.MEMORY, Goal.ROOM, Goal.COMPUTE)


def certificate_of(made: Plan) -> Certificate:
    assert made.certificate is not None
    return made.certificate


def of(certificate: Certificate, goal: Goal, model: str = "") -> Objective:
    """The objective of a goal, where it is about a model that of the model."""
    found = [o for o in certificate.objectives if (o.goal, o.model) == (goal, model)]
    assert len(found) == 1, f"{goal} stands there {len(found)} times"
    return found[0]


def value(made: Plan, goal: Goal) -> int:
    return of(certificate_of(made), goal).value


def checked(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Certificate:
    """The certificate of a plan that the independent checker has looked at."""
    observed = an_observed(*gpus)
    made = plan(observed, demands, ours, rules)
    check_plan(made, observed, demands, ours, rules)
    return certificate_of(made)


def crowded() -> tuple[Observed, tuple[Demand, ...], tuple[Owned, ...]]:
    """Two cards with a small replica in the middle of each, and one that wants a whole card."""
    gpus = [with_slices(a_board_gpu(index=i), ("1g.10gb", 3)) for i in range(2)]
    records = tuple(owned(gpu.slices[0], "small", number) for number, gpu in enumerate(gpus))
    demands = (a_demand("small", "1g.10gb", 2), a_demand("large", "7g.80gb"))
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
    assert value(made, Goal.COST) == 8


def test_goals_stand_in_the_order_in_which_they_are_settled() -> None:
    goals = [o.goal for o in certificate_of(plan(FLEET, MIXED, ())).objectives]
    assert list(dict.fromkeys(goals)) == [goal for goal in Goal if goal is not Goal.ADDED]
    assert goals.count(Goal.SERVED_OF_MODEL) == 3


def test_what_is_served_is_told_by_priority_and_then_model_by_model() -> None:
    low, high = a_demand("low", replicas=2), a_demand("high", "3g.40gb", priority=5)
    certificate = checked((a_board_gpu(),), low, high)
    told = [(o.goal, o.priority, o.model, o.value, o.bound) for o in certificate.objectives[:4]]
    assert told == [
        (Goal.SERVED, 5, "", 1, 1),
        (Goal.SERVED, 0, "", 2, 2),
        (Goal.SERVED_OF_MODEL, None, "high", 1, 1),
        (Goal.SERVED_OF_MODEL, None, "low", 2, 2),
    ]


def test_what_has_to_be_added_is_told_only_where_something_may_be() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    certificate = checked(gpus, a_demand("a", "7g.80gb"), rules=Rules(addable=frozenset({"GPU-1"})))
    assert (of(certificate, Goal.ADDED).value, of(certificate, Goal.ADDED).gap) == (0, 0)


def test_nothing_asked_for_has_nothing_to_prove() -> None:
    assert plan(FLEET, (), ()).certificate is None
    assert plan(FLEET, (a_demand("a", replicas=0),), ()).certificate is None


def test_a_move_that_cannot_be_avoided_is_counted_and_proved() -> None:
    observed, demands, records = crowded()
    made = plan(observed, demands, records)
    assert (value(made, Goal.MOVED), value(made, Goal.DESTROYED)) == (1, 1)
    assert certificate_of(made).optimal


def test_slices_that_go_in_any_case_are_counted_too() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 2), half_made=(2,))
    records = (owned(gpu.slices[0], "small", 0), owned(gpu.slices[1]))
    certificate = checked((gpu,), a_demand("small"), ours=records)
    assert of(certificate, Goal.DESTROYED).value == 1
    assert of(certificate, Goal.MEMORY).value == 2
    assert certificate.optimal


def test_slices_of_others_are_paid_for_and_nothing_on_a_barred_gpu_is() -> None:
    theirs = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    drained = with_slices(a_board_gpu(index=2), ("1g.10gb", 0))
    certificate = checked(
        (a_board_gpu(), theirs, drained),
        a_demand("a", "7g.80gb"),
        ours=(owned(drained.slices[0]),),
        rules=Rules(drained=frozenset({"GPU-2"})),
    )
    assert of(certificate, Goal.COST).value == 2
    assert of(certificate, Goal.DESTROYED).value == 1
    assert certificate.optimal


# --- When time runs out, or the solver fails ------------------------------------------------------


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
    assert certificate.open.goal is Goal.COST
    assert certificate.open.bound == 0


def attempt(
    situation: Situation, *, settled: bool, limit_s: float = 60.0, broken: bool = False
) -> Attempt:
    """An answer of the integer program, whose solver may be idle."""
    run = (lambda _: None) if broken else highspy.Highs.run
    asked = ask(situation, whole_demands(situation), settled=settled)
    states = States(asked.question)
    answer = pack_by_program(asked.question, states, Allowance(limit_s=limit_s), run)
    return Attempt(asked=asked, answer=answer)


def certified(situation: Situation, tried: Attempt) -> Certificate:
    certificate = certify(situation, tried, seat_all(tried.asked, tried.answer))
    assert certificate is not None
    return certificate


def test_a_solver_that_fails_leaves_the_greedy_placement_and_no_bound() -> None:
    situation = survey(FLEET, MIXED, (), ANY)
    certificate = certified(situation, attempt(situation, settled=False, broken=True))
    assert certificate.method is Method.GREEDY
    assert certificate.note == "the solver failed: Not Set"
    assert certificate.open is not None
    assert (certificate.open.goal, certificate.open.gap) == (Goal.COST, None)
    assert certificate.objectives[0].value == 34


def test_an_answer_without_time_says_what_could_be_served_at_most() -> None:
    situation = survey(*crowded(), ANY)
    certificate = certified(situation, attempt(situation, settled=False, limit_s=0.0))
    served = of(certificate, Goal.SERVED)
    assert (served.value, served.bound) == (2, 3)
    assert of(certificate, Goal.MOVED).bound == 0
    assert certificate.note == "the solver reached its limit of 0 s"


def test_both_ways_of_packing_prove_the_same_bounds() -> None:
    situation = survey(*crowded(), ANY)
    for settled in (True, False):
        asked = ask(situation, whole_demands(situation), settled=settled)
        states = States(asked.question)
        by_trying = Enumeration(asked.question, states).answer()
        by_solving = pack_by_program(asked.question, states, Allowance(limit_s=60.0))
        assert by_trying.proof.bounds == by_solving.proof.bounds


def test_running_replicas_that_are_left_alone_are_part_of_every_number() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("3g.40gb", 4))
    records = (owned(gpu.slices[0], "a"), owned(gpu.slices[1], "b"))
    demands = (a_demand("a"), a_demand("b", "3g.40gb"), a_demand("c", "1g.10gb"))
    situation = survey(an_observed(gpu), demands, records, ANY)
    settled = certified(situation, attempt(situation, settled=True))
    free = certified(situation, attempt(situation, settled=False))
    assert settled == free
    assert [o.value for o in settled.objectives[:4]] == [3, 1, 1, 1]
    assert of(settled, Goal.MEMORY).value == 7


# --- Throughput targets ---------------------------------------------------------------------------


CHAT = a_target("chat", 2000, ("1g.10gb", 1000), ("2g.20gb", 2000))


def running(*places: tuple[str, int]) -> tuple[Gpu, tuple[Owned, ...]]:
    """An A100 with slices of ours at those places, a replica of ``chat`` on each."""
    gpu = with_slices(a_board_gpu(), *places)
    return gpu, tuple(owned(s, "chat", number) for number, s in enumerate(gpu.slices))


def test_the_price_of_recipes_is_proved_and_nothing_is_less_than_nothing() -> None:
    certificate = checked((a_board_gpu(), a_board_gpu(index=1)), CHAT)
    proved = {o.goal for o in certificate.objectives if o.gap == 0}
    assert proved == set(Goal) - {Goal.ADDED, *NEAT}
    assert all(of(certificate, goal).bound is None for goal in NEAT)


def test_gpus_of_others_are_part_of_the_least_price() -> None:
    theirs = with_slices(a_board_gpu(index=1), ("7g.80gb", 0))
    certificate = checked((a_board_gpu(), theirs), CHAT)
    assert (of(certificate, Goal.COST).value, of(certificate, Goal.COST).bound) == (2, 2)


def test_where_gpus_may_be_added_the_price_is_proved_if_none_is() -> None:
    rules = Rules(addable=frozenset({"GPU-1"}))
    certificate = checked((a_board_gpu(), a_board_gpu(index=1)), CHAT, rules=rules)
    assert (of(certificate, Goal.ADDED).bound, of(certificate, Goal.COST).bound) == (0, 1)
    added = Rules(addable=frozenset({"GPU-0"}))
    bought = checked((a_board_gpu(),), CHAT, rules=added)
    assert of(bought, Goal.ADDED).value == 1
    assert of(bought, Goal.ADDED).bound is None
    assert of(bought, Goal.COST).bound is None


def test_where_only_one_recipe_is_possible_everything_is_proved() -> None:
    only = a_target("chat", 2000, ("1g.10gb", 1000), replicas=2)
    assert checked((a_board_gpu(),), only).optimal
    best = a_target("chat", 4000, ("1g.10gb", 1000), ("3g.40gb", 2000), replicas=2)
    assert checked((a_board_gpu(),), best).optimal
    either = a_target("chat", 3000, ("1g.10gb", 1000), ("3g.40gb", 2000), replicas=2)
    assert not checked((a_board_gpu(),), either).optimal
    more = replace(only, replicas=3)
    assert not checked((a_board_gpu(),), more).optimal


def test_one_profile_on_two_boards_is_two_recipes() -> None:
    other = replace(a_board_gpu(index=1), name="NVIDIA A100 of another name")
    only = a_target("chat", 2000, ("1g.10gb", 1000), replicas=2)
    assert not checked((a_board_gpu(), other), only).optimal


def test_a_target_that_runs_on_is_proved_when_nothing_changes() -> None:
    gpu, records = running(("1g.10gb", 5), ("1g.10gb", 6))
    assert checked((gpu,), CHAT, ours=records).optimal


def test_a_target_that_runs_on_is_proved_beside_replicas_that_come() -> None:
    gpu, records = running(("1g.10gb", 5), ("1g.10gb", 6))
    certificate = checked((gpu,), CHAT, a_demand("judge", "3g.40gb"), ours=records)
    assert certificate.optimal
    assert of(certificate, Goal.MEMORY).value == 6


def test_with_a_free_slice_of_ours_a_target_that_runs_on_might_do_better() -> None:
    # A third replica on the slice that lies there would spare its being destroyed.
    gpu, records = running(("1g.10gb", 5), ("1g.10gb", 6), ("2g.20gb", 0))
    certificate = checked((gpu,), CHAT, ours=(*records[:2], owned(gpu.slices[2])))
    assert (of(certificate, Goal.DESTROYED).value, of(certificate, Goal.DESTROYED).bound) == (
        1,
        None,
    )
    assert not certificate.optimal


def test_a_move_that_counts_nothing_could_make_a_running_target_neater() -> None:
    gpu, records = running(("1g.10gb", 5), ("1g.10gb", 6))
    certificate = checked((gpu,), replace(CHAT, move_cost=0), ours=records)
    assert of(certificate, Goal.MEMORY).bound is None


def test_a_target_that_is_not_met_leaves_open_what_could_be_served() -> None:
    wide = a_target("wide", 7000, ("1g.10gb", 1000))
    whole = a_target("whole", 1000, ("7g.80gb", 1000))
    certificate = checked((a_board_gpu(),), wide, whole, a_demand("a"))
    served = of(certificate, Goal.SERVED)
    assert served.value < 3
    assert served.bound is None
    assert of(certificate, Goal.SERVED_OF_MODEL, "a").bound == 1


def test_a_target_that_nothing_could_meet_is_no_gap() -> None:
    hopeless = a_target("hopeless", 9000, ("1g.10gb", 1000), replicas=8)
    certificate = checked((a_board_gpu(),), hopeless, a_demand("a"))
    served = of(certificate, Goal.SERVED)
    assert (served.value, served.bound) == (1, 1)
    assert of(certificate, Goal.SERVED_OF_MODEL, "hopeless").gap == 0
    assert certificate.optimal


def test_no_price_is_claimed_for_a_plan_that_leaves_somebody_out() -> None:
    # Recipes know nothing of who is pinned: for them all of this fits on one GPU.
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (
        a_demand("pinned", "1g.10gb", pinned=True),
        a_target("chat", 1000, ("1g.10gb", 1000)),
        a_demand("half", "4g.40gb"),
    )
    certificate = checked((gpu,), *demands, ours=(owned(gpu.slices[0], "pinned"),))
    assert of(certificate, Goal.SERVED).value == 2
    assert of(certificate, Goal.COST).bound is None
