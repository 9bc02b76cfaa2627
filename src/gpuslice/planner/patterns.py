"""Every way to lay out one GPU that could be part of an optimum, and nothing else.

Separate from the packing because it looks at one GPU only: it walks the legal layouts and keeps,
for each *supply* (how many slices of which kind), the single cheapest layout. The packing never
sees the others.

Three reductions, each without loss:

* Two layouts with equal supply serve the same demands, move the same replicas, and differ only in
  cost. Costs add up over GPUs and are compared lexicographically, so replacing the dearer layout by
  the cheaper one improves any plan that uses it.
* A new slice exactly where a slice of ours with the same profile lies is never better than keeping
  that slice: a kept slice serves whom a new one would serve, and one slice less is destroyed.
* A layout with more slices of a kind than there are replicas that could use them is of no use,
  as every slice of a pattern is used.

An 8-slice GPU has 723 placed layouts of plain profiles (NVIDIA's double-memory 1g included); they
shrink to a handful of patterns for one or two models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from gpuslice.planner.grid import Grid, compile_grid, union
from gpuslice.planner.question import Cost, Pattern, PatternSlice, Site, SliceKind

_Layout = tuple[PatternSlice, ...]

_WEIGHED = Cost._fields.index("waste")
"""How many entries of a cost come before the weight of what is left free."""


@lru_cache(maxsize=512)
def patterns(site: Site, wanted: tuple[int, ...]) -> tuple[Pattern, ...]:
    """Derive the patterns of one site.

    Args:
        site: The GPU, and which demands accept which profile.
        wanted: Replicas that want a slice, by demand.

    Returns:
        One pattern for every supply, the empty one included, in a stable order: more slices first,
        then cheaper, then by placement.
    """
    grid = compile_grid(site.geometry)
    best: dict[tuple[tuple[SliceKind, int], ...], Pattern] = {}
    for layout in _layouts(site, grid, wanted):
        supply = tuple(sorted(Counter(part.kind for part in layout).items()))
        rival = best.get(supply)
        cost = _outlay(site, grid, layout)
        if rival is not None and cost[:_WEIGHED] > rival.cost[:_WEIGHED]:
            continue  # weighing what is left free is the dear part; most layouts lose before it
        cost = cost._replace(waste=_waste(site, grid, layout))
        pattern = Pattern(slices=layout, supply=supply, cost=cost)
        if rival is None or _rank(pattern) < _rank(rival):
            best[supply] = pattern
    return tuple(sorted(best.values(), key=lambda p: (-len(p.slices), *_rank(p))))


def _layouts(site: Site, grid: Grid, wanted: tuple[int, ...]) -> Iterator[_Layout]:
    """Walk every legal layout once, its slices from left to right."""
    candidates = _candidates(site, grid)
    fixed = Counter(name for name, _ in site.fixed)
    replicas = sum(wanted)

    def fits(chosen: _Layout, part: PatternSlice) -> bool:
        same = sum(other.profile == part.profile for other in chosen)
        if same + fixed[part.profile] >= grid.profiles[part.profile].max_instances:
            return False
        alike = sum(other.kind.accepts == part.kind.accepts for other in chosen)
        if alike >= sum(wanted[demand] for demand in part.kind.accepts):
            return False
        return all(grid.tolerates(part.profile, other.profile) for other in chosen)

    def extend(first: int, end: int, chosen: _Layout) -> Iterator[_Layout]:
        yield chosen
        if len(chosen) == replicas:
            return
        for number in range(first, len(candidates)):
            part = candidates[number]
            if part.placement.start >= end and fits(chosen, part):
                yield from extend(number + 1, part.placement.end, (*chosen, part))

    return extend(0, 0, ())


def _candidates(site: Site, grid: Grid) -> list[PatternSlice]:
    """List every single slice that could lie beside what is fixed, by start."""
    menu = dict(site.menu)
    kept = [
        PatternSlice(
            profile=own.profile,
            placement=own.placement,
            kept=True,
            kind=SliceKind(accepts=menu[own.profile], incumbent=own.incumbent),
        )
        for own in site.own
        if own.profile in menu
    ]
    there = {(part.profile, part.placement) for part in kept}
    taken = union(placement for _, placement in site.fixed)
    new = [
        PatternSlice(profile=name, placement=at, kept=False, kind=SliceKind(accepts=accepts))
        for name, accepts in site.menu
        if all(grid.tolerates(name, other) for other, _ in site.fixed)
        for at in grid.profiles[name].placements
        if not union((at,)) & taken and (name, at) not in there
    ]
    return sorted(kept + new, key=lambda part: (part.placement, part.profile))


def _outlay(site: Site, grid: Grid, layout: _Layout) -> Cost:
    """Cost of a layout without the weight of what it leaves free."""
    return Cost(
        destroyed=len(site.own) - sum(part.kept for part in layout),
        occupied=int(bool(site.fixed or layout)),
        switched=int(bool(layout) and not site.mig_on),
        ours=int(bool(layout) or site.holds_ours),
        memory_slices=sum(part.placement.size for part in layout),
        waste=0,
        idle_compute=-sum(grid.profiles[part.profile].compute_slices for part in layout),
    )


def _waste(site: Site, grid: Grid, layout: _Layout) -> int:
    """Weight of what a layout leaves free, negated."""
    counts = Counter(name for name, _ in site.fixed)
    counts.update(part.profile for part in layout)
    taken = union(placement for _, placement in site.fixed)
    return -grid.remainder(taken | union(part.placement for part in layout), counts)


def _rank(pattern: Pattern) -> tuple[Cost, tuple[tuple[object, ...], ...]]:
    """Order patterns of one supply: cheaper first, then smaller placements."""
    places = tuple((part.placement, part.profile, not part.kept) for part in pattern.slices)
    return pattern.cost, places
