"""What is believed of a solver: nothing that a rule contradicts, and never more than it proved."""

from __future__ import annotations

import highspy
import pytest

from gpuslice.planner.allowance import Allowance
from gpuslice.planner.solver import IntegerProgram, Run


def a_program(run: Run = highspy.Highs.run, limit_s: float = 60.0) -> IntegerProgram:
    """Two columns up to 9 with ``2 <= x + y``, of which (4, 4) is known to be a solution."""
    program = IntegerProgram([9, 9], [4, 4], Allowance(limit_s=limit_s), run)
    program.require(2, {0: 1, 1: 1}, 18)
    return program


def test_the_bound_is_what_the_solver_proved() -> None:
    program = a_program()
    assert program.minimise({0: 3, 1: 1}) == 2
    assert program.values == (0, 2)
    assert not program.trouble


def test_a_fraction_of_a_bound_is_rounded_up_to_the_next_integer() -> None:
    program = a_program()
    program.require(3, {0: 2, 1: 2}, 36)  # x + y >= 1.5 by itself
    program.require(-9, {0: 1, 1: -1}, 0)
    assert program.minimise({0: 1, 1: 1}) == 2


def test_a_value_once_reached_is_kept_by_what_is_minimised_next() -> None:
    program = a_program()
    program.minimise({0: 1, 1: 1})
    assert program.minimise({1: 1}) == 0
    assert program.values == (2, 0)


def test_what_the_columns_alone_prove_needs_no_solver() -> None:
    def refuse(_: highspy.Highs) -> None:
        raise AssertionError("not to be asked")

    program = IntegerProgram([9], [9], Allowance(limit_s=60.0), refuse)
    assert program.minimise({0: -1}) == -9


def test_what_the_caller_knows_needs_no_solver_either() -> None:
    program = a_program(limit_s=0.0)
    assert program.minimise({0: 1, 1: 1}, least=8) == 8
    assert not program.trouble


def test_without_time_the_known_solution_stays_with_an_honest_gap() -> None:
    program = a_program(limit_s=0.0)
    assert program.minimise({0: 1, 1: 1}) == 0
    assert program.values == (4, 4)
    assert program.trouble == "the solver reached its limit of 0 s"
    assert not program.failed


def test_a_solver_that_runs_out_of_time_leaves_the_known_solution() -> None:
    def hurried(solver: highspy.Highs) -> None:
        solver.setOptionValue("time_limit", 0.0)
        solver.run()

    program = a_program(hurried)
    assert program.minimise({0: 1, 1: 1}) == 0
    assert program.values == (4, 4)
    assert "limit" in program.trouble


def test_time_spent_is_taken_off_the_allowance() -> None:
    allowance = Allowance(limit_s=60.0)
    program = IntegerProgram([9, 9], [4, 4], allowance)
    program.require(2, {0: 1, 1: 1}, 18)
    program.minimise({0: 1, 1: 1})
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
    boastful: "claims 15",
    despairing: "Infeasible",
}


@pytest.mark.parametrize("run", FAILURES, ids=lambda run: run.__name__)
def test_a_solver_that_fails_proves_nothing_and_takes_nothing_away(run: Run) -> None:
    program = a_program(run)
    assert program.minimise({0: 1, 1: 1}) is None
    assert program.values == (4, 4)
    assert program.failed
    assert FAILURES[run] in program.trouble  # type: ignore[index] # keys are these very functions


def test_a_solver_that_has_failed_is_not_asked_again() -> None:
    asked: list[highspy.Highs] = []
    program = a_program(asked.append)
    assert [program.minimise({0: 1}), program.minimise({1: 1})] == [None, None]
    assert len(asked) == 1
