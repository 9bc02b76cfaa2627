"""Who gets which slice, and why: replica by replica, or added up where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.table import Table

from gpuslice.agent.prepare import Proposal
from gpuslice.model.plan import Demand, Seat


def seats_table(proposal: Proposal) -> Table:
    """Show each model's need, and each replica's slice and why."""
    table = _table("replica", "engine", "needs", "slice", "GPU", "at", "memory", "")
    engines = _engines(proposal)
    for demand in proposal.demands:
        seats = [s for s in proposal.plan.seats if s.replica.model == demand.model]
        for number, seat in enumerate(seats):
            need = needs_text(demand) if number == 0 else "  〃"
            table.add_row(*_seat_row(proposal, seat, engines[demand.model], need))
    return table


def seats_summary(proposal: Proposal) -> Table:
    """Show each model's need, and how many replicas sit on which profile."""
    table = _table("model", "engine", "needs", "slice", "memory", "replicas", "stay", "new")
    engines = _engines(proposal)
    seats: dict[str, list[Seat]] = {}
    for seat in proposal.plan.seats:
        seats.setdefault(seat.replica.model, []).append(seat)
    unplaced = Counter(unplaced.replica.model for unplaced in proposal.plan.unplaced)
    for demand in proposal.demands:
        rows = list(_profile_rows(seats.get(demand.model, [])))
        if missing := unplaced[demand.model]:
            rows.append(("[red]no slice[/]", "", f"{missing:,}", "", ""))
        for number, row in enumerate(rows):
            told = (demand.model, engines[demand.model], needs_text(demand))
            table.add_row(*(told if number == 0 else ("", "", "  〃")), *row)
    return table


def needs_text(demand: Demand) -> str:
    """Say what a model needs and why."""
    if demand.profile is not None:
        return f"{demand.profile}, {demand.reason}"
    return f"{demand.memory_mib:,} MiB: {demand.reason}"


def _engines(proposal: Proposal) -> dict[str, str]:
    return {model.name: model.engine for model in proposal.desired.models}


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        right = name in ("memory", "replicas", "stay", "new")
        table.add_column(name, justify="right" if right else "left")
    return table


def _seat_row(proposal: Proposal, seat: Seat, engine: str, need: str) -> tuple[str, ...]:
    slice_ = seat.slice
    return (
        str(seat.replica),
        engine,
        need,
        slice_.profile,
        str(proposal.observed.gpu(slice_.gpu_uuid).index),
        str(slice_.placement),
        f"{slice_.memory_mib:,} MiB",
        "stays" if seat.kept else "new",
    )


def _profile_rows(seats: list[Seat]) -> Iterator[tuple[str, ...]]:
    """Add up the seats of one model by profile, smallest memory first."""
    kinds = Counter((s.slice.memory_mib, s.slice.profile, s.kept is not None) for s in seats)
    for memory, profile in sorted({(memory, profile) for memory, profile, _ in kinds}):
        stay, new = kinds[memory, profile, True], kinds[memory, profile, False]
        yield profile, f"{memory:,} MiB", f"{stay + new:,}", f"{stay:,}", f"{new:,}"
