"""An integer program minimised objective by objective with HiGHS: values, bounds, trouble.

Separate from `gpuslice.planner.program`, which knows what the columns mean. This module knows what
may be believed of a solver: a solution is taken only after it has been put into every row here, a
bound only when the solver proved one and nothing contradicts it, and neither a limit nor a failure
is an error: the best solution known stays, with what is known about it.

Every objective is a sum of integers, so a solution within half a unit of the proven bound is
optimal; the gaps are set so that the solver stops neither before nor after that. One thread: equal
programs then have equal solutions, and threads would only cost time here. Presolve and the
feasibility jump are off: each objective starts from the solution of the one before, and on programs
of this size they cost several times what they save.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, inf

import highspy

from gpuslice.planner.allowance import Allowance
from gpuslice.planner.columns import Terms

Run = Callable[[highspy.Highs], object]
"""What lets a solver run; another one is passed only to see what happens when it fails."""

_UNIT_GAP = 0.5
"""Half the granularity of every objective."""

_ROUNDING = 0.25
"""How far above an integer a proven bound may lie and still count as that integer."""

_OPTIONS = (
    ("output_flag", False),
    ("threads", 1),
    ("random_seed", 0),
    ("mip_rel_gap", 0.0),
    ("mip_abs_gap", _UNIT_GAP),
    ("presolve", "off"),
    ("mip_heuristic_run_feasibility_jump", False),
)


class IntegerProgram:
    """An integer program in solution; owned by the function that packs.

    Attributes:
        values: The best solution so far.
        trouble: Why a bound is missing or loose, in words, or "".
        failed: True once the solver has failed; it is not asked again.
    """

    def __init__(
        self,
        upper_bounds: Sequence[int],
        start: Sequence[int],
        allowance: Allowance,
        run: Run = highspy.Highs.run,
    ) -> None:
        self.values = tuple(start)
        self.trouble = ""
        self.failed = False
        self._upper_bounds = tuple(upper_bounds)
        self._allowance = allowance
        self._run = run
        self._error = ""
        self._rows: list[tuple[int, Terms, int]] = []
        self._solver = _solver(self._upper_bounds)

    def require(self, low: int, terms: Terms, high: int) -> None:
        """Demand ``low <= terms <= high``."""
        self._rows.append((low, terms, high))
        self._solver.addRow(
            float(low), float(high), len(terms), list(terms), [float(c) for c in terms.values()]
        )

    def minimise(self, terms: Terms, *, least: int | None = None) -> int | None:
        """Look for a solution with the least value of an expression, and fix the value found.

        Args:
            terms: The expression.
            least: A value that no solution can be below, where the caller knows one.

        Returns:
            The proven bound: no solution has a smaller value. None when the solver failed.
        """
        floor = self._floor(terms)
        floor = floor if least is None else max(floor, least)
        bound: int | None = floor
        if self.value(terms) != floor:
            bound = None if self.failed else self._solve(terms, floor)
        reached = self.value(terms)
        self.require(reached, terms, reached)
        return bound

    def value(self, terms: Terms) -> int:
        """Value of an expression in the best solution so far."""
        return _evaluate(terms, self.values)

    def _floor(self, terms: Terms) -> int:
        """Value that no solution can be below, by the bounds of the columns alone."""
        return sum(min(0, c) * self._upper_bounds[column] for column, c in terms.items())

    def _solve(self, terms: Terms, floor: int) -> int | None:
        """Let the solver minimise an expression within the time left; return the proven bound."""
        if self._allowance.left_s <= 0:
            self._note_limit()
            return floor
        status = self._ask(terms)
        if status == highspy.HighsModelStatus.kTimeLimit:
            self._note_limit()
        elif status != highspy.HighsModelStatus.kOptimal:
            self._fail(self._solver.modelStatusToString(status))
            return None
        info = self._solver.getInfo()
        if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            found = tuple(round(value) for value in self._solver.getSolution().col_value)
            if not self._holds(found):
                self._fail("its solution breaks a rule it was given")
                return None
            if _evaluate(terms, found) <= self.value(terms):
                self.values = found
        return self._proven(terms, floor, info.mip_dual_bound)

    def _ask(self, terms: Terms) -> highspy.HighsModelStatus:
        """Run the solver from the best solution so far."""
        width = len(self._upper_bounds)
        costs = [float(terms.get(column, 0)) for column in range(width)]
        self._solver.changeColsCost(width, list(range(width)), costs)
        start = highspy.HighsSolution()
        start.col_value = [float(value) for value in self.values]
        self._solver.setSolution(start)
        self._solver.setOptionValue("time_limit", self._allowance.left_s)
        before_s = self._solver.getRunTime()
        try:
            self._run(self._solver)
        except (RuntimeError, MemoryError) as error:  # what the binding makes of C++ exceptions
            self._error = str(error) or type(error).__name__
            return highspy.HighsModelStatus.kSolveError
        finally:
            self._allowance.spent_s += self._solver.getRunTime() - before_s
        status: highspy.HighsModelStatus = self._solver.getModelStatus()
        return status

    def _proven(self, terms: Terms, floor: int, dual_bound: float) -> int | None:
        """Turn the solver's bound into an integer one, unless a solution contradicts it."""
        if dual_bound == -inf:  # nothing proved yet
            return floor
        if not dual_bound - _ROUNDING <= self.value(terms):  # nan and infinity end here too
            self._fail(f"it claims {dual_bound:g} as bound of what is known to reach less")
            return None
        return max(floor, ceil(dual_bound - _ROUNDING))

    def _holds(self, values: Sequence[int]) -> bool:
        """Put a solution into every row and bound."""
        return all(
            0 <= value <= most for value, most in zip(values, self._upper_bounds, strict=True)
        ) and all(low <= _evaluate(terms, values) <= high for low, terms, high in self._rows)

    def _note_limit(self) -> None:
        self.trouble = f"the solver reached its limit of {self._allowance.limit_s:g} s"

    def _fail(self, why: str) -> None:
        """Remember that the solver cannot be relied on any more."""
        self.failed = True
        self.trouble = f"the solver failed: {self._error or why}"


def _solver(upper_bounds: Sequence[int]) -> highspy.Highs:
    """Set a solver up with integer columns from 0 and no rows."""
    solver = highspy.Highs()
    for option, value in _OPTIONS:
        solver.setOptionValue(option, value)
    width = len(upper_bounds)
    solver.addVars(width, [0.0] * width, [float(most) for most in upper_bounds])
    for column in range(width):
        solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
    return solver


def _evaluate(terms: Terms, values: Sequence[int]) -> int:
    """Value of an expression."""
    return sum(coefficient * values[column] for column, coefficient in terms.items())
