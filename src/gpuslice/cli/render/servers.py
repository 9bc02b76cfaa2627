"""What becomes of each server: how many stay, start, move and stop, and what a move means for it.

Separate from seats, which say who gets which slice: here is what the people who use a model notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.proposal import Proposal
from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Fate, PlannedSlice, Seat, ServerPlan

_TOLD = 12
"""How many servers that move or stop are named before the rest is only counted."""

_VERBS = {
    Fate.STAYS: ("stays", "stay"),
    Fate.STARTS: ("starts", "start"),
    Fate.MOVES: ("moves", "move"),
    Fate.STOPS: ("stops", "stop"),
}
_HONESTLY = (
    "A server that moves answers until its new one is ready; one that pauses or restarts leaves "
    "when all others are ready, one of each model at a time, and does not answer until it is back."
)


def fates_of(proposal: Proposal) -> dict[ReplicaId, Fate]:
    """Look up what becomes of each server."""
    return {server.replica: server.fate for server in proposal.plan.servers}


def servers_view(proposal: Proposal) -> RenderableType:
    """Count the servers by fate, and name those that move, restart or stop."""
    servers = proposal.plan.servers
    if not servers:
        return Group()
    parts: list[RenderableType] = [Text(f"\n{servers_line(proposal)}")]
    why = {restart.replica: restart.why for restart in proposal.restarts}
    troubled = [s for s in servers if s.fate in (Fate.MOVES, Fate.STOPS) or s.replica in why]
    if troubled:
        parts.append(_table(proposal, troubled[:_TOLD]))
    if len(troubled) > _TOLD:
        parts.append(Text(f"  … and {len(troubled) - _TOLD:,} more (--json has all)"))
    if any(server.fate is not Fate.STOPS for server in troubled):
        parts.append(Text(_HONESTLY, style="dim"))
    if silent := _silent_models(servers, why):
        parts.append(Text(f"In between nobody answers for: {', '.join(silent)}.", style="yellow"))
    if None in why:
        text = f"The gateway restarts: {why[None]}; nobody is answered until it is back."
        parts.append(Text(text, style="yellow"))
    return Group(*parts)


def servers_line(proposal: Proposal) -> str:
    """Say how many servers stay, restart, start, move and stop, and how many moves pause."""
    counts = Counter(server.fate for server in proposal.plan.servers)
    restarting = len(restarting_in_place(proposal))
    counts[Fate.STAYS] -= restarting
    parts = [_counted(counts[fate], *_VERBS[fate]) for fate in Fate if counts[fate]]
    parts += [_counted(restarting, "restarts", "restart")] if restarting else []
    told = ", ".join(parts)
    why = {restart.replica for restart in proposal.restarts}
    moving = [s for s in proposal.plan.servers if s.fate is Fate.MOVES]
    pauses = sum(server.pause or server.replica in why for server in moving)
    return f"Servers: {told}" + (f"; {pauses:,} with a pause that is unavoidable" if pauses else "")


def restarting_in_place(proposal: Proposal) -> frozenset[ReplicaId]:
    """Name the replicas that stay on their slice and get another server there."""
    why = {restart.replica for restart in proposal.restarts}
    staying = {s.replica for s in proposal.plan.servers if s.fate is Fate.STAYS}
    return frozenset(staying & why)


def _silent_models(
    servers: Iterable[ServerPlan], restarting: Container[ReplicaId | None]
) -> tuple[str, ...]:
    """List the models that run now and go on, but of which nobody answers at some moment.

    Those that restart on their slices take turns, so of several one is always left.
    """
    answering: dict[str, int] = {}
    turns: Counter[str] = Counter()
    for server in servers:
        model = server.replica.model
        if server.fate is Fate.STAYS and server.replica in restarting:
            turns[model] += 1
        elif server.fate in (Fate.STAYS, Fate.MOVES):
            pauses = server.pause or server.replica in restarting
            answering[model] = answering.get(model, 0) + (not pauses)
    models = dict.fromkeys((*answering, *turns))
    return tuple(m for m in models if not answering.get(m) and turns[m] < 2)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _table(proposal: Proposal, servers: list[ServerPlan]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for row in _rows(proposal, servers):
        table.add_row("", *row)
    return table


def _rows(proposal: Proposal, servers: list[ServerPlan]) -> Iterator[tuple[str, ...]]:
    indexes = {gpu.uuid: gpu.index for gpu in proposal.observed.gpus}
    seats = {seat.replica: seat for seat in proposal.plan.seats}
    restarts = {restart.replica: restart.why for restart in proposal.restarts}
    unplaced = {unplaced.replica for unplaced in proposal.plan.unplaced}
    for server in servers:
        assert server.origin is not None, "it runs somewhere now"
        origin = _place(server.origin, indexes)
        if server.fate is Fate.STOPS:
            why = "finds no slice" if server.replica in unplaced else "no longer asked for"
            yield str(server.replica), "stops", origin, why
        elif server.fate is Fate.STAYS:
            why = f"{restarts[server.replica]}; it does not answer meanwhile"
            yield str(server.replica), "restarts", origin, why
        else:
            seat = seats[server.replica]
            way = f"{origin} → {_place(seat.slice, indexes)}"
            pinned = restarts.get(server.replica)
            how = f"a pause is unavoidable: {pinned}" if pinned else _how(server, seat)
            yield str(server.replica), "moves", way, how


def _place(slice_: Slice | PlannedSlice, indexes: Mapping[str, int]) -> str:
    return f"GPU {indexes[slice_.gpu_uuid]} {slice_.profile} at {slice_.placement}"


def _how(server: ServerPlan, seat: Seat) -> str:
    """Say whether the new slice can be there before the old one goes."""
    if server.pause and seat.kept is not None:
        return "a pause is unavoidable: it has to make way for another server first"
    if server.pause:
        return "a pause is unavoidable: its old slice has to go before the new one can come"
    if seat.kept is not None:
        return "its new slice is there already"
    return "its new slice is there before the old one goes"
