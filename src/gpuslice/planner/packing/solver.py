"""An integer program minimised objective by objective: values, bounds, trouble.

Separate from `gpuslice.planner.packing.program`, which knows what the columns mean. This module
knows what may be believed of a solver: a solution is taken only after it has been put into every
row here, a bound only when nothing contradicts it, and neither a limit nor a failure is an error:
the best solution known stays, with what is known about it.

**Method.** For each objective the linear relaxation is solved first, from the basis of the one
before. Its dual values give a bound by weak duality, which is computed here and needs no trust in
the solver: for any multipliers, no solution is cheaper than the rows' sides at those multipliers
plus the negative reduced costs at the columns' bounds, less what rounding may have added (Neumaier
and Shcherbina 2004). Objectives and rows are first divided by what all their coefficients have in
common; solutions are integers, so the bound is then rounded up. What is left is to find a solution
that reaches it. A solution not dearer than ``t`` uses only columns whose reduced cost is at most
``t`` less the relaxation's value, which is a few hundred of several thousand; so HiGHS is asked
about those alone, first for a solution at the bound, then, if there is none, which raises the
bound, in wider and wider steps. Whatever such a search proves holds for all columns.

Source: reduced-cost fixing (Dantzig, Fulkerson and Johnson 1954); HiGHS.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, fsum, gcd, inf
from typing import NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import Row, Terms
from gpuslice.planner.packing.highs import OverrunError, Run, run_within, silent_solver
from gpuslice.planner.packing.restriction import Restriction, StatedRow, Vector

Goal = tuple[Terms, int | None]
"""An expression to be minimised, and a value it is known not to go below, or None."""

_SLACK, _SLACK_OF_SIZE = 1e-5, 1e-9
"""What arithmetic may have added to a bound of the solver's, and to each unit of its size."""

_ROUNDING = float(np.finfo(np.float64).eps)
"""By which share a sum or product of two floats may be off, twice over."""

_GAP = 0.99
"""Objectives are integers: what is less than 1 better than a solution is no other solution."""

_SEARCH_OPTIONS = (("mip_rel_gap", 0.0), ("mip_heuristic_run_feasibility_jump", False))

_NARROW = 1500
"""Up to how many columns a search begins with presolve."""

_TRIES = (("on", 0.1, 1.0), ("off", 0.3, 2.0), ("on", 1.0, 0.0))
"""How searches among few columns are made: presolve, and the share and the least seconds of the
time left. Neither way is always the good one: of 764 columns that needed 9 s without presolve, it
left 40 ms; of 3,141 columns solved in 50 ms without, it took 22 s, and longer than its limit (both
4,096 GPUs, highspy 1.16). So a search among many columns is made without presolve only, and one
among few tries both."""

_WIDE_TRIES = (("off", 1.0, 0.0),)


class _Relaxed(NamedTuple):
    """What the relaxation says of one objective.

    Attributes:
        bound: No solution is below it.
        reduced: What one unit of each column adds to it at least.
        values: The relaxation's own solution.
    """

    bound: float
    reduced: Vector
    values: Vector


class _Search(NamedTuple):
    """What a search among some columns came to.

    Attributes:
        found: The best solution, or None.
        least: No solution of these columns is below it; infinite when there is none at all.
        finished: False when a limit ended it.
    """

    found: tuple[int, ...] | None
    least: float
    finished: bool


class _StoppedError(Exception):
    """The solver failed; the message says how."""


