"""A solver may fail or lie wherever it is asked: no exception, no false bound, nothing lost.

Separate from `test_solver.py`, where the solver does what it should.
"""

from __future__ import annotations

from collections.abc import Callable

import highspy
import numpy as np
import pytest

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import Row, Terms
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.packing.solver import IntegerProgram

ROWS: tuple[Row, ...] = ((3, {0: 2, 1: 1}, 3),)
COSTS: Terms = {0: 1, 1: 10}
START, BEST = (0, 3), (1, 1)
OPTIMUM = 11
"""``2x + y = 3`` at 1 and 10 each: the relaxation's 1.5 says that 2 might do, and 11 it takes."""


def a_program(run: Run, start: tuple[int, ...] | None = BEST) -> IntegerProgram:
    return IntegerProgram([9, 9], ROWS, start, run)


def enough() -> Allowance:
    return Allowance(limit_s=60.0)


def searches(solver: highspy.Highs) -> bool:
    """Tell whether a solver is asked for integers."""
    return len(solver.getLp().integrality_) > 0


def only_when(asked: Callable[[highspy.Highs], bool], run: Run) -> Run:
    """A solver that is sound but for one sort of question."""

    def sometimes(solver: highspy.Highs) -> None:
        (run if asked(solver) else highspy.Highs.run)(solver)

    sometimes.__name__ = f"{getattr(run, '__name__', '')} when {asked.__name__}"
    return sometimes


def idle(_: highspy.Highs) -> None:
    """Answer without having done anything."""


def broken(_: highspy.Highs) -> None:
    """Fall over."""
    raise RuntimeError("out of luck")


def exhausted(_: highspy.Highs) -> None:
    """Run out of memory, and have no words for it."""
    raise MemoryError


def forgetful(solver: highspy.Highs) -> None:
    """Lose a bound of a column."""
    solver.changeColBounds(0, -5.0, 9.0)
    solver.run()


def lax(solver: highspy.Highs) -> None:
    """Lose a row's least value."""
    solver.changeRowBounds(0, -highspy.kHighsInf, 3.0)
    solver.run()


def boastful(solver: highspy.Highs) -> None:
    """Prove more than is true, by a row nobody asked for."""
    solver.addRow(2.0, 9.0, 1, [solver.getNumCol() - 1], [1.0])
    solver.run()


def despairing(solver: highspy.Highs) -> None:
    """Prove that there is no solution at all."""
    solver.addRow(50.0, 60.0, 1, [0], [1.0])
    solver.run()


def inventive(solver: highspy.Highs) -> None:
    """Find a better column than there is."""
    solver.addCol(-1.0, 0.0, 9.0, 0, np.array([], dtype=np.int32), np.array([]))
    solver.run()


def dear(solver: highspy.Highs) -> None:
    """Count everything three times."""
    columns = np.arange(solver.getNumCol(), dtype=np.int32)
    costs = np.array(solver.getLp().col_cost_)
    solver.changeColsCost(len(columns), columns, 3 * costs)
    solver.run()


def content(solver: highspy.Highs) -> None:
    """Call the first solution the best."""
    solver.setOptionValue("mip_abs_gap", 1000.0)
    solver.run()


def hurried(solver: highspy.Highs) -> None:
    """Stop before anything is done."""
    solver.setOptionValue("time_limit", 0.0)
    solver.run()


def unbounded(solver: highspy.Highs) -> None:
    """Find that there is no end to it."""
    solver.changeColBounds(0, -highspy.kHighsInf, highspy.kHighsInf)
    solver.changeRowBounds(0, -highspy.kHighsInf, highspy.kHighsInf)
    solver.changeColCost(0, 1.0)
    solver.run()


LIARS = (
    idle,
    broken,
    exhausted,
    forgetful,
    lax,
    boastful,
    despairing,
    inventive,
    dear,
    content,
    hurried,
    unbounded,
)

