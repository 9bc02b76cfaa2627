"""What is drawn for a plan: a lane for each GPU, or for each group of GPUs that look alike.

Separate from drawing, since a terminal and an SVG file show the same lanes. Thousands of GPUs are
readable only as groups: GPUs of one product whose slices lie alike in the end are one lane, with
how many of those slices stay, come and go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.agent.proposal import Proposal
from gpuslice.cli.render.mode import mode_text
from gpuslice.cli.render.picture import Cell, Fate, after_cells, before_cells
from gpuslice.cli.render.purchases import is_added, is_spared
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice

MANY_GPUS = 8
"""Above so many GPUs a plan is shown in groups."""

MOST_LANES = 24
"""How many groups are drawn before the rest is only counted."""

_RANGES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One row of memory slices, and the same row before the change where something goes.

    Attributes:
        heading: Which GPUs: index or number, product, MIG mode.
        detail: What happens to their slices, in words; "" where the picture says it all.
        notes: What a person should know about them.
        added: True for GPUs that are not there and have to be added.
        grid: Memory slices of each.
        before: What lies there now; None where nothing goes, or where the GPUs differ in it.
        after: What lies there in the end.
    """

    heading: str
    detail: str = ""
    notes: tuple[str, ...] = ()
    added: bool = False
    grid: int
    before: tuple[Cell, ...] | None = None
    after: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Everything that is drawn.

    Attributes:
        shown: The lanes, GPUs in order or groups by product, the largest first.
        left_out: What is not shown, in words, or "".
        grouped: True when lanes are groups.
    """

    shown: tuple[Lane, ...]
    left_out: str = ""
    grouped: bool = False


def lanes_of(proposal: Proposal) -> Lanes:
    """Choose the lanes of a plan: GPU by GPU up to `MANY_GPUS`, in groups above."""
    plans = drawn_gpus(proposal)
    if len(plans) > MANY_GPUS:
        return _group_lanes(proposal, plans)
    return Lanes(shown=tuple(_gpu_lanes(proposal, plans)), left_out=_spared(proposal))


def drawn_gpus(proposal: Proposal) -> tuple[GpuPlan, ...]:
    """List the GPUs that are drawn: all but those that might be added and need not be."""
    return tuple(plan for plan in proposal.plan.gpus if not is_spared(proposal, plan))


def in_words(numbers: Iterable[int]) -> str:
    """Write indexes as people do: ``0–11, 14 and 3 more``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in ranges[:_RANGES]]
    more = sum(b - a + 1 for a, b in ranges[_RANGES:])
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _spared(proposal: Proposal) -> str:
    """Count the GPUs that might be added and need not be."""
    names = {gpu.uuid: gpu.name for gpu in proposal.observed.gpus}
    spared = Counter(names[p.gpu_uuid] for p in proposal.plan.gpus if is_spared(proposal, p))
    told = ", ".join(f"{count:,} × {name}" for name, count in spared.items())
    return f"not needed of those that may be added: {told}" if told else ""


def _gpu_lanes(proposal: Proposal, plans: Sequence[GpuPlan]) -> list[Lane]:
    owners = {owned.slice: owned.replica for owned in proposal.record.owned}
    seats = proposal.plan.seats
    lanes = []
    for plan in plans:
        gpu = proposal.observed.gpu(plan.gpu_uuid)
        before = tuple(before_cells(plan, owners)) if plan.destroy else None
        lanes.append(
            Lane(
                heading=f"GPU {gpu.index}  {gpu.name}  MIG {_mode(gpu, plan)}",
                notes=plan.notes,
                added=is_added(proposal, plan),
                grid=_grid(gpu),
                before=before,
                after=tuple(after_cells(plan, seats)),
            )
        )
    return lanes


def _group_lanes(proposal: Proposal, plans: Sequence[GpuPlan]) -> Lanes:
    """Draw the largest groups of each product, and count the rest."""
    groups = _groups(proposal, plans)
    models = {seat.slice: seat.replica.model for seat in proposal.plan.seats}
    shown, rest = groups[:MOST_LANES], groups[MOST_LANES:]
    many = f"{len(rest)} more layouts" if len(rest) > 1 else "1 more layout"
    left_out = f"and {many} on {sum(map(len, rest)):,} GPUs" if rest else ""
    return Lanes(
        shown=tuple(
            _group_lane(members, models, added=is_added(proposal, members[0][1]))
            for members in shown
        ),
        left_out="; ".join(filter(None, (left_out, _spared(proposal)))),
        grouped=True,
    )