class IntegerProgram:
    """An integer program in solution; owned by the function that packs.

    Attributes:
        values: The best solution so far.
        trouble: Why a bound is missing or loose, in words, or "".
        failed: True once the solver has failed or was left at its limit; it is not asked again.
    """

    def __init__(
        self,
        upper_bounds: Sequence[int],
        rows: Sequence[Row],
        start: Sequence[int] | None,
        run: Run = highspy.Highs.run,
    ) -> None:
        self.values = (0,) * len(upper_bounds) if start is None else tuple(start)
        self.trouble = ""
        self.failed = False
        self._upper = np.array(upper_bounds, dtype=np.float64)
        self._run = run
        self._rows: list[StatedRow] = []
        self._relaxation = silent_solver()
        width = len(self._upper)
        nothing = np.zeros(width)
        no_rows = np.zeros(width, dtype=np.int32)
        none = np.array([], dtype=np.int32)
        self._relaxation.addCols(
            width, nothing, nothing, self._upper, 0, no_rows, none, np.array([])
        )
        for low, terms, high in rows:
            self.require(low, terms, high)

    def require(self, low: int | None, terms: Terms, high: int | None) -> None:
        """Demand ``low <= terms <= high``; None is no limit."""
        scaled, unit = _in_units(terms)
        least = -inf if low is None else float(_divide_up(low, unit))
        most = inf if high is None else float(high // unit)
        index = np.fromiter(scaled.keys(), dtype=np.int32, count=len(scaled))
        value = np.fromiter(scaled.values(), dtype=np.float64, count=len(scaled))
        self._rows.append((least, index, value, most))
        if not self.failed:  # a solver that was left may not be touched
            self._relaxation.addRow(least, most, len(index), index, value)

    def begin(self, allowance: Allowance) -> bool:
        """Look for any solution, where none is known to start from; tell whether there is one."""
        width = len(self._upper)
        everything = np.ones(width, dtype=np.bool_)
        try:
            search = self._search(np.zeros(width), everything, 0, allowance)
        except _StoppedError as error:
            self._fail(error)
            return False
        if search is None or search.found is None:
            return False
        self.values = search.found
        return True

    def dive(self, goals: Sequence[Goal], allowance: Allowance) -> None:
        """Look for one solution that reaches the relaxation's bound in every goal at once.

        Each goal alone would leave thousands of columns to search among, for many solutions are as
        good in it. All goals together leave few. What is found becomes the best solution; proving
        it is left to `minimise`. Where there is no such solution nothing is lost but time.

        Args:
            goals: Expressions to be minimised, most important first, each with a value that no
                solution can be below, or None.
            allowance: How long the solver may take; what it takes is noted there.
        """
        first = len(self._rows)
        try:
            self._dive(goals, allowance)
        except _StoppedError as error:
            self._fail(error)
        for row in range(first, len(self._rows)):
            self._lift(row)

    def _dive(self, goals: Sequence[Goal], allowance: Allowance) -> None:
        """Require the bound of each goal but the last, then search for the last one's."""
        last = len(goals) - 1
        reached = not self.failed
        for number, (whole, given) in enumerate(goals):
            terms, unit = _in_units(whole)
            costs = self._costs(terms)
            relaxed = self._relax(costs, allowance)
            if relaxed is None:
                return
            bound = max(self._least(terms, unit, given), _round_up(relaxed.bound))
            reached = reached and self.value(terms) == bound
            if number < last:
                self.require(None, terms, bound)
                continue
            if reached:
                return
            for wider in (0, 3, 15):
                keep = relaxed.reduced <= bound + wider - relaxed.bound + _slack(bound)
                search = self._search(costs, keep, bound + wider, allowance)
                if search is None or not search.finished:
                    return
                if search.found is not None:
                    self._take_if_better(search.found, goals)
                    return

    def minimise(self, terms: Terms, allowance: Allowance, least: int | None = None) -> int | None:
        """Look for a solution with the least value of an expression, and allow no worse any more.

        Args:
            terms: The expression.
            allowance: How long the solver may take; what it takes is noted there.
            least: A value that no solution can be below, where the caller knows one.

        Returns:
            The proven bound: no solution has a smaller value. None when the solver failed.
        """
        scaled, unit = _in_units(terms)
        bound: int | None = self._least(scaled, unit, least)
        assert bound is not None
        if self.value(scaled) > bound:
            try:
                bound = None if self.failed else self._improve(scaled, allowance, bound)
            except _StoppedError as error:
                self._fail(error)
                bound = None
        if scaled:
            self.require(None, scaled, self.value(scaled))
        return None if bound is None else bound * unit

    def limit(self, terms: Terms, most: int, allowance: Allowance) -> int | None:
        """Demand ``terms <= most``, where the best solution so far may be above it.

        Args:
            terms: The expression.
            most: What it may come to.
            allowance: How long the solver may take; what it takes is noted there.

        Returns:
            A value that no solution is below; None when the solver failed. Where no solution with
            at most ``most`` is found, the best one stays above it.
        """
        bound: int | None = self._least(terms, 1, None)
        if self.value(terms) > most:
            bound = self.minimise(terms, allowance)
            self._lift(len(self._rows) - 1)  # what was reached is not the limit
        self.require(None, terms, most)
        return bound

    def value(self, terms: Terms) -> int:
        """Value of an expression in the best solution so far."""
        return sum(coefficient * self.values[column] for column, coefficient in terms.items())

    def _least(self, terms: Terms, unit: int, given: int | None) -> int:
        """Return what no solution can be below, by the columns' bounds or as the caller knows."""
        floor = sum(min(0, c) * int(self._upper[column]) for column, c in terms.items())
        return floor if given is None else max(floor, _divide_up(given, unit))

    def _improve(self, terms: Terms, allowance: Allowance, bound: int) -> int:
        """Find a better solution or prove that there is none; return the proven bound."""
        costs = self._costs(terms)
        relaxed = self._relax(costs, allowance)
        if relaxed is None:
            return bound
        bound = max(bound, _round_up(relaxed.bound))
        self._take(np.rint(relaxed.values), terms)
        step = 1
        while self.value(terms) > bound:
            goal = min(self.value(terms), bound + step) - 1
            keep = relaxed.reduced <= goal - relaxed.bound + _slack(relaxed.bound)
            search = self._search(costs, keep, bound, allowance)
            if search is None:
                return bound
            if search.found is not None:
                self._take(np.array(search.found), terms)
            if not search.finished:
                self._note_limit(allowance)
                return max(bound, min(goal + 1, _round_up(search.least - _slack(search.least))))
            # Nothing among these columns is better than what was found there, and nothing up to
            # the goal needs any others; nor does anything better, if these are all it could use.
            better = self.value(terms) - 1 - relaxed.bound + _slack(relaxed.bound)
            if search.found is not None and not (~keep & (relaxed.reduced <= better)).any():
                return self.value(terms)
            bound = min(goal + 1, self.value(terms))
            step *= 4
        if self.value(terms) < bound:
            raise _StoppedError("it finds a solution below its own bound")
        return bound

    def _costs(self, terms: Terms) -> Vector:
        costs = np.zeros(len(self._upper))
        costs[list(terms)] = list(terms.values())
        return costs

    def _relax(self, costs: Vector, allowance: Allowance) -> _Relaxed | None:
        """Solve the relaxation, or return None when there is no time."""
        columns = np.arange(len(costs), dtype=np.int32)
        self._relaxation.changeColsCost(len(costs), columns, costs)
        try:
            status = self._ask(self._relaxation, allowance)
        except OverrunError:
            self.failed = True
            status = highspy.HighsModelStatus.kTimeLimit
        if status == highspy.HighsModelStatus.kTimeLimit:
            self._note_limit(allowance)
            return None
        known = np.array(self.values, dtype=np.float64)
        if status == highspy.HighsModelStatus.kInfeasible and not self._holds(known):
            return None
        if status != highspy.HighsModelStatus.kOptimal:
            raise _StoppedError(self._relaxation.modelStatusToString(status))
        solution = self._relaxation.getSolution()
        values, multipliers = np.array(solution.col_value), np.array(solution.row_dual)
        if len(values) != len(costs) or len(multipliers) != len(self._rows):
            raise _StoppedError("it answers another question than it was asked")
        bound, reduced = self._weak_duality(costs, multipliers)
        return _Relaxed(bound, reduced, values)

    def _weak_duality(self, costs: Vector, multipliers: Vector) -> tuple[float, Vector]:
        """Compute the bound that multipliers of the rows prove, and the reduced costs.

        Both are lowered by what rounding may have added to them.
        """
        reduced, size, steps = costs.copy(), np.abs(costs), np.zeros(len(costs))
        sides = []
        for (low, index, value, high), given in zip(self._rows, multipliers, strict=True):
            side = low if given > 0 else high
            if given == 0 or not np.isfinite(side * given):
                continue
            sides.append(float(given * side))
            reduced[index] -= given * value
            size[index] += np.abs(given * value)
            steps[index] += 1
        reduced -= _ROUNDING * (steps + 1) * size
        sides += (np.minimum(reduced, 0.0) * self._upper).tolist()
        return fsum(sides) - _ROUNDING * fsum(map(abs, sides)), reduced

    def _search(
        self,
        costs: Vector,
        keep: NDArray[np.bool_],
        target: int,
        allowance: Allowance,
    ) -> _Search | None:
        """Solve the program with some of its columns, or return None when there is no time.

        Args:
            costs: What is minimised.
            keep: The columns.
            target: The value of a solution that is good enough to end the search.
            allowance: How long it may take.

        Raises:
            _StoppedError: The solver failed, or claims what a known solution contradicts.
        """
        if allowance.left_s <= 0:
            self._note_limit(allowance)
            return None
        width = int(np.count_nonzero(keep))
        if not width:  # HiGHS calls that an empty model
            nothing = self._holds(np.zeros(len(keep)))
            return _Search((0,) * len(keep) if nothing else None, 0.0 if nothing else inf, True)
        for presolve, share, least_s in _TRIES if width <= _NARROW else _WIDE_TRIES:
            part = allowance.part(share, least_s)
            search = self._try(costs, keep, target, presolve, part)
            allowance.spent_s += part.spent_s
            if search.finished:
                break
        return search

    def _try(
        self,
        costs: Vector,
        keep: NDArray[np.bool_],
        target: int,
        presolve: str,
        allowance: Allowance,
    ) -> _Search:
        """Solve the program with some of its columns in one of the ways there are."""
        restriction = Restriction(self._rows, costs, self._upper, keep)
        solver = restriction.solver
        for option, value in (*_SEARCH_OPTIONS, ("presolve", presolve)):
            solver.setOptionValue(option, value)
        solver.setOptionValue("mip_abs_gap", _GAP)
        solver.setOptionValue("objective_target", target + 1 - _GAP)
        if presolve == "off":  # with presolve, highspy 1.16 can lose an offset to a start
            restriction.begin_with(np.array(self.values, dtype=np.float64))
        try:
            status = self._ask(solver, allowance)
        except OverrunError:
            return _Search(found=None, least=-inf, finished=False)
        search = self._read_search(restriction, status)
        self._check_search(search, costs, keep, target)
        return search

    def _read_search(self, restriction: Restriction, status: highspy.HighsModelStatus) -> _Search:
        """Read what a search came to."""
        solver = restriction.solver
        ends = highspy.HighsModelStatus
        if status == ends.kInfeasible:
            return _Search(found=None, least=inf, finished=True)
        if status not in (ends.kOptimal, ends.kObjectiveTarget, ends.kTimeLimit):
            raise _StoppedError(solver.modelStatusToString(status))
        info = solver.getInfo()
        least = info.mip_dual_bound if np.isfinite(info.mip_dual_bound) else -inf
        finished = status != ends.kTimeLimit
        feasible = highspy.SolutionStatus.kSolutionStatusFeasible
        if info.primal_solution_status != feasible:
            return _Search(found=None, least=least, finished=finished)
        values = restriction.solution()
        if values is None:
            raise _StoppedError("it answers another question than it was asked")
        if not self._holds(values):
            raise _StoppedError("its solution breaks a rule it was given")
        return _Search(tuple(int(v) for v in values), least, finished)

    def _check_search(
        self, search: _Search, costs: Vector, keep: NDArray[np.bool_], target: int
    ) -> None:
        """Compare what a search claims with what is known.

        Raises:
            _StoppedError: Something contradicts it.
        """
        found = inf if search.found is None else float(costs @ np.array(search.found))
        known = np.array(self.values, dtype=np.float64)
        at_hand = not known[~keep].any() and self._holds(known)
        best = min(found, float(costs @ known)) if at_hand else found
        slack = _slack(min(abs(search.least), abs(best)))
        if best < search.least - slack:
            raise _StoppedError(f"it claims {search.least:g}, and a solution of {best:g} is known")
        if search.finished and found > max(target, search.least + _GAP) + slack:
            raise _StoppedError("it stops before it has proved anything")

    def _ask(self, solver: highspy.Highs, allowance: Allowance) -> highspy.HighsModelStatus:
        """Let a solver run within the time left.

        Raises:
            OverrunError: It went on past its limit, and may not be touched any more.
            _StoppedError: It failed.
        """
        left_s = allowance.left_s
        try:
            allowance.spent_s += run_within(solver, left_s, self._run)
        except OverrunError:
            allowance.spent_s += left_s
            raise
        except (RuntimeError, MemoryError) as error:  # what the binding makes of C++ exceptions
            raise _StoppedError(str(error) or type(error).__name__) from error
        status: highspy.HighsModelStatus = solver.getModelStatus()
        return status

    def _take(self, values: Vector, terms: Terms) -> None:
        """Take a solution if it keeps every rule and is better."""
        if not self._holds(values):
            return
        found = tuple(int(value) for value in values)
        if sum(c * found[column] for column, c in terms.items()) < self.value(terms):
            self.values = found

    def _take_if_better(self, found: tuple[int, ...], goals: Sequence[Goal]) -> None:
        """Take a solution if it is better in the first goal that tells it from the best."""
        for terms, _ in goals:
            value = sum(c * found[column] for column, c in terms.items())
            if value != self.value(terms):
                if value < self.value(terms):
                    self.values = found
                return

    def _holds(self, values: Vector) -> bool:
        """Put a solution into every row and bound."""
        if not ((values >= 0) & (values <= self._upper)).all():  # so that no number fails too
            return False
        return all(low <= value @ values[index] <= high for low, index, value, high in self._rows)

    def _lift(self, row: int) -> None:
        """Take a row's demand back."""
        _, index, value, _ = self._rows[row]
        self._rows[row] = (-inf, index, value, inf)
        if not self.failed:
            self._relaxation.changeRowBounds(row, -inf, inf)

    def _fail(self, error: _StoppedError) -> None:
        self.failed = True
        self.trouble = f"the solver failed: {error}"

    def _note_limit(self, allowance: Allowance) -> None:
        self.trouble = self.trouble or f"the solver reached its limit of {allowance.stated_s:.3g} s"


def _slack(size: float) -> float:
    return max(_SLACK, _SLACK_OF_SIZE * abs(size))


def _round_up(bound: float) -> int:
    """Round a bound up to an integer."""
    if not np.isfinite(bound):
        return 1 << 60 if bound > 0 else -(1 << 60)
    return ceil(bound)


def _in_units(terms: Terms) -> tuple[Terms, int]:
    """Divide an expression by what all its coefficients have in common."""
    unit = gcd(*terms.values()) or 1
    return {column: coefficient // unit for column, coefficient in terms.items()}, unit


def _divide_up(value: int, unit: int) -> int:
    """Divide, and round up."""
    return -(-value // unit)
