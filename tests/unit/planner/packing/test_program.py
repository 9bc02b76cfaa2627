"""The integer program gives the best answer in time, and an honest one without."""

from __future__ import annotations

from collections import Counter

import highspy
import pytest

from gpuslice.errors import PlanningError
from gpuslice.model.certificate import Method
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.greedy import choose_greedily
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.packing.objectives import moves, objective_values, served_by_want
from gpuslice.planner.packing.program import pack_by_program
from gpuslice.planner.packing.question import Answer, Cost, Question, Want
from gpuslice.planner.packing.states import States
from questions import a_place, a_question, a_site, by_enumeration, by_program, ours

PRICE = -len(Cost._fields) + Cost._fields.index("price")


def a_fleet(count: int = 40) -> Question:
    """A30s of which every other one holds a small slice with a replica; a few more are to come."""
    used = [a_site(ours("1g.6gb", start, 0)) for start in range(4)]
    sites = [(site, count // 8) for site in used]
    return a_question(*sites, (a_site(), count // 2), wants=(count // 2 + 10, 15))


def greedy_costs(question: Question) -> Counter[str]:
    """What the greedy choice costs, by entry of `Cost`."""
    found = choose_greedily(question, States(question))
    assert found is not None
    total: Counter[str] = Counter()
    for stay, _, arrivals in found.groups:
        for each in (each.cost for arrival in arrivals for each in (stay, arrival)):
            total.update(each._asdict())
    return total


def broken(_: highspy.Highs) -> None:
    raise RuntimeError("out of luck")


def working_until(last: int) -> Run:
    """A solver that falls over when it is asked once more than so many times."""
    asked: list[highspy.Highs] = []

    def run(solver: highspy.Highs) -> None:
        asked.append(solver)
        if len(asked) > last:
            broken(solver)
        solver.run()

    return run


def packed_with(run: Run, question: Question) -> Answer:
    return pack_by_program(question, States(question), Allowance(limit_s=60.0), run)


def test_a_fleet_is_packed_with_a_proof_of_every_objective() -> None:
    question = a_fleet()
    answer = by_program(question)
    assert answer.proof.method is Method.HIGHS
    assert answer.proof.note == ""
    assert answer.proof.bounds == objective_values(question, answer)
    assert served_by_want(question, answer) == (30, 15)
    assert objective_values(question, answer)[PRICE] < greedy_costs(question)["price"]


def test_without_time_the_greedy_choice_stands_with_bounds_below_it() -> None:
    question = a_fleet()
    hasty, best = by_program(question, 0.0), by_program(question)
    reached = objective_values(question, hasty)
    assert dict(zip(Cost._fields, reached[-len(Cost._fields) :], strict=True)) == {
        name: greedy_costs(question)[name] for name in Cost._fields
    }
    assert hasty.proof.note == "the solver reached its limit of 0 s"
    for bound, value, optimum in zip(
        hasty.proof.bounds, reached, objective_values(question, best), strict=True
    ):
        assert bound is not None
        assert bound <= value
        if value != optimum:
            assert bound <= optimum
            break


def test_a_solver_that_fails_leaves_the_greedy_choice_and_no_bound_it_would_have_had_to_find() -> (
    None
):
    question = a_fleet()
    answer = packed_with(broken, question)
    assert answer.proof.method is Method.GREEDY
    assert answer.proof.note == "the solver failed: out of luck"
    assert answer.proof.bounds[PRICE] is None
    assert objective_values(question, answer)[PRICE] == greedy_costs(question)["price"]


@pytest.mark.parametrize("last", range(1, 14))
def test_a_solver_that_fails_on_the_way_leaves_what_it_found_and_proved(last: int) -> None:
    question = a_fleet()
    answer, best = packed_with(working_until(last), question), by_program(question)
    reached, optimum = objective_values(question, answer), objective_values(question, best)
    assert optimum <= reached
    for bound, value, least in zip(answer.proof.bounds, reached, optimum, strict=True):
        assert bound is None or bound <= least
        if value != least:
            break


def test_the_solver_says_nothing_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    by_program(a_fleet())
    assert capfd.readouterr() == ("", "")


def test_equal_questions_have_equal_answers() -> None:
    assert by_program(a_fleet()) == by_program(a_fleet())


def test_time_taken_is_noted_in_the_allowance() -> None:
    allowance = Allowance(limit_s=60.0)
    question = a_fleet()
    pack_by_program(question, States(question), allowance)
    assert 0 < allowance.spent_s < 60


# --- Where slices lie -----------------------------------------------------------------------------


def test_gpus_of_one_class_keep_each_the_slice_that_lies_there() -> None:
    sites = [a_site(ours("1g.6gb", start, 0)) for start in (0, 1)]
    question = a_question(*sites, wants=(2, 2))
    answer = by_program(question)
    kept = [[part.placement.start for part in p.slices if part.kept] for (p,) in answer.patterns]
    assert kept == [[0], [1]]


def test_of_like_gpus_the_first_are_filled_and_with_most() -> None:
    question = a_question((a_site(), 6), wants=(9, 0))
    answer = by_program(question)
    assert [len(pattern.slices) for pattern in answer.patterns[0]] == [4, 4, 1, 0, 0, 0]


def test_every_free_slice_serves_somebody_who_may_have_it() -> None:
    menu = (("1g.6gb", (0, 1)), ("2g.12gb", (1,)))
    question = a_question((a_site(menu=menu), 5), wants=(9, 4))
    answer = by_program(question)
    supplied: Counter[tuple[int, ...]] = Counter()
    for pattern in answer.patterns[0]:
        supplied.update(dict(pattern.supply))
    used: Counter[tuple[int, ...]] = Counter()
    for (kind, want), count in answer.flow:
        assert want in kind
        used[kind] += count
    assert used == supplied


# --- Rules that need more than the greedy choice --------------------------------------------------


def company() -> Question:
    """A replica that may not leave needs another beside it, which greedily goes elsewhere."""
    elsewhere = a_site(fixed=(a_place("1g.6gb", 0),))
    here = a_site(fixed=(a_place("1g.6gb", 0),), tenants=(0,), holds_ours=True)
    return a_question(elsewhere, here, wants=(Want(count=0, near=(1,)), 1))


def test_a_start_is_looked_for_where_the_greedy_choice_finds_none() -> None:
    question = company()
    assert choose_greedily(question, States(question)) is None
    answer = by_program(question)
    assert [len(pattern.slices) for (pattern,) in answer.patterns] == [0, 1]
    assert objective_values(question, answer) == objective_values(
        question, by_enumeration(question)
    )


def test_where_no_start_is_found_it_is_told_why() -> None:
    question = company()
    with pytest.raises(PlanningError, match="keeps the rules: the solver reached its limit of 0 s"):
        by_program(question, 0.0)
    with pytest.raises(PlanningError, match="keeps the rules: the solver failed: out of luck"):
        packed_with(broken, question)


def lonely(most_moves: int | None, companions: int = 2) -> Question:
    """Two replicas on GPUs of their own, neither of whom may be without a companion to come."""
    menu = (("1g.6gb", (0, 1)),)
    site = a_site(ours("1g.6gb", 0, 0), menu=menu)
    wants = (Want(count=2, near=(1,)), companions)
    return a_question((site, 2), wants=wants, most_moves=most_moves)


@pytest.mark.parametrize(("most", "price"), [(0, 2), (1, 1), (2, 1), (None, 1)])
def test_all_moves_that_are_allowed_may_be_used_though_the_start_passes_the_limit(
    most: int | None, price: int
) -> None:
    question = lonely(most)
    start = choose_greedily(question, States(question))
    assert start is not None
    assert sum(stay.moves * len(arrivals) for stay, _, arrivals in start.groups) == 2
    answer = by_program(question)
    assert objective_values(question, answer)[PRICE] == price
    assert most is None or moves(answer) <= most
    assert answer.proof.bounds == objective_values(question, answer)
    assert answer.proof.bounds == by_enumeration(question).proof.bounds


def test_rules_that_need_more_moves_than_may_be_are_refused_with_their_number() -> None:
    with pytest.raises(PlanningError, match="at least 1 running replicas to move, and 0 may"):
        by_program(lonely(0, companions=1))


def test_without_time_a_start_that_passes_the_limit_of_moves_is_no_answer() -> None:
    with pytest.raises(PlanningError, match="the solver reached its limit of 0 s"):
        by_program(lonely(1), 0.0)


def test_a_solver_that_fails_does_not_make_a_question_seem_impossible() -> None:
    with pytest.raises(PlanningError, match=r"no layout was found .*: the solver failed"):
        packed_with(broken, lonely(1))


# --- Prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1, 1_000, 31_337, 1_000_003])
def test_prices_of_any_size_are_added_up_to_the_last_unit(unit: int) -> None:
    question = a_question(
        (a_site(price=7 * unit + 1), 300), (a_site(price=5 * unit), 300), wants=(1_601, 100)
    )
    answer = by_program(question)
    # 1,801 memory slices: 300 of the cheaper GPUs hold 1,200, and 151 others hold the rest.
    assert objective_values(question, answer)[PRICE] == 300 * 5 * unit + 151 * (7 * unit + 1)
    assert answer.proof.bounds[PRICE] == objective_values(question, answer)[PRICE]