_Member = tuple[Gpu, GpuPlan]


def _groups(proposal: Proposal, plans: Sequence[GpuPlan]) -> list[list[_Member]]:
    """Put GPUs together that are of one product and end alike, in the order of `_rank`."""
    gpus = {gpu.uuid: gpu for gpu in proposal.observed.gpus}
    groups: dict[object, list[_Member]] = {}
    first: dict[str, int] = {}
    for plan in plans:
        gpu = gpus[plan.gpu_uuid]
        first.setdefault(gpu.name, gpu.index)
        ours = _layout((*plan.keep, *plan.create))
        key = (gpu.name, _mode(gpu, plan), ours, _layout(plan.foreign), is_added(proposal, plan))
        groups.setdefault(key, []).append((gpu, plan))
    return sorted(groups.values(), key=lambda group: _rank(group, first))


def _rank(group: Sequence[_Member], first: Mapping[str, int]) -> tuple[int, bool, int, int]:
    """Order groups: by product, empty GPUs last, many before few, low indexes before high."""
    gpu, plan = group[0]
    empty = not (plan.keep or plan.create or plan.foreign)
    return first[gpu.name], empty, -len(group), gpu.index


def _layout(slices: Iterable[Slice | PlannedSlice]) -> tuple[tuple[Placement, str], ...]:
    return tuple(sorted((s.placement, s.profile) for s in slices))


def _group_lane(
    members: Sequence[_Member], models: dict[Slice | PlannedSlice, str], *, added: bool
) -> Lane:
    gpu, plan = members[0]
    noted = Counter(note for _, p in members for note in p.notes)
    return Lane(
        heading=f"{len(members):,} × {gpu.name}  MIG {_mode(gpu, plan)}",
        detail=f"{_tally([p for _, p in members])}  (GPU {in_words(g.index for g, _ in members)})",
        notes=tuple(f"{count:,} ×: {note}" for note, count in noted.items()),
        added=added,
        grid=_grid(gpu),
        after=_group_cells([p for _, p in members], models),
    )


def _group_cells(
    plans: Sequence[GpuPlan], models: dict[Slice | PlannedSlice, str]
) -> tuple[Cell, ...]:
    """Draw what lies at each place on every GPU of a group, with what is common to all."""
    fates: dict[Placement, set[Fate]] = {}
    whose: dict[Placement, set[str]] = {}
    profiles: dict[Placement, str] = {}
    for plan in plans:
        lists = ((Fate.COMES, plan.create), (Fate.STAYS, plan.keep), (Fate.FOREIGN, plan.foreign))
        for fate, slices in lists:
            for slice_ in slices:
                fates.setdefault(slice_.placement, set()).add(fate)
                whose.setdefault(slice_.placement, set()).add(models.get(slice_, ""))
                profiles[slice_.placement] = slice_.profile
    return tuple(
        Cell(
            placement=place,
            label=" ".join(filter(None, (*_only(whose[place]), profiles[place]))),
            fate=next(iter(fates[place])) if len(fates[place]) == 1 else Fate.MIXED,
        )
        for place in sorted(profiles)
    )


def _only(names: set[str]) -> set[str]:
    """Keep a name that is the only one."""
    return names if len(names) == 1 else set()


def _tally(plans: Sequence[GpuPlan]) -> str:
    """Count what happens to the slices of a group."""
    counts = (
        (sum(len(p.keep) for p in plans), "stay", "stays"),
        (sum(len(p.create) for p in plans), "come", "comes"),
        (sum(len(p.destroy) for p in plans), "go", "goes"),
        (sum(len(p.foreign) for p in plans), "of somebody else", "of somebody else"),
    )
    said = [f"{count:,} {one if count == 1 else many}" for count, many, one in counts if count]
    return ", ".join(said) or "no slices"


def _mode(gpu: Gpu, plan: GpuPlan) -> str:
    return "off → on" if plan.enable_mig else mode_text(gpu.mig)


def _grid(gpu: Gpu) -> int:
    return gpu.geometry.memory_slices if gpu.geometry else 1
