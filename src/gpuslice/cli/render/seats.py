"""Who gets which slice, and why: replica by replica, or added up where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.proposal import Proposal
from gpuslice.cli.render.servers import fates_of, restarting_in_place
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId
from gpuslice.model.plan import Fate, Seat

_TITLES = {Fate.STAYS: "stay", Fate.STARTS: "start", Fate.MOVES: "move"}


def seats_table(proposal: Proposal) -> Table:
    """Show each model's need, and each replica's slice and why."""
    table = _table("replica", "engine", "needs", "slice", "GPU", "at", "memory", "server")
    fates: dict[ReplicaId, str] = {r: str(fate) for r, fate in fates_of(proposal).items()}
    fates |= dict.fromkeys(restarting_in_place(proposal), "restarts")
    engines = _engines(proposal)
    for demand in proposal.demands:
        seats = [s for s in proposal.plan.seats if s.replica.model == demand.model]
        for number, seat in enumerate(seats):
            need = needs_text(demand) if number == 0 else "  〃"
            table.add_row(
                *_seat_row(proposal, seat, engines[demand.model], need, fates.get(seat.replica))
            )
    return table


def seats_summary(proposal: Proposal) -> Table:
    """Show each model's need, and how many replicas sit on which profile, and what they do."""
    fates = fates_of(proposal)
    shown = [f for f in (Fate.STAYS, Fate.STARTS, Fate.MOVES) if f in fates.values()]
    titles = (_TITLES[fate] for fate in shown)
    table = _table("model", "engine", "needs", "slice", "memory", "replicas", *titles)
    engines = _engines(proposal)
    seats: dict[str, list[Seat]] = {}
    for seat in proposal.plan.seats:
        seats.setdefault(seat.replica.model, []).append(seat)
    unplaced = Counter(unplaced.replica.model for unplaced in proposal.plan.unplaced)
    for demand in proposal.demands:
        rows: list[tuple[RenderableType, ...]] = list(
            _profile_rows(seats.get(demand.model, []), fates, shown)
        )
        if missing := unplaced[demand.model]:
            rows.append((Text("no slice", style="red"), "", f"{missing:,}", *("" for _ in shown)))
        for number, row in enumerate(rows):
            told = (demand.model, engines[demand.model], needs_text(demand))
            table.add_row(*(told if number == 0 else ("", "", "  〃")), *row)
    return table


def needs_text(demand: Demand) -> str:
    """Say what a model needs and why."""
    return f"{_need(demand)}{'; ' + ', '.join(terms) if (terms := _terms(demand)) else ''}"


def _need(demand: Demand) -> str:
    if demand.target is not None and demand.target.estimated:  # its rates stand in a note
        return f"{_per_s(demand.target.milli_per_s)} {demand.target.unit}/s, by estimate"
    if demand.target is not None:
        rates = ", ".join(
            f"{_named(rate.named)} gives {_per_s(rate.milli_per_s)}" for rate in demand.target.rates
        )
        return f"{_per_s(demand.target.milli_per_s)} {demand.target.unit}/s; {rates}"
    if demand.profiles:
        return f"{'; '.join(_by_board(demand.profiles))}, {demand.reason}"
    compute = f" and {demand.compute_slices} compute slices" if demand.compute_slices else ""
    return f"{demand.memory_mib:,} MiB{compute}: {demand.reason}"


def _by_board(profiles: Sequence[NamedProfile]) -> Iterator[str]:
    """Write profiles board by board: ``2g.35gb on NVIDIA H200``, ``1g.10gb or 2g.20gb``."""
    for board in dict.fromkeys(named.board for named in profiles):
        names = " or ".join(named.profile for named in profiles if named.board == board)
        yield f"{names} on {board}" if board else names


def _named(named: NamedProfile) -> str:
    return f"{named.profile} on {named.board}" if named.board else named.profile


def _per_s(milli: int) -> str:
    return f"{milli / 1000:,.10g}"


def _terms(demand: Demand) -> list[str]:
    """Name what else a model asks of a plan, where it is not the usual."""
    spread = f"at most {demand.most_per_gpu} on a GPU" if demand.most_per_gpu else ""
    said = (
        f"priority {demand.priority}" if demand.priority else "",
        "pinned" if demand.pinned else "",
        spread,
        f"near {', '.join(demand.near)}" if demand.near else "",
        f"away from {', '.join(demand.away)}" if demand.away else "",
    )
    return [each for each in said if each]


def _engines(proposal: Proposal) -> dict[str, str]:
    return {model.name: model.engine for model in proposal.desired.models}


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        right = name in ("memory", "replicas", *_TITLES.values())
        table.add_column(name, justify="right" if right else "left")
    return table


def _seat_row(
    proposal: Proposal, seat: Seat, engine: str, need: str, fate: str | None
) -> tuple[str, ...]:
    slice_ = seat.slice
    return (
        str(seat.replica),
        engine,
        need,
        slice_.profile,
        str(proposal.observed.gpu(slice_.gpu_uuid).index),
        str(slice_.placement),
        f"{slice_.memory_mib:,} MiB",
        fate or "",
    )


def _profile_rows(
    seats: list[Seat], fates: Mapping[ReplicaId, Fate], shown: Sequence[Fate]
) -> Iterator[tuple[str, ...]]:
    """Add up the seats of one model by profile, smallest memory first."""
    kinds = Counter((s.slice.memory_mib, s.slice.profile, fates.get(s.replica)) for s in seats)
    for memory, profile in sorted({(memory, profile) for memory, profile, _ in kinds}):
        counts = [kinds[memory, profile, fate] for fate in shown]
        total = sum(n for (m, p, _), n in kinds.items() if (m, p) == (memory, profile))
        yield profile, f"{memory:,} MiB", f"{total:,}", *(f"{count:,}" for count in counts)
