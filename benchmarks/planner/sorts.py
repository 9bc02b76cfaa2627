"""Which GPUs are alike, and what each sort of them can hold.

Separate from the program that chooses among it (`benchmarks.planner.supply`), because this is where
the size of that program comes from: it grows with the sorts of GPUs, not with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from benchmarks.planner.instance import Instance

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import SliceKey

Lying = tuple[tuple[str, Placement], ...]
Multiset = tuple[tuple[str, int], ...]


class Sort(NamedTuple):
    """GPUs that are alike.

    Attributes:
        board: Product name.
        lying: What stays on them whatever is planned.
        addable: Whether they would have to be added.
        movable: What else lies on them, each with what it counts to move it; empty where moves are
            not looked at.
    """

    board: str
    lying: Lying
    addable: bool
    movable: tuple[tuple[str, Placement, int], ...]


def sorts(instance: Instance, weights: Mapping[str, int] | None) -> Counter[Sort]:
    """Count the GPUs that are alike."""
    pinned = pinned_slices(instance)
    movable = {
        record.slice: 0 if weights is None else weights[record.replica.model]
        for record in instance.owned
        if record.slice not in pinned and record.replica is not None
    }
    counts: Counter[Sort] = Counter()
    for gpu in instance.observed.gpus:
        if instance.usable(gpu):
            fixed = [(s.profile, s.placement) for s in gpu.slices if s.key not in movable]
            ours = (s for s in gpu.slices if weights is not None and s.key in movable)
            known = tuple(sorted((s.profile, s.placement, movable[s.key]) for s in ours))
            counts[Sort(gpu.name, tuple(sorted(fixed)), instance.addable(gpu), known)] += 1
    return counts


def options(geometry: Geometry, sort: Sort, names: tuple[str, ...]) -> dict[Multiset, int]:
    """List every multiset that can lie beside what is fixed, and the least that moves count."""
    weights = {(name, at): weight for name, at, weight in sort.movable}
    whole = sum(weights.values())
    least: dict[Multiset, int] = {}
    for multiset, parts in _layouts(geometry, sort.lying, names):
        moved = whole - sum(weights.get(part, 0) for part in parts) if weights else 0
        least[multiset] = min(moved, least.get(multiset, moved))
    return least


@cache
def _layouts(
    geometry: Geometry, lying: Lying, names: tuple[str, ...]
) -> tuple[tuple[Multiset, Lying], ...]:
    """List every layout that can lie beside what is fixed, each with its multiset."""
    found: list[tuple[Multiset, Lying]] = []

    def extend(parts: Lying, least: int) -> None:
        found.append((tuple(sorted(Counter(name for name, _ in parts).items())), parts))
        for profile in (p for p in geometry.profiles if p.name in names):
            for at in profile.placements:
                if at.start >= least and geometry.allows((*lying, *parts), profile.name, at):
                    extend((*parts, (profile.name, at)), at.end)

    extend((), 0)
    return tuple(found)


def pinned_slices(instance: Instance) -> dict[SliceKey, str]:
    """Say which slices stay because their replica is pinned, and its model."""
    pinned = {demand.model for demand in instance.demands if demand.pinned}
    usable = {gpu.uuid for gpu in instance.observed.gpus if instance.usable(gpu)}
    return {
        record.slice: record.replica.model
        for record in instance.owned
        if record.replica is not None
        and record.replica.model in pinned
        and record.slice.gpu_uuid in usable
    }