RUNS = tuple(each for run in LIARS for each in (run, only_when(searches, run)))

LATE_LIARS = tuple(only for run, only in zip(RUNS[::2], RUNS[1::2], strict=True) if run is boastful)
"""Who leave the best solution out where nothing better than the start is known."""


@pytest.mark.parametrize("start", [START, BEST])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_whatever_a_solver_does_no_bound_is_false_and_no_solution_illegal(
    run: Run, start: tuple[int, int]
) -> None:
    program = a_program(run, start)
    program.dive([(COSTS, None), ({1: 1}, None)], enough())
    bound = program.minimise(COSTS, enough())
    x, y = program.values
    assert 2 * x + y == 3
    assert OPTIMUM <= program.value(COSTS) <= start[0] + 10 * start[1]
    # From the dear start only what no known solution contradicts can be told from the truth.
    if bound is not None and (start == BEST or run not in LATE_LIARS):
        assert bound <= OPTIMUM


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_whatever_a_solver_does_a_limit_is_kept_or_seen_not_to_be(run: Run) -> None:
    program = a_program(run, START)
    fewest = program.limit({1: 1}, 1, enough())
    x, y = program.values
    assert 2 * x + y == 3
    assert y <= 1 or program.value({1: 1}) > 1
    assert fewest is None or fewest <= 1 or run in LATE_LIARS


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_whatever_a_solver_does_a_start_is_legal_or_there_is_none(run: Run) -> None:
    program = a_program(run, None)
    found = program.begin(enough())
    x, y = program.values
    assert not found or 2 * x + y == 3


@pytest.mark.parametrize(
    ("run", "trouble"),
    [
        (only_when(searches, idle), "the solver failed: Not Set"),
        (only_when(searches, broken), "the solver failed: out of luck"),
        (only_when(searches, exhausted), "the solver failed: MemoryError"),
        (despairing, "the solver failed: Infeasible"),
        (boastful, "the solver failed: it answers another question than it was asked"),
        (inventive, "the solver failed: it answers another question than it was asked"),
        (only_when(searches, lax), "the solver failed: its solution breaks a rule it was given"),
    ],
)
def test_a_failure_is_told_in_words(run: Run, trouble: str) -> None:
    program = a_program(run, START)
    assert program.minimise(COSTS, enough()) is None
    assert program.failed
    assert program.trouble == trouble


def test_a_claim_that_a_known_solution_contradicts_is_a_failure() -> None:
    program = IntegerProgram([9, 9], ((7, {0: 3, 1: 5}, None),), (1, 1), boastful_in_searches)
    assert program.minimise({0: 3, 1: 5}, enough()) is None
    assert program.trouble == "the solver failed: it claims 16, and a solution of 8 is known"


def boastful_in_searches(solver: highspy.Highs) -> None:
    """Leave all cheap solutions out where integers are asked for."""
    if searches(solver):
        solver.changeRowBounds(0, 16.0, highspy.kHighsInf)
    solver.run()


def test_an_end_without_a_proof_is_a_failure() -> None:
    row: Row = (7, {0: 3, 1: 5}, None)
    program = IntegerProgram([9, 9], (row,), (9, 9), only_when(searches, content))
    program.minimise({0: 3, 1: 5}, enough())
    assert "stops before it has proved anything" in program.trouble


def test_a_solver_that_failed_in_a_dive_is_not_asked_again() -> None:
    asked: list[highspy.Highs] = []
    program = a_program(asked.append, START)
    program.dive([(COSTS, None), ({1: 1}, None)], enough())
    assert program.minimise(COSTS, enough()) is None
    assert len(asked) == 1


def test_what_needs_no_solver_is_proved_even_after_a_failure() -> None:
    program = IntegerProgram([9, 9], ROWS, START, broken)
    assert program.minimise(COSTS, enough()) is None
    assert program.minimise({0: 1}, enough()) == 0
