"""What must hold of every integer program: it is solved as trying everything solves it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.planner.packing import restriction
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import Row, Terms
from gpuslice.planner.packing.solver import IntegerProgram

quick = settings(deadline=None, derandomize=True, max_examples=150)

Point = tuple[int, ...]

UNITS = (1, 1, 2, 3, 500, 31_337, 1_000_000)
"""By what all coefficients of a goal are multiplied; many fleets are priced in thousandths."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program of a few columns, a solution of it, and what is to be minimised in turn."""

    upper: tuple[int, ...]
    rows: tuple[Row, ...]
    start: Point
    goals: tuple[Terms, ...]

    @property
    def points(self) -> list[Point]:
        """Every solution."""
        return [
            point
            for point in product(*(range(most + 1) for most in self.upper))
            if all(_within(row, point) for row in self.rows)
        ]


def value(terms: Terms, point: Point) -> int:
    return sum(coefficient * point[column] for column, coefficient in terms.items())


def _within(row: Row, point: Point) -> bool:
    low, terms, high = row
    here = value(terms, point)
    return low <= here and (high is None or here <= high)


@st.composite
def expressions(draw: st.DrawFn, width: int, *, unit: int = 1, uneven: bool = False) -> Terms:
    """A few columns with coefficients; uneven ones have no more than 1 in common."""
    columns = draw(st.sets(st.integers(0, width - 1), min_size=1))
    coefficients = st.sampled_from((-7, -3, -2, -1, 1, 2, 3, 5, 6))
    return {c: unit * draw(coefficients) + (uneven and c) for c in sorted(columns)}


@st.composite
def programs(draw: st.DrawFn) -> Case:
    """A program with a solution: equal rows, rows with one side and with two."""
    width = draw(st.integers(1, 5))
    upper = tuple(draw(st.integers(0, 4)) for _ in range(width))
    start = tuple(draw(st.integers(0, most)) for most in upper)
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 4))):
        terms = draw(expressions(width))
        here, below, above = value(terms, start), draw(st.integers(0, 3)), draw(st.integers(0, 6))
        rows.append(
            draw(
                st.sampled_from(
                    ((here, terms, here), (here - below, terms, here + above), (here, terms, None))
                )
            )
        )
    goals = tuple(
        draw(expressions(width, unit=draw(st.sampled_from(UNITS)), uneven=draw(st.booleans())))
        for _ in range(draw(st.integers(1, 3)))
    )
    return Case(upper=upper, rows=tuple(rows), start=start, goals=goals)


@quick
@given(case=programs(), known=st.booleans(), diving=st.booleans(), counting=st.booleans())
def test_every_goal_in_turn_comes_to_its_least_value_and_the_bound_says_so(
    case: Case, known: bool, diving: bool, counting: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restriction, "_MANY_COLUMNS", 0 if counting else 9)
        solve_in_turn(case, known, diving)


def solve_in_turn(case: Case, known: bool, diving: bool) -> None:
    program = IntegerProgram(case.upper, case.rows, case.start if known else None)
    allowance = Allowance(limit_s=60.0)
    assert known or program.begin(allowance)
    if diving:
        program.dive([(goal, None) for goal in case.goals], allowance)
    points = case.points
    for goal in case.goals:
        bound = program.minimise(goal, allowance)
        least = min(value(goal, point) for point in points)
        points = [point for point in points if value(goal, point) == least]
        assert (bound, program.value(goal)) == (least, least)
    assert program.values in points
    assert not program.trouble


@quick
@given(case=programs(), limit=st.integers(-12, 12))
def test_a_limit_holds_for_all_that_follows_and_binds_no_more_than_it_says(
    case: Case, limit: int
) -> None:
    program = IntegerProgram(case.upper, case.rows, case.start)
    allowance = Allowance(limit_s=60.0)
    first, *others = case.goals
    fewest = program.limit(first, limit, allowance)
    assert fewest is not None
    assert fewest <= min(value(first, point) for point in case.points)
    within = [point for point in case.points if value(first, point) <= limit]
    assert (program.value(first) <= limit) == bool(within)
    for goal in others if within else ():
        least = min(value(goal, point) for point in within)
        within = [point for point in within if value(goal, point) == least]
        assert (program.minimise(goal, allowance), program.value(goal)) == (least, least)


@quick
@given(case=programs())
def test_without_time_bounds_are_true_and_solutions_legal(case: Case) -> None:
    program = IntegerProgram(case.upper, case.rows, case.start)
    points = case.points
    for goal in case.goals:
        bound = program.minimise(goal, Allowance(limit_s=0.0))
        assert bound is not None
        assert bound <= min(value(goal, point) for point in points)
        points = [point for point in points if value(goal, point) <= program.value(goal)]
    assert program.values in points
