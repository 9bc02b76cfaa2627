"""What the columns of the packing's programs stand for, and the expressions over them.

Separate because two programs have these columns: the integer one that chooses
(`gpuslice.planner.packing.program`) and the relaxed one that prices (`gpuslice.planner.prices`).

Three families of integers decide everything:

* ``y[class, stay]``: on how many GPUs of a class how much stays. A *class* is all GPUs of which the
  same can be made, wherever exactly their slices lie.
* ``x[room, arrival]``: into how many rooms of a sort how much comes. A room is what a stay leaves;
  rooms of which the same can be made are one.
* ``f[kind, want]``: how many free slices of a kind serve a want.

Each GPU of a class has one stay (``sum y = size``), each stay leaves a room into which one arrival
comes (``sum y = sum x``), each free slice serves somebody (``supply of y and x = sum f``), and no
want gets more than it asks for. The number of GPUs stands on the right side of a row only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gpuslice.planner.packing.question import Cost, Kind, Question, Supply
from gpuslice.planner.packing.states import Arrival, Room, States, Stay

Terms = dict[int, int]
"""A linear expression: coefficient by column."""

Row = tuple[int, Terms, int | None]
"""A rule: least value, expression, greatest value or None for no limit."""


class StayKey(NamedTuple):
    """All that the program knows of a stay."""

    node: int
    supply: Supply
    staying: Supply
    moves: int
    cost: Cost


class ArrivalKey(NamedTuple):
    """All that the program knows of an arrival."""

    node: int
    supply: Supply
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteClass:
    """GPUs of which the same can be made.

    Attributes:
        groups: Numbers of the groups of the question.
        size: How many GPUs they have in all.
    """

    groups: tuple[int, ...]
    size: int


@dataclass(kw_only=True)
class Columns:
    """The columns of one question, and what they are made of; owned by the one who solves it.

    Attributes:
        question: The question.
        classes: Classes of GPUs.
        stays: ``y``: (class, what stays), from column 0.
        arrivals: ``x``: what comes, behind the stays.
        uses: ``f``: (kind, want), behind the arrivals.
        stay_of: For each group, each of its ways to stay with the room it leaves.
        arrival_of: For each room, what may come into it.
        node_of: The node of each room.
    """

    question: Question
    classes: tuple[SiteClass, ...] = ()
    stays: tuple[tuple[int, StayKey], ...] = ()
    arrivals: tuple[ArrivalKey, ...] = ()
    uses: tuple[tuple[Kind, int], ...] = ()
    stay_of: list[dict[StayKey, tuple[Stay, Room]]] = field(default_factory=list)
    arrival_of: dict[Room, dict[ArrivalKey, Arrival]] = field(default_factory=dict)
    node_of: dict[Room, int] = field(default_factory=dict)

    @property
    def first_arrival(self) -> int:
        """Column of the first arrival."""
        return len(self.stays)

    @property
    def first_use(self) -> int:
        """Column of the first use."""
        return len(self.stays) + len(self.arrivals)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.first_use + len(self.uses)

    @property
    def upper_bounds(self) -> list[int]:
        """What each column could at most be."""
        gpus = sum(each.size for each in self.classes)
        wants = self.question.wants
        return [
            *(self.classes[number].size for number, _ in self.stays),
            *(gpus for _ in self.arrivals),
            *(wants[want].count for _, want in self.uses),
        ]


def columns_of(question: Question, states: States) -> Columns:
    """Name the columns of the program."""
    columns = Columns(question=question)
    nodes: dict[frozenset[tuple[Supply, Cost]], int] = {}
    by_keys: dict[frozenset[StayKey], list[int]] = {}
    for number, group in enumerate(question.groups):
        found: dict[StayKey, tuple[Stay, Room]] = {}
        for stay, room in states.stays(group.site):
            node = _node(columns, states, nodes, room)
            key = StayKey(node, stay.supply, stay.staying, stay.moves, stay.cost)
            found.setdefault(key, (stay, room))
        columns.stay_of.append(found)
        by_keys.setdefault(frozenset(found), []).append(number)
    columns.classes = tuple(
        SiteClass(groups=tuple(groups), size=sum(len(question.groups[g].members) for g in groups))
        for groups in by_keys.values()
    )
    columns.stays = tuple(
        (number, key)
        for number, each in enumerate(columns.classes)
        for key in columns.stay_of[each.groups[0]]
    )
    columns.arrivals = tuple(
        sorted({key: None for found in columns.arrival_of.values() for key in found})
    )
    supplies = [*(key.supply for _, key in columns.stays), *(k.supply for k in columns.arrivals)]
    kinds = sorted({kind for supply in supplies for kind, _ in supply})
    columns.uses = tuple((kind, want) for kind in kinds for want in kind)
    return columns


def _node(
    columns: Columns,
    states: States,
    nodes: dict[frozenset[tuple[Supply, Cost]], int],
    room: Room,
) -> int:
    """Find the node of a room: rooms of which the same can be made share one."""
    node = columns.node_of.get(room)
    if node is None:
        arrivals = states.arrivals(room)
        contents = frozenset((arrival.supply, arrival.cost) for arrival in arrivals)
        node = columns.node_of[room] = nodes.setdefault(contents, len(nodes))
        columns.arrival_of[room] = {ArrivalKey(node, a.supply, a.cost): a for a in arrivals}
    return node


def rows_of(columns: Columns) -> Iterator[Row]:
    """Yield the rules: one stay for each GPU, one arrival for each room, supply equals use.

    The limit of moves is not among them: a program may start from a solution that passes it.
    """
    classes: list[Terms] = [{} for _ in columns.classes]
    rooms: dict[int, Terms] = {}
    supply: dict[Kind, Terms] = {}
    for column, (number, stay) in enumerate(columns.stays):
        classes[number][column] = 1
        rooms.setdefault(stay.node, {})[column] = 1
        _add(supply, stay.supply, column)
    for column, arrival in enumerate(columns.arrivals, columns.first_arrival):
        rooms.setdefault(arrival.node, {})[column] = -1
        _add(supply, arrival.supply, column)
    for column, (kind, _) in enumerate(columns.uses, columns.first_use):
        supply[kind][column] = -1
    for each, terms in zip(columns.classes, classes, strict=True):
        yield each.size, terms, each.size
    yield from ((0, terms, 0) for terms in (*rooms.values(), *supply.values()))
    for want, asked in enumerate(columns.question.wants):
        yield 0, served(columns, (want,)), asked.count


def _add(supply: dict[Kind, Terms], given: Supply, column: int) -> None:
    for kind, count in given:
        supply.setdefault(kind, {})[column] = count


def served(columns: Columns, wants: tuple[int, ...]) -> Terms:
    """Count the replicas of some wants that get a slice."""
    terms: Counter[int] = Counter()
    for column, (_, stay) in enumerate(columns.stays):
        for (want,), count in stay.staying:
            if want in wants:
                terms[column] += count
    for column, (_, want) in enumerate(columns.uses, columns.first_use):
        if want in wants:
            terms[column] += 1
    return dict(terms)


def moved(columns: Columns) -> Terms:
    """Count the running replicas that leave their slice."""
    return {column: key.moves for column, (_, key) in enumerate(columns.stays) if key.moves}


def spent(columns: Columns, level: int) -> Terms:
    """Add up one entry of `Cost`."""
    costs = (
        *((column, key.cost) for column, (_, key) in enumerate(columns.stays)),
        *((c, key.cost) for c, key in enumerate(columns.arrivals, columns.first_arrival)),
    )
    return {column: cost[level] for column, cost in costs if cost[level]}
