"""Does a plan say the truth about every server: who stays, starts, moves or stops, and who pauses?

Separate because it follows from the seats, the records and the order of steps together, and is
worked out here from these three alone.

A replica that moves **pauses** when its old slice is destroyed before its new one can be had. A
slice that comes can be had from its creation on. One that stays can be had when its tenant has
left, so when that one's new slice can be had: moves form chains, and what counts is the end of the
chain. Where a chain is a ring of slices that all stay, one has to step aside first, and that is the
first by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Fate, Plan, PlannedSlice
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.outcome import Outcome, Seats, same
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, Step

_Told = tuple[Fate, Slice | None, bool]
"""What is said of a server, beside its replica: fate, origin and pause."""


def server_violations(
    plan: Plan, order: Sequence[Step], outcome: Outcome, facts: Facts
) -> Iterator[str]:
    """Work out the fate of every server, and compare.

    Args:
        plan: The plan; its servers are listed by replica.
        order: Its steps, as they would be carried out.
        outcome: What the plan comes to.
        facts: What it is checked against.

    Yields:
        One line for every server that is missing, too many or wrong.
    """
    moves = _moves(order, outcome, facts)
    told: list[ReplicaId] = []
    for server in plan.servers:
        replica, stated = server.replica, (server.fate, server.origin, server.pause)
        expected = _fate(replica, moves)
        if expected is None:
            yield f"the server of {replica} is listed, but neither runs nor will run"
        elif told and told[-1] == replica:
            yield f"the server of {replica} is listed twice"
        else:
            told.append(replica)
            if expected != stated:
                yield f"the server of {replica} {_text(*expected)}, not: {_text(*stated)}"
    # They are listed by replica, so none is told twice, and counting finds whether any is missing.
    idle = sum(replica not in moves.seats for replica in moves.running)
    if len(told) < len(moves.seats) + idle:
        for replica in sorted((moves.seats.keys() | moves.running.keys()) - set(told)):
            yield f"the server of {replica} is not listed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """Who runs where, who sits where in the end, and at which step slices go and come.

    Attributes:
        seats: The slice of each replica in the end.
        running: The slice of each replica now.
        onto: For each replica that gets a slice on which another runs now, that other.
        aside: The first replica by name of every ring.
        goes: When a slice is destroyed, by GPU and GPU instance.
        comes: When a slice is created, by GPU and start.
    """

    seats: Seats
    running: Mapping[ReplicaId, Slice]
    onto: Mapping[ReplicaId, ReplicaId]
    aside: frozenset[ReplicaId]
    goes: Mapping[tuple[str, int], int]
    comes: Mapping[tuple[str, int], int]


def _moves(order: Sequence[Step], outcome: Outcome, facts: Facts) -> _Moves:
    """Make the tables."""
    moving = [
        (replica, slice_)
        for replica, slice_ in outcome.seats.items()
        if isinstance(slice_, Slice) and not same(facts.running.get(replica), slice_)
    ]
    onto = {}
    if moving:
        tenants = {_spot(slice_): replica for replica, slice_ in facts.running.items()}
        onto = {r: tenants[_spot(slice_)] for r, slice_ in moving if _spot(slice_) in tenants}
    turns = list(enumerate(order))
    return _Moves(
        seats=outcome.seats,
        running=facts.running,
        onto=onto,
        aside=_first_of_rings(onto),
        goes={_spot(step.slice): n for n, step in turns if isinstance(step, DestroySlice)},
        comes={_place(step.planned): n for n, step in turns if isinstance(step, CreateSlice)},
    )


def _first_of_rings(onto: Mapping[ReplicaId, ReplicaId]) -> frozenset[ReplicaId]:
    """Follow every chain once, and take the first replica by name of those that close."""
    first: set[ReplicaId] = set()
    seen: set[ReplicaId] = set()
    for start in onto:
        chain: list[ReplicaId] = []
        replica: ReplicaId | None = start
        while replica is not None and replica not in seen:
            seen.add(replica)
            chain.append(replica)
            replica = onto.get(replica)
        if replica in chain:
            first.add(min(chain[chain.index(replica) :]))
    return frozenset(first)


def _fate(replica: ReplicaId, moves: _Moves) -> _Told | None:
    """Say what becomes of a server, or None where there is none now or later."""
    seat, origin = moves.seats.get(replica), moves.running.get(replica)
    if origin is None:
        return None if seat is None else (Fate.STARTS, None, False)
    if seat is None:
        return Fate.STOPS, origin, False
    if same(seat, origin):
        return Fate.STAYS, origin, False
    return Fate.MOVES, origin, _pauses(replica, origin, moves)


def _pauses(replica: ReplicaId, origin: Slice, moves: _Moves) -> bool:
    """Tell whether a replica that moves cannot serve at some moment."""
    goes = moves.goes.get(_spot(origin))
    if goes is None:
        return replica in moves.aside
    last = replica
    # No ring: nobody moves onto a slice that goes, and each slice has one replica in the end.
    while last in moves.onto:
        last = moves.onto[last]
    seat = moves.seats.get(last)
    comes = moves.comes.get(_place(seat)) if isinstance(seat, PlannedSlice) else None
    return comes is not None and goes < comes


def _spot(slice_: Slice) -> tuple[str, int]:
    return slice_.gpu_uuid, slice_.gpu_instance_id


def _place(planned: PlannedSlice) -> tuple[str, int]:
    return planned.gpu_uuid, planned.placement.start


def _text(fate: Fate, origin: Slice | None, pause: bool) -> str:
    """Say what becomes of a server."""
    place = "" if origin is None else f" from {origin.placement} of {origin.gpu_uuid}"
    return f"{fate}{place}{' with a pause' if pause else ''}"
