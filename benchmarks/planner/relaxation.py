"""A linear or integer program under construction, and what a solver proves of it.

Separate from what the bounds mean (`benchmarks.planner.bounds`). Only bounds that the solver proved
are returned, never the value of a solution it found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import highspy

_SLACK = 1e-6
"""What a value may be off by rounding before it counts as the next whole number."""


class Silent(highspy.Highs):  # type: ignore[misc]  # the wheel ships no types
    """The solver without the line with which version 1.16 greets as soon as it is made."""

    def enableCallbacks(self) -> None:  # noqa: N802 - the name is highspy's
        """Silence the solver before its constructor can make it speak."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()


class Program:
    """A program to be minimised; owned by who builds it."""

    def __init__(self) -> None:
        self._solver = Silent()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._columns = 0
        self._rows = 0
        self._costs: dict[int, float] = {}

    def column(self, upper: float = math.inf, rows: Mapping[int, float] | None = None) -> int:
        """Add a variable between 0 and ``upper``, with its entries in rows that exist."""
        entries = dict(rows or {})
        self._solver.addCol(0.0, 0.0, upper, len(entries), list(entries), list(entries.values()))
        self._columns += 1
        return self._columns - 1

    def row(self, low: float, entries: Mapping[int, float], high: float = math.inf) -> int:
        """Demand ``low <= entries <= high``."""
        self._solver.addRow(low, high, len(entries), list(entries), list(entries.values()))
        self._rows += 1
        return self._rows - 1

    def aim(self, costs: Mapping[int, float]) -> None:
        """Say what is minimised, in place of what was."""
        for column in self._costs:
            self._solver.changeColCost(column, 0.0)
        for column, cost in costs.items():
            self._solver.changeColCost(column, cost)
        self._costs = dict(costs)

    def relaxed(self) -> float | None:
        """Solve the linear program; None where there is no solution."""
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return float(self._solver.getObjectiveValue())

    def duals(self) -> Sequence[float]:
        """Return the price of each row in the linear program solved last."""
        return list(self._solver.getSolution().row_dual)

    def integral(self, limit_s: float) -> float | None:
        """Demand whole numbers, and return the bound proved within a time; None where none is.

        Args:
            limit_s: How long the solver may take, seconds.
        """
        for column in range(self._columns):
            self._solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + limit_s)
        self._solver.setOptionValue("mip_rel_gap", 0.0)
        self._solver.run()
        status = self._solver.getModelStatus()
        proved = float(self._solver.getInfo().mip_dual_bound)
        for column in range(self._columns):
            self._solver.changeColIntegrality(column, highspy.HighsVarType.kContinuous)
        infeasible = status == highspy.HighsModelStatus.kInfeasible
        return proved if math.isfinite(proved) and not infeasible else None


def whole_above(value: float, step: int = 1) -> int:
    """Round a lower bound up to a multiple of ``step``, forgiving what rounding may have added."""
    return math.ceil(value / step - _SLACK) * step


def whole_below(value: float) -> int:
    """Round an upper bound down."""
    return math.floor(value + _SLACK)
