"""Answering a question with an integer program, one objective after the other.

Separate so that the solver is loaded only when it is needed. The model is described in
`gpuslice.planner.packing`; what is asked of HiGHS and what is believed of it, in
`gpuslice.planner.solver`. The program starts from the greedy choice (`gpuslice.planner.greedy`), so
that there is a legal answer at every moment: a limit or a failure costs proof, never the plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import highspy

from gpuslice.model.plan import Method
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.columns import Columns, Terms, columns_of, supplies, total
from gpuslice.planner.greedy import choose_greedily
from gpuslice.planner.question import Answer, Choice, Pattern, Proof, Question
from gpuslice.planner.solver import IntegerProgram, Run


def pack_by_program(
    question: Question, allowance: Allowance, run: Run = highspy.Highs.run
) -> Answer:
    """Find the optimum with an integer program, or the best that the time allows.

    Args:
        question: Groups of GPUs and what is wanted.
        allowance: How long the solver may take; what it takes is noted there.
        run: What lets the solver run.

    Returns:
        An answer with its bounds; the objectives are those of `gpuslice.planner.packing`. Where the
        solver failed before it found anything, the greedy choice without bounds.
    """
    columns = columns_of(question)
    start = choose_greedily(question)
    bounds_above = _upper_bounds(question, columns)
    program = IntegerProgram(bounds_above, _values(columns, start), allowance, run)
    _state(program, question, columns)
    bounds = [
        program.minimise(terms, least=least) for terms, least in _objectives(question, columns)
    ]
    program.minimise(dict(enumerate(_preference(columns))))
    choice = _choice(question, columns, program.values)
    found = Method.GREEDY if program.failed and choice == start else Method.HIGHS
    return Answer(
        patterns=choice.patterns,
        flow=choice.flow,
        proof=Proof(method=found, bounds=tuple(bounds), note=program.trouble),
    )


def _upper_bounds(question: Question, columns: Columns) -> list[int]:
    """Bound each column by what it could at most be."""
    return [
        *(len(question.groups[group].members) for group, _ in columns.choices),
        *(question.wanted[demand] for _, demand in columns.uses),
        *(1 for _ in columns.members),
    ]


def _state(program: IntegerProgram, question: Question, columns: Columns) -> None:
    """State the rules: one pattern for each GPU, supply equals use, no more than is wanted."""
    column_of = {member: columns.first_member + n for n, member in enumerate(columns.members)}
    for number, group in enumerate(question.groups):
        mine = [(c, p) for c, (g, p) in enumerate(columns.choices) if g == number]
        size = len(group.members)
        program.require(size, {column: 1 for column, _ in mine}, size)
        in_use = {column: -1 for column, pattern in mine if pattern.slices}
        program.require(0, in_use | {column_of[m]: 1 for m in group.members}, 0)
    for kind, supply in supplies(columns):
        use = {columns.first_use + n: -1 for n, (k, _) in enumerate(columns.uses) if k == kind}
        program.require(0, supply | use, 0)
    for demand, wanted in enumerate(question.wanted):
        served = {c: -value for c, value in total(columns, demand).items()}
        program.require(0, served, wanted)


def _objectives(question: Question, columns: Columns) -> Iterator[tuple[Terms, int | None]]:
    """Yield what is minimised, in the order of `gpuslice.planner.objectives`.

    With each comes what no answer can be below, where the question itself says so: nobody gets more
    than is wanted.
    """
    yield total(columns), -sum(question.wanted)
    for demand, wanted in enumerate(question.wanted):
        yield total(columns, demand), -wanted
    stays = {
        columns.first_use + number: -1
        for number, (kind, demand) in enumerate(columns.uses)
        if kind.incumbent == demand
    }
    running = sum(
        own.incumbent >= 0
        for group in question.groups
        for own in group.site.own
        for _ in group.members
    )
    yield stays, -running
    costs = [pattern.cost for _, pattern in columns.choices]
    for level in zip(*costs, strict=True):
        yield dict(enumerate(level)), None
    yield {columns.first_member + n: member for n, member in enumerate(columns.members)}, None


def _preference(columns: Columns) -> Iterator[int]:
    """Rank the patterns of a group, so that ties do not depend on the solver's taste."""
    seen: Counter[int] = Counter()
    for group, _ in columns.choices:
        yield seen[group]
        seen[group] += 1


def _values(columns: Columns, choice: Choice) -> tuple[int, ...]:
    """Write a choice as values of the columns."""
    taken = Counter(
        (group, pattern) for group, chosen in enumerate(choice.patterns) for pattern in chosen
    )
    flow = dict(choice.flow)
    filled = (int(bool(pattern.slices)) for chosen in choice.patterns for pattern in chosen)
    return (
        *(taken[each] for each in columns.choices),
        *(flow.get(use, 0) for use in columns.uses),
        *filled,
    )


def _choice(question: Question, columns: Columns, values: Sequence[int]) -> Choice:
    """Read a solution; within a group, patterns with slices go to the smallest positions."""
    chosen: list[list[Pattern]] = [[] for _ in question.groups]
    for (group, pattern), count in zip(columns.choices, values, strict=False):
        chosen[group] += [pattern] * count
    uses = values[columns.first_use : columns.first_member]
    flow = ((use, count) for use, count in zip(columns.uses, uses, strict=True) if count)
    return Choice(
        patterns=tuple(tuple(sorted(group, key=lambda p: not p.slices)) for group in chosen),
        flow=tuple(sorted(flow)),
    )
