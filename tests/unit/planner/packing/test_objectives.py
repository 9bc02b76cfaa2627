"""Every objective is counted from a choice, in order, so that less is better."""

from __future__ import annotations

from dataclasses import replace

from gpuslice.planner.packing.objectives import (
    chosen,
    level_values,
    moves,
    objective_values,
    serve_levels,
    served_by_want,
)
from gpuslice.planner.packing.question import Choice, Cost, Pattern, PatternSlice, Want
from questions import a_place, a_question, a_site


def a_pattern(*kinds: tuple[int, ...], stays: bool = False, moving: int = 0) -> Pattern:
    """Small slices side by side for those wants, each of a replica that stays, or none is."""
    slices = tuple(
        PatternSlice(
            profile="1g.6gb", placement=a_place("1g.6gb", n)[1], kind=kind, kept=stays, stays=stays
        )
        for n, kind in enumerate(kinds)
    )
    counts = tuple((kind, kinds.count(kind)) for kind in sorted(set(kinds)))
    return Pattern(
        slices=slices,
        supply=() if stays else counts,
        staying=counts if stays else (),
        moves=moving,
        cost=Cost(price=1, moved=3 * moving, memory=len(kinds)),
    )


QUESTION = a_question(
    (a_site(), 3),
    wants=(Want(count=3, priority=1), Want(count=2), Want(count=1, priority=1)),
)
FULL, STAYING = a_pattern((0,), (1,), (0, 1)), a_pattern((1,), stays=True, moving=2)
CHOICE = Choice(
    patterns=((FULL, FULL, STAYING),),
    flow=((((0,), 0), 2), (((0, 1), 0), 1), (((0, 1), 1), 1), (((1,), 1), 2)),
)


def test_wants_of_a_priority_are_counted_together_first_and_then_each_alone() -> None:
    assert serve_levels(QUESTION) == ((0, 2), (1,), (0,), (1,), (2,))
    assert serve_levels(replace(QUESTION, wants=())) == ()


def test_served_are_those_who_stay_and_those_who_get_a_slice() -> None:
    assert served_by_want(QUESTION, CHOICE) == (3, 4, 0)


def test_serving_is_negated_so_that_less_is_better() -> None:
    assert level_values(QUESTION, (3, 4, 1)) == (-4, -4, -3, -4, -1)


def test_objectives_are_the_serve_levels_and_then_the_costs_of_all_gpus() -> None:
    values = objective_values(QUESTION, CHOICE)
    assert values[:5] == (-3, -4, -3, -4, 0)
    assert Cost(*values[5:]) == Cost(price=3, moved=6, memory=7)


def test_moves_are_counted_by_heads_and_not_by_what_they_cost() -> None:
    assert moves(CHOICE) == 2


def test_a_pattern_chosen_twice_is_counted_twice_and_listed_once() -> None:
    assert chosen(CHOICE) == [(FULL, 2), (STAYING, 1)]
    assert chosen(Choice(patterns=(), flow=())) == []
