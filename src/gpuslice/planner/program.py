"""Answering a question with an integer program, one objective after the other; HiGHS solves it.

Separate so that the solver is loaded only when it is needed. The model is described in
`gpuslice.planner.packing`. Every objective is a sum of integers, so a solution within half a unit
of the proven bound is optimal; the gaps are set so that the solver stops neither before nor after
that. One thread: equal questions then have equal answers, and threads would only cost time here.
Presolve and the feasibility jump are off: each objective starts from the solution of the one
before, and on programs of this size they cost several times what they save.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import highspy

from gpuslice.errors import PlanningError
from gpuslice.planner.patterns import patterns
from gpuslice.planner.question import Answer, Pattern, Question, SliceKind

_UNIT_GAP = 0.5
"""Half the granularity of every objective."""

_Terms = dict[int, int]
"""A linear expression: coefficient by column of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What the columns of the program stand for.

    Attributes:
        choices: ``z``: (group, pattern), from column 0.
        uses: ``f``: (kind, demand), behind the choices.
        members: ``w``: 1 when the GPU at a position gets slices, behind the uses.
    """

    choices: tuple[tuple[int, Pattern], ...]
    uses: tuple[tuple[SliceKind, int], ...]
    members: tuple[int, ...]

    @property
    def first_use(self) -> int:
        """Column of the first use."""
        return len(self.choices)

    @property
    def first_member(self) -> int:
        """Column of the first member."""
        return len(self.choices) + len(self.uses)

    @property
    def count(self) -> int:
        """How many columns there are."""
        return self.first_member + len(self.members)


class _Program:
    """An integer program under construction and in solution; owned by `pack_by_program`."""

    def __init__(self, upper_bounds: list[int]) -> None:
        self._upper_bounds = upper_bounds
        self._width = len(upper_bounds)
        self._values: tuple[int, ...] = ()
        self._solver = highspy.Highs()
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("random_seed", 0),
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", _UNIT_GAP),
            ("presolve", "off"),
            ("mip_heuristic_run_feasibility_jump", False),
        ):
            self._solver.setOptionValue(option, value)
        self._solver.addVars(self._width, [0.0] * self._width, [float(u) for u in upper_bounds])
        for column in range(self._width):
            self._solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)

    def require(self, low: int, terms: _Terms, high: int) -> None:
        """Demand ``low <= terms <= high``."""
        self._solver.addRow(
            float(low), float(high), len(terms), list(terms), [float(c) for c in terms.values()]
        )

    def minimise(self, terms: _Terms) -> tuple[int, ...]:
        """Find a solution with the least value of an expression, and fix that value.

        Raises:
            PlanningError: The solver ended without an optimum.
        """
        if not self._values or self._value(terms) > self._floor(terms):
            self._values = self._solve(terms)
        reached = self._value(terms)
        self.require(reached, terms, reached)
        return self._values

    def _value(self, terms: _Terms) -> int:
        """Value of an expression in the present solution."""
        return sum(coefficient * self._values[column] for column, coefficient in terms.items())

    def _floor(self, terms: _Terms) -> int:
        """Value that no solution can be below, by the bounds of the columns alone."""
        return sum(min(0, c) * self._upper_bounds[column] for column, c in terms.items())

    def _solve(self, terms: _Terms) -> tuple[int, ...]:
        """Let the solver minimise an expression, starting from the present solution."""
        costs = [float(terms.get(column, 0)) for column in range(self._width)]
        self._solver.changeColsCost(self._width, list(range(self._width)), costs)
        if self._values:
            start = highspy.HighsSolution()
            start.col_value = [float(value) for value in self._values]
            self._solver.setSolution(start)
        self._solver.run()
        status = self._solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise PlanningError(
                "the solver ended without an optimum: " + self._solver.modelStatusToString(status),
                hint="Please report this, with the stack file and the output of `gpuslice gpus`.",
            )
        return tuple(round(value) for value in self._solver.getSolution().col_value)


def pack_by_program(question: Question) -> Answer:
    """Find the optimum with an integer program.

    Args:
        question: Groups of GPUs and what is wanted.

    Returns:
        An optimum; the objectives are those of `gpuslice.planner.packing`.

    Raises:
        PlanningError: The solver did not finish.
    """
    columns = _columns(question)
    program = _Program(_upper_bounds(question, columns))
    _state(program, question, columns)
    values = program.minimise(_total(columns))
    if sum(values[columns.first_use : columns.first_member]) < sum(question.wanted):
        for demand in range(len(question.wanted)):
            program.minimise(_total(columns, demand))
    for terms in _objectives(columns):
        values = program.minimise(terms)
    return _answer(question, columns, values)


def _columns(question: Question) -> _Columns:
    """Name the columns of the program."""
    choices = tuple(
        (number, pattern)
        for number, group in enumerate(question.groups)
        for pattern in patterns(group.site, question.wanted)
    )
    kinds = sorted({kind for _, pattern in choices for kind, _ in pattern.supply})
    return _Columns(
        choices=choices,
        uses=tuple((kind, demand) for kind in kinds for demand in kind.accepts),
        members=tuple(member for group in question.groups for member in group.members),
    )


def _upper_bounds(question: Question, columns: _Columns) -> list[int]:
    """Bound each column by what it could at most be."""
    return [
        *(len(question.groups[group].members) for group, _ in columns.choices),
        *(question.wanted[demand] for _, demand in columns.uses),
        *(1 for _ in columns.members),
    ]


def _state(program: _Program, question: Question, columns: _Columns) -> None:
    """State the rules: one pattern for each GPU, supply equals use, no more than is wanted."""
    column_of = {member: columns.first_member + n for n, member in enumerate(columns.members)}
    for number, group in enumerate(question.groups):
        mine = [(c, p) for c, (g, p) in enumerate(columns.choices) if g == number]
        size = len(group.members)
        program.require(size, {column: 1 for column, _ in mine}, size)
        in_use = {column: -1 for column, pattern in mine if pattern.slices}
        program.require(0, in_use | {column_of[m]: 1 for m in group.members}, 0)
    for kind, supply in _supplies(columns):
        use = {columns.first_use + n: -1 for n, (k, _) in enumerate(columns.uses) if k == kind}
        program.require(0, supply | use, 0)
    for demand, wanted in enumerate(question.wanted):
        served = {c: -value for c, value in _total(columns, demand).items()}
        program.require(0, served, wanted)


def _supplies(columns: _Columns) -> Iterator[tuple[SliceKind, _Terms]]:
    """Yield each kind with the expression that counts its slices."""
    for kind in dict.fromkeys(kind for kind, _ in columns.uses):
        yield (
            kind,
            {
                column: count
                for column, (_, pattern) in enumerate(columns.choices)
                for other, count in pattern.supply
                if other == kind
            },
        )


def _total(columns: _Columns, demand: int | None = None) -> _Terms:
    """Replicas served, of one demand or of all, negated for minimising."""
    return {
        columns.first_use + number: -1
        for number, (_, other) in enumerate(columns.uses)
        if demand is None or other == demand
    }


def _objectives(columns: _Columns) -> Iterator[_Terms]:
    """Yield what is minimised once it is settled who is served, most important first."""
    yield {
        columns.first_use + number: -1
        for number, (kind, demand) in enumerate(columns.uses)
        if kind.incumbent == demand
    }
    costs = [pattern.cost for _, pattern in columns.choices]
    for level in zip(*costs, strict=True):
        yield dict(enumerate(level))
    yield {columns.first_member + n: member for n, member in enumerate(columns.members)}
    yield dict(enumerate(_preference(columns)))


def _preference(columns: _Columns) -> Iterator[int]:
    """Rank the patterns of a group, so that ties do not depend on the solver's taste."""
    seen: Counter[int] = Counter()
    for group, _ in columns.choices:
        yield seen[group]
        seen[group] += 1


def _answer(question: Question, columns: _Columns, values: tuple[int, ...]) -> Answer:
    """Read the solution; within a group, patterns with slices go to the smallest positions."""
    chosen: list[list[Pattern]] = [[] for _ in question.groups]
    for (group, pattern), count in zip(columns.choices, values, strict=False):
        chosen[group] += [pattern] * count
    uses = values[columns.first_use : columns.first_member]
    flow = ((use, count) for use, count in zip(columns.uses, uses, strict=True) if count)
    return Answer(
        patterns=tuple(tuple(sorted(group, key=lambda p: not p.slices)) for group in chosen),
        flow=tuple(sorted(flow)),
    )
