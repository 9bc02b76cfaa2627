"""Answering a question with an integer program, one objective after the other.

Separate so that the solver is loaded only when it is needed. The model is described in
`gpuslice.planner.packing.columns`; what is asked of HiGHS and what is believed of it, in
`gpuslice.planner.packing.solver`. The program starts from the greedy choice
(`gpuslice.planner.packing.greedy`), so that there is a legal answer at every moment: a limit or a
failure costs proof, never the plan.

The goals behind the moves only make a good plan neater. They share a small part of the time, and
where it ends before they are proved, the certificate says so.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

import highspy

from gpuslice.model.certificate import Method
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import (
    ArrivalKey,
    Columns,
    SiteClass,
    StayKey,
    Terms,
    columns_of,
    moved,
    rows_of,
    served,
    spent,
)
from gpuslice.planner.packing.greedy import Filling, choose_greedily
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.packing.objectives import serve_levels
from gpuslice.planner.packing.patterns import join
from gpuslice.planner.packing.question import (
    Answer,
    Choice,
    Cost,
    Pattern,
    Proof,
    Question,
    no_layout,
    too_few_moves,
)
from gpuslice.planner.packing.solver import Goal, IntegerProgram
from gpuslice.planner.packing.states import Room, States, Stay

_NEAT = Cost._fields.index("destroyed")
"""The first of the goals that only make a plan neater."""

_OURS = Cost._fields.index("ours")

_LOOK_S = 15e-6
"""What looking at one way to lay tied wants beside each other takes, seconds: a count of the work,
since this room reads no clock (Python 3.11 on a server of 2024)."""

_NEAT_SHARE, _NEAT_LEAST_S = 0.05, 0.5
"""What they get of the time that is left, and how much at least, seconds."""


def pack_by_program(
    question: Question, states: States, allowance: Allowance, run: Run = highspy.Highs.run
) -> Answer:
    """Find the optimum with an integer program, or the best that the time allows.

    Args:
        question: Groups of GPUs and what is wanted.
        states: What may stay and come.
        allowance: How long the solver may take; what it takes is noted there.
        run: What lets the solver run.

    Returns:
        An answer with its bounds; the objectives are those of `gpuslice.planner.packing.pack`.
        Where the solver failed before it found anything, the greedy choice without bounds.

    Raises:
        PlanningError: The rules cannot be kept with so few moves, or the time or the solver did not
            suffice to find out how.
    """
    columns = columns_of(question, states)
    allowance.spent_s += states.looked * _LOOK_S
    start = choose_greedily(question, states)
    values = None if start is None else _values(columns, start)
    program = IntegerProgram(columns.upper_bounds, tuple(rows_of(columns)), values, run)
    if values is None and not program.begin(allowance):
        raise no_layout(program.trouble)
    _use_enough(program, columns, allowance)
    _limit_moves(program, columns, allowance)
    goals = tuple(_goals(columns))
    program.dive(goals, allowance)
    bounds = [program.minimise(terms, allowance, least) for terms, least in goals]
    neat = allowance.part(_NEAT_SHARE, _NEAT_LEAST_S)
    bounds += [
        program.minimise(spent(columns, level), neat) for level in range(_NEAT, len(Cost._fields))
    ]
    program.minimise(_preference(columns), neat)
    allowance.spent_s += neat.spent_s
    found = Method.GREEDY if program.failed and program.values == values else Method.HIGHS
    choice = _choice(columns, program.values)
    return Answer(
        patterns=choice.patterns,
        flow=choice.flow,
        proof=Proof(method=found, bounds=tuple(bounds), note=program.trouble),
    )


def _goals(columns: Columns) -> Iterator[Goal]:
    """Yield the goals that matter most: serving, prices, moves."""
    wants = columns.question.wants
    for level in serve_levels(columns.question):
        terms = {column: -count for column, count in served(columns, level).items()}
        yield terms, -sum(wants[want].count for want in level)
    for entry in range(_NEAT):
        yield spent(columns, entry), None


def _use_enough(program: IntegerProgram, columns: Columns, allowance: Allowance) -> None:
    """Make the program use as many GPUs as it has to, from a start that may use fewer.

    Raises:
        PlanningError: No layout was found that does.
    """
    least = columns.question.least_ours
    if not least:
        return
    fewer = {column: -count for column, count in spent(columns, _OURS).items()}
    program.limit(fewer, -least, allowance)
    if program.value(fewer) > -least:
        raise no_layout(program.trouble or f"{least} GPUs would have to hold slices")


def _limit_moves(program: IntegerProgram, columns: Columns, allowance: Allowance) -> None:
    """Make the program keep the limit of moves, from a start that may pass it.

    Raises:
        PlanningError: Even the fewest moves that the rules need are more, or it is not known.
    """
    most, moves = columns.question.most_moves, moved(columns)
    if most is None:
        return
    fewest = program.limit(moves, most, allowance)
    if fewest is not None and fewest > most:
        raise too_few_moves(fewest, most)
    if program.value(moves) > most:
        raise no_layout(program.trouble)


def _preference(columns: Columns) -> Terms:
    """Rank what stays and comes, so that ties do not depend on the solver's taste.

    GPUs that come first in the machine are filled first; among equals what is listed first.
    """
    first = [min(columns.question.groups[g].members[0] for g in c.groups) for c in columns.classes]
    order = {number: rank for rank, number in enumerate(sorted(set(first)))}
    seen: Counter[int] = Counter()
    terms: Terms = {}
    for column, (number, stay) in enumerate(columns.stays):
        terms[column] = (order[first[number]] if stay.supply or stay.staying else 0) + seen[number]
        seen[number] += 1
    for column, key in enumerate(columns.arrivals, columns.first_arrival):
        terms[column] = seen[-1 - key.node]
        seen[-1 - key.node] += 1
    return {column: rank for column, rank in terms.items() if rank}


def _values(columns: Columns, filling: Filling) -> tuple[int, ...]:
    """Write a filling as values of the columns."""
    counts: Counter[object] = Counter()
    class_of = {group: n for n, each in enumerate(columns.classes) for group in each.groups}
    for group, (stay, room, arrivals) in enumerate(filling.groups):
        node = columns.node_of[room]
        key = StayKey(node, stay.supply, stay.staying, stay.moves, stay.cost)
        counts[class_of[group], key] += len(arrivals)
        counts.update(ArrivalKey(node, each.supply, each.cost) for each in arrivals)
    return (
        *(counts[each] for each in columns.stays),
        *(counts[each] for each in columns.arrivals),
        *(filling.flow.get(use, 0) for use in columns.uses),
    )


def _choice(columns: Columns, values: Sequence[int]) -> Choice:
    """Read a solution: which GPU keeps and gets what; most comes to those that come first."""
    question = columns.question
    arriving: dict[int, deque[ArrivalKey]] = {}
    coming = zip(columns.arrivals, values[columns.first_arrival : columns.first_use], strict=True)
    for arrival_key, value in sorted(coming, key=lambda each: -sum(n for _, n in each[0].supply)):
        arriving.setdefault(arrival_key.node, deque()).extend([arrival_key] * value)
    joined: dict[tuple[int, int], Pattern] = {}
    chosen: dict[int, Pattern] = {}
    for member, stay, room in sorted(_stays(columns, values), key=lambda each: each[0]):
        arrival = columns.arrival_of[room][arriving[columns.node_of[room]].popleft()]
        pattern = joined.get((id(stay), id(arrival)))
        if pattern is None:
            pattern = joined[id(stay), id(arrival)] = join(stay, arrival)
        chosen[member] = pattern
    uses = values[columns.first_use :]
    flow = ((use, count) for use, count in zip(columns.uses, uses, strict=True) if count)
    return Choice(
        patterns=tuple(tuple(chosen[m] for m in group.members) for group in question.groups),
        flow=tuple(sorted(flow)),
    )


def _stays(columns: Columns, values: Sequence[int]) -> Iterator[tuple[int, Stay, Room]]:
    """Say for each GPU what stays on it: most on those that come first."""
    counts: dict[int, list[StayKey]] = {}
    for (number, key), value in zip(columns.stays, values, strict=False):
        counts.setdefault(number, []).extend([key] * value)
    for number, each in enumerate(columns.classes):
        for (member, group), key in zip(_members(columns, each), counts[number], strict=True):
            yield member, *columns.stay_of[group][key]


def _members(columns: Columns, each: SiteClass) -> list[tuple[int, int]]:
    """List the GPUs of a class with their groups, by position."""
    groups = columns.question.groups
    return sorted((member, number) for number in each.groups for member in groups[number].members)
