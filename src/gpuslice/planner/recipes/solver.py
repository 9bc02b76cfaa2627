"""Programs that grow by columns, solved with HiGHS over arrays.

Separate so that one place knows what is asked of HiGHS here, and what it may answer. The packing's
own programs (`gpuslice.planner.packing.solver`) settle one objective after the other over a few
hundred columns; these have one objective, ten thousand columns, and dual values that somebody
reads.

Nothing that is proved depends on a value from here but `Outcome.bound`; whoever takes values puts
them into the rules again. No program is given a solution to begin with: HiGHS 1.16 loses what
presolve took out of the objective when it is, and then proves a bound of what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, inf, isfinite

import highspy
import numpy as np

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import OverrunError, Run, run_within, silent_solver
from gpuslice.planner.recipes.market import Floats, Ints

_OPTIONS = (
    ("mip_rel_gap", 0.0),
    ("mip_feasibility_tolerance", 1e-8),
)

_UNIT_GAP = 0.5
"""Integer programs here count in units: a bound less than this below a price rounds up to it."""

_ROUNDING = 0.25
"""How far above an integer a proven bound may lie and still count as that integer."""


class End(StrEnum):
    """How a solve ended."""

    SOLVED = "solved"
    INFEASIBLE = "infeasible"
    LIMIT = "limit"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Columns that are added together.

    Attributes:
        costs: By column.
        most: Upper bounds by column; the lower ones are 0.
        rows: Row of each coefficient.
        columns: Column of each coefficient, counted from the first of these; ascending.
        values: The coefficients.
    """

    costs: Floats
    most: Floats
    rows: Ints
    columns: Ints
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a solver answered.

    Attributes:
        end: How it ended.
        value: The objective, where there is a solution.
        values: By column; empty where there is no solution.
        duals: By row; of a linear program only.
        bound: What no solution is below, rounded up to an integer; of an integer program only.
        why: What went wrong, in words, or "".
    """

    end: End
    value: float = inf
    values: Floats
    duals: Floats
    bound: int | None = None
    why: str = ""


class Program:
    """A linear or integer program in solution; owned by the function that built it."""

    def __init__(self, low: Floats, high: Floats, allowance: Allowance, run: Run) -> None:
        self._allowance = allowance
        self._run = run
        self._width = 0
        self._integer = False
        self._solver = silent_solver()
        for option, value in _OPTIONS:
            self._solver.setOptionValue(option, value)
        nothing = np.zeros(0, dtype=np.int32)
        starts = np.zeros(len(low), dtype=np.int32)
        self._solver.addRows(len(low), low, high, 0, starts, nothing, np.zeros(0))

    def add(self, block: Block, *, integer: bool = False) -> Ints:
        """Add columns; return their numbers."""
        count = len(block.costs)
        numbers = np.arange(self._width, self._width + count)
        self._width += count
        counts = np.bincount(block.columns, minlength=count)
        self._solver.addCols(
            count,
            block.costs,
            np.zeros(count),
            block.most,
            len(block.rows),
            (np.cumsum(counts) - counts).astype(np.int32),
            block.rows.astype(np.int32),
            block.values,
        )
        if integer and count:
            self._integer = True
            kind = np.full(count, highspy.HighsVarType.kInteger.value, dtype=np.uint8)
            self._solver.changeColsIntegrality(count, numbers.astype(np.int32), kind)
        return numbers

    def solve(self, *, most_nodes: int | None = None) -> Outcome:
        """Minimise the costs within the time left.

        Args:
            most_nodes: After so many nodes of the search an integer program is left as it is.
        """
        nothing = Outcome(end=End.LIMIT, values=np.zeros(0), duals=np.zeros(0))
        if self._allowance.left_s <= 0:
            return nothing
        if self._integer:
            self._solver.setOptionValue("mip_abs_gap", _UNIT_GAP)
            if most_nodes is not None:
                self._solver.setOptionValue("mip_max_nodes", most_nodes)
        left_s = self._allowance.left_s
        try:
            self._allowance.spent_s += run_within(self._solver, left_s, self._run)
        except OverrunError:
            self._allowance.spent_s += left_s
            self._solver = silent_solver()  # the old one may not be touched
            return nothing
        except (RuntimeError, MemoryError) as error:  # what the binding makes of C++ exceptions
            return replace(nothing, end=End.FAILED, why=str(error) or type(error).__name__)
        return self._outcome()

    def _outcome(self) -> Outcome:
        status = self._solver.getModelStatus()
        end = _ENDS.get(status, End.FAILED)
        info = self._solver.getInfo()
        known = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        solution = self._solver.getSolution()
        return Outcome(
            end=end,
            value=info.objective_function_value if known else inf,
            values=np.array(solution.col_value if known else ()),
            duals=np.array(solution.row_dual if solution.dual_valid else ()),
            bound=_integer_bound(info.mip_dual_bound) if self._integer else None,
            why=self._solver.modelStatusToString(status) if end is End.FAILED else "",
        )


_ENDS = {
    highspy.HighsModelStatus.kOptimal: End.SOLVED,
    highspy.HighsModelStatus.kInfeasible: End.INFEASIBLE,
    highspy.HighsModelStatus.kTimeLimit: End.LIMIT,
    highspy.HighsModelStatus.kSolutionLimit: End.LIMIT,
}


def _integer_bound(bound: float) -> int | None:
    """Round a proven bound up, where there is one."""
    return ceil(bound - _ROUNDING) if isfinite(bound) else None
