"""An integer program with some of its columns, set up for one search.

Separate from the method (`gpuslice.planner.packing.solver`), which decides which columns a search
needs; here they are renumbered, stated and read back.

**Counting columns.** The price of a fleet is a sum over thousands of columns with as many
coefficients as there are products: so many GPUs at this price, so many at that. Where a goal has a
few different coefficients, each gets an integer column of its own that counts the columns with it,
and the goal is stated in those. It is the same program, but a search that branches on "at most 700
of the dear ones" halves it, where branching on one layout of thousands changes next to nothing:
4,096 churned GPUs of two prices are proved in 8 s, and were 15 % away after 60 s without.
"""

from __future__ import annotations

from collections.abc import Sequence

import highspy
import numpy as np
from numpy.typing import NDArray

from gpuslice.planner.packing.highs import silent_solver

Vector = NDArray[np.float64]
Indices = NDArray[np.int32]

StatedRow = tuple[float, Indices, Vector, float]
"""Least value, columns, their coefficients, and most value."""

_FEW_KINDS = range(2, 9)
"""How many different coefficients are few."""

_MANY_COLUMNS = 200
"""Up to how many columns a search has no need of counts."""

_NO_INDICES, _NO_VALUES = np.array([], dtype=np.int32), np.array([])


class Restriction:
    """Some columns of a program in a solver; owned by the search it was set up for.

    Args:
        rows: The program's rows, over all columns.
        costs: What is minimised, by column.
        upper: Upper bounds by column; the lower ones are 0.
        keep: The columns to search among; at least one.

    Attributes:
        solver: The solver. Its first columns are those kept; those that count come behind.
    """

    def __init__(
        self, rows: Sequence[StatedRow], costs: Vector, upper: Vector, keep: NDArray[np.bool_]
    ) -> None:
        self.solver = silent_solver()
        self._chosen = np.flatnonzero(keep)
        self._width = len(keep)
        self._members = _members(costs[self._chosen])
        self._state_columns(costs[self._chosen], upper[self._chosen])
        self._state_rows(rows, keep)

    def begin_with(self, values: Vector) -> None:
        """Hand a solution over to start from, if it uses only these columns."""
        kept = values[self._chosen]
        if kept.sum() == values.sum():
            start = highspy.HighsSolution()
            counts = (float(kept[members].sum()) for members in self._members)
            start.col_value = [*kept.tolist(), *counts]
            self.solver.setSolution(start)

    def solution(self) -> Vector | None:
        """Read the solution over all columns; None where it is one of another program."""
        found = np.rint(self.solver.getSolution().col_value)
        if len(found) != len(self._chosen) + len(self._members):
            return None
        values = np.zeros(self._width)
        values[self._chosen] = found[: len(self._chosen)]
        return values

    def _state_columns(self, costs: Vector, upper: Vector) -> None:
        """Add the columns; a cost that is counted stands at the count."""
        kinds = [float(costs[members[0]]) for members in self._members]
        most = [float(upper[members].sum()) for members in self._members]
        costs = np.concatenate((np.zeros(len(costs)) if kinds else costs, kinds))
        width = len(costs)
        self.solver.addCols(
            width,
            costs,
            np.zeros(width),
            np.concatenate((upper, most)),
            0,
            np.zeros(width, dtype=np.int32),
            _NO_INDICES,
            _NO_VALUES,
        )
        integer = np.full(width, highspy.HighsVarType.kInteger)
        self.solver.changeColsIntegrality(width, np.arange(width, dtype=np.int32), integer)

    def _state_rows(self, rows: Sequence[StatedRow], keep: NDArray[np.bool_]) -> None:
        """Add the rows over the columns that are kept, and those that count."""
        renumbered = np.cumsum(keep, dtype=np.int32) - 1
        stated = [
            (low, renumbered[index[kept]], value[kept], high)
            for low, index, value, high in rows
            for kept in (keep[index],)
        ]
        for column, members in enumerate(self._members, len(self._chosen)):
            index = np.append(members, np.int32(column))
            stated.append((0.0, index, np.append(np.ones(len(members)), -1.0), 0.0))
        starts = np.concatenate(([0], np.cumsum([len(index) for _, index, _, _ in stated])))
        self.solver.addRows(
            len(stated),
            np.array([low for low, *_ in stated]),
            np.array([high for *_, high in stated]),
            int(starts[-1]),
            starts[:-1].astype(np.int32),
            np.concatenate([_NO_INDICES, *(index for _, index, _, _ in stated)]),
            np.concatenate([_NO_VALUES, *(value for _, _, value, _ in stated)]),
        )


def _members(costs: Vector) -> list[Indices]:
    """List the columns of each coefficient, where they are worth counting."""
    kinds = np.unique(costs[costs != 0])
    if len(kinds) not in _FEW_KINDS or len(costs) <= _MANY_COLUMNS:
        return []
    return [np.flatnonzero(costs == kind).astype(np.int32) for kind in kinds]
