"""What is believed of a solver: nothing that a rule contradicts, and never more than it proved."""

from __future__ import annotations

from itertools import product

import highspy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import Row
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.packing.solver import IntegerProgram


def a_program(run: Run = highspy.Highs.run) -> IntegerProgram:
    """Two columns up to 9 with ``2 <= x + y``, of which (4, 4) is known to be a solution."""
    return IntegerProgram([9, 9], [(2, {0: 1, 1: 1}, 18)], [4, 4], run)


def enough() -> Allowance:
    return Allowance(limit_s=60.0)


def none_at_all() -> Allowance:
    return Allowance(limit_s=0.0)


def test_the_bound_is_what_the_solver_proved() -> None:
    program = a_program()
    assert program.minimise({0: 3, 1: 1}, enough()) == 2
    assert program.values == (0, 2)
    assert not program.trouble


def test_a_fraction_of_a_bound_is_rounded_up_to_the_next_integer() -> None:
    program = a_program()
    program.require(3, {0: 2, 1: 2}, 36)  # x + y >= 1.5 by itself
    program.require(-9, {0: 1, 1: -1}, 0)
    assert program.minimise({0: 1, 1: 1}, enough()) == 2


def test_a_value_once_reached_is_kept_by_what_is_minimised_next() -> None:
    program = a_program()
    program.minimise({0: 1, 1: 1}, enough())
    assert program.minimise({1: 1}, enough()) == 0
    assert program.values == (2, 0)


def test_what_the_columns_alone_prove_needs_no_solver() -> None:
    def refuse(_: highspy.Highs) -> None:
        raise AssertionError("not to be asked")

    program = IntegerProgram([9], [], [9], refuse)
    assert program.minimise({0: -1}, enough()) == -9


def test_what_the_caller_knows_needs_no_solver_either() -> None:
    program = a_program()
    assert program.minimise({0: 1, 1: 1}, none_at_all(), least=8) == 8
    assert not program.trouble


def test_without_time_the_known_solution_stays_with_an_honest_gap() -> None:
    program = a_program()
    assert program.minimise({0: 1, 1: 1}, none_at_all()) == 0
    assert program.values == (4, 4)
    assert program.trouble == "the solver reached its limit of 0 s"
    assert not program.failed


def test_a_solver_that_runs_out_of_time_leaves_the_known_solution() -> None:
    def hurried(solver: highspy.Highs) -> None:
        solver.setOptionValue("time_limit", 0.0)
        solver.run()

    program = a_program(hurried)
    assert program.minimise({0: 1, 1: 1}, enough()) == 0
    assert program.values == (4, 4)
    assert "limit" in program.trouble


def test_time_spent_is_taken_off_the_allowance() -> None:
    allowance = enough()
    a_program().minimise({0: 1, 1: 1}, allowance)
    assert 0 < allowance.spent_s < 60
    assert allowance.left_s == 60 - allowance.spent_s


def idle(_: highspy.Highs) -> None:
    """A solver that answers without having done anything."""


def broken(_: highspy.Highs) -> None:
    """A solver that falls over."""
    raise RuntimeError("out of luck")


def forgetful(solver: highspy.Highs) -> None:
    """A solver that loses a bound of its columns."""
    solver.changeColBounds(0, -5.0, 9.0)
    solver.run()


def boastful(solver: highspy.Highs) -> None:
    """A solver that proves more than is true."""
    solver.addRow(15.0, 18.0, 2, [0, 1], [1.0, 1.0])
    solver.run()


def despairing(solver: highspy.Highs) -> None:
    """A solver that proves that there is no solution at all."""
    solver.addRow(50.0, 60.0, 2, [0, 1], [1.0, 1.0])
    solver.run()


FAILURES = {
    idle: "Not Set",
    broken: "out of luck",
    forgetful: "breaks a rule",
    boastful: "another question",
    despairing: "Infeasible",
}


@pytest.mark.parametrize("run", FAILURES, ids=lambda run: run.__name__)
def test_a_solver_that_fails_proves_nothing_and_takes_nothing_away(run: Run) -> None:
    program = a_program(run)
    assert program.minimise({0: 1, 1: 1}, enough()) is None
    assert program.values == (4, 4)
    assert program.failed
    assert FAILURES[run] in program.trouble  # type: ignore[index] # keys are these very functions


