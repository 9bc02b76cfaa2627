"""Looking at everything finds the best, and says how much there is to look at beforehand."""

from __future__ import annotations

import pytest

from gpuslice.errors import PlanningError
from gpuslice.model.certificate import Method
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.objectives import moves, objective_values, served_by_want
from gpuslice.planner.packing.question import Answer, Question, Want
from gpuslice.planner.packing.states import States
from questions import a_place, a_question, a_site, by_enumeration, ours

LARGE_AND_SMALL = (("1g.6gb", (1,)), ("4g.24gb", (0,)))
"""Want 0 takes a whole A30, want 1 a quarter of one."""


def work(question: Question) -> int:
    return Enumeration(question, States(question)).work


def profiles(answer: Answer) -> list[list[str]]:
    """The profiles on each GPU."""
    return [[part.profile for part in p.slices] for group in answer.patterns for p in group]


def test_work_is_the_combinations_times_the_ways_to_use_them() -> None:
    # No slice, or one to four small ones: five patterns; at most two replicas are asked for.
    menu = (("1g.6gb", (0,)),)
    assert work(a_question(a_site(menu=menu), wants=(4,))) == 5 * (1 + 5)
    assert work(a_question((a_site(menu=menu), 2), wants=(4,))) == 15 * (2 + 5)
    assert work(a_question(a_site(menu=menu), wants=(2,))) == 3 * (1 + 3)


def test_work_grows_with_unlike_gpus_faster_than_with_like_ones() -> None:
    like = a_question((a_site(), 3), wants=(4, 4))
    unlike = a_question(*(a_site(price=n) for n in range(3)), wants=(4, 4))
    assert work(like) < work(unlike)


def test_what_is_found_is_its_own_proof() -> None:
    question = a_question((a_site(), 2), wants=(5, 1))
    answer = by_enumeration(question)
    assert answer.proof.method is Method.ENUMERATION
    assert answer.proof.bounds == objective_values(question, answer)
    assert answer.proof.note == ""


def test_among_equals_most_are_served_whoever_they_are() -> None:
    question = a_question(a_site(menu=LARGE_AND_SMALL), wants=(1, 4))
    answer = by_enumeration(question)
    assert served_by_want(question, answer) == (0, 4)


def test_among_as_many_the_first_want_is_served_first() -> None:
    question = a_question(a_site(menu=LARGE_AND_SMALL), wants=(1, 1))
    assert served_by_want(question, by_enumeration(question)) == (1, 0)


def test_for_a_higher_priority_fewer_are_served() -> None:
    wants = (Want(count=1, priority=5), Want(count=4))
    question = a_question(a_site(menu=LARGE_AND_SMALL), wants=wants)
    answer = by_enumeration(question)
    assert served_by_want(question, answer) == (1, 0)
    assert profiles(answer) == [["4g.24gb"]]


def test_a_slice_that_two_wants_accept_goes_where_it_is_needed() -> None:
    menu = (("1g.6gb", (0, 1)), ("2g.12gb", (1,)))
    question = a_question(a_site(menu=menu), wants=(2, 1))
    answer = by_enumeration(question)
    assert served_by_want(question, answer) == (2, 1)
    assert sum(count for _, count in answer.flow) == 3


def test_the_first_of_like_gpus_are_filled() -> None:
    question = a_question((a_site(), 3), wants=(1, 0))
    assert profiles(by_enumeration(question)) == [["1g.6gb"], [], []]


def test_a_limit_of_moves_is_kept_and_all_of_it_may_be_used() -> None:
    scattered = [a_site(ours("1g.6gb", 0, 0)) for _ in range(3)]
    for most, price in ((0, 3), (1, 2), (2, 1), (None, 1)):
        question = a_question(*scattered, wants=(3, 0), most_moves=most)
        answer = by_enumeration(question)
        assert sum(bool(names) for names in profiles(answer)) == price
        assert moves(answer) == 3 - price


def test_rules_that_need_more_moves_than_may_be_are_refused_with_their_number() -> None:
    site = a_site(*(ours("1g.6gb", start, 0) for start in range(4)))
    spread = Want(count=4, most_per_gpu=1)
    question = a_question(site, a_site(), wants=(spread, 0), most_moves=2)
    with pytest.raises(PlanningError, match="at least 3 running replicas to move, and 2 may"):
        by_enumeration(question)


@pytest.mark.parametrize("most", [None, 3])
def test_rules_that_no_layout_keeps_are_refused(most: int | None) -> None:
    alone = a_site(fixed=(a_place("1g.6gb", 0),), tenants=(0,), holds_ours=True)
    wants = (Want(count=0, near=(1,)), 0)
    with pytest.raises(PlanningError, match=r"no layout was found that keeps the rules$"):
        by_enumeration(a_question(alone, wants=wants, most_moves=most))