def test_a_solver_that_has_failed_is_not_asked_again() -> None:
    asked: list[highspy.Highs] = []
    program = a_program(asked.append)
    assert [program.minimise({0: 1}, enough()), program.minimise({1: 1}, enough())] == [None, None]
    assert len(asked) == 1


def test_a_search_that_claims_more_than_a_known_solution_reaches_is_a_failure() -> None:
    runs: list[highspy.Highs] = []

    def boastful_later(solver: highspy.Highs) -> None:
        runs.append(solver)
        if len(runs) > 1:
            solver.changeColsCost(solver.getNumCol(), list(range(solver.getNumCol())), [9.0] * 2)
        solver.run()

    # x + y >= 2.5 by halves: the relaxation leaves a gap, and a search has to close it.
    program = IntegerProgram([9, 9], [(5, {0: 2, 1: 2}, 36)], [2, 1], boastful_later)
    bound = program.minimise({0: 2, 1: 3}, enough())
    assert bound is None or bound <= program.value({0: 2, 1: 3})
    assert program.value({0: 2, 1: 3}) <= 7


def test_a_bound_that_no_solution_reaches_is_raised() -> None:
    """Only multiples of 3 are possible, so the relaxation's 4 becomes 6."""
    program = IntegerProgram([9, 9], [(4, {0: 1}, 9), (0, {0: 1, 1: -3}, 0)], [9, 3])
    assert program.minimise({0: 1}, enough()) == 6
    assert program.values == (6, 2)


def test_a_dive_reaches_all_bounds_at_once_and_takes_its_demands_back() -> None:
    program = a_program()
    program.dive([({0: 1, 1: 1}, None), ({0: 1}, None)], enough())
    assert program.values == (0, 2)
    assert program.minimise({0: -1}, enough()) == -9  # nothing of the dive binds any more


def test_a_dive_towards_what_cannot_be_had_together_changes_nothing_for_the_worse() -> None:
    rows: list[Row] = [(0, {0: 2, 1: 2}, 3)]  # at most one of them, though 1.5 by the relaxation
    program = IntegerProgram([1, 1], rows, [0, 0])
    program.dive([({0: -1}, None), ({1: -1}, None)], enough())
    assert program.minimise({0: -1}, enough()) == -1
    assert program.minimise({1: -1}, enough()) == 0
    assert program.values == (1, 0)


def test_a_start_is_found_where_none_is_known() -> None:
    program = IntegerProgram([9, 9], [(5, {0: 1, 1: 1}, 6)], None)
    assert program.begin(enough())
    assert 5 <= sum(program.values) <= 6


def test_that_there_is_no_start_is_said() -> None:
    assert not IntegerProgram([9], [(3, {0: 2}, 3)], None).begin(enough())


def test_large_values_lose_no_unit() -> None:
    most = 10**8
    program = IntegerProgram([most], [(2 * most - 1, {0: 2}, 2 * most)], [most])
    assert program.minimise({0: 10}, enough()) == 10 * most


def test_nothing_is_written_to_the_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    a_program().minimise({0: 3, 1: 1}, enough())
    assert capfd.readouterr() == ("", "")


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    costs=st.lists(st.integers(-6, 6), min_size=3, max_size=3),
    weights=st.lists(st.integers(-3, 4), min_size=3, max_size=3),
    low=st.integers(-4, 8),
    width=st.integers(0, 5),
    unit=st.sampled_from((1, 7, 1000)),
)
def test_values_and_bounds_are_those_of_trying_everything(
    costs: list[int], weights: list[int], low: int, width: int, unit: int
) -> None:
    points = [
        point
        for point in product(range(4), repeat=3)
        if low <= sum(w * x for w, x in zip(weights, point, strict=True)) <= low + width
    ]
    assume(points)
    row: Row = (low, {n: w for n, w in enumerate(weights) if w}, low + width)
    program = IntegerProgram([3, 3, 3], [row] if any(weights) else [], points[-1])
    terms = {n: c * unit for n, c in enumerate(costs) if c}
    least = min(sum(unit * c * x for c, x in zip(costs, p, strict=True)) for p in points)
    assert program.minimise(terms, enough()) == least == program.value(terms)
