"""Every legal layout of one GPU, walked once and kept as bits.

Separate from what may stay and what may come on a GPU (`gpuslice.planner.packing.states`), which
asks this table again and again: a layout is a set of *parts* (a profile at a placement), a set is
an integer, and "all layouts that contain this one" is a comparison of integers. Subsets of a layout
are layouts too, so everything worth knowing about a set of parts can be remembered by its bits.

An 8-slice GPU has 723 layouts of its plain profiles (with the double-memory 1g) on 18 parts; the
walk takes about a millisecond.

Source: NVIDIA MIG User Guide, "Partitioning"; what may lie beside what is `Geometry.allows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.planner.packing.grid import Grid, compile_grid, mask, union


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One slice that could lie on the GPU.

    Attributes:
        profile: Its profile.
        placement: Where.
        mask: Bits of the memory slices it covers.
    """

    profile: Profile
    placement: Placement
    mask: int


class LayoutTable:
    """The layouts of one geometry with some of its profiles; shared, filled on demand.

    Attributes:
        grid: The compiled geometry.
        parts: Every part, by start, end and name; the number of a part is its bit.
        layouts: Every legal layout as bits, the empty one first.
    """

    def __init__(self, geometry: Geometry, names: frozenset[str]) -> None:
        self.grid: Grid = compile_grid(geometry)
        self.parts = _parts(geometry, names)
        self.layouts = tuple(_walk(self.grid, self.parts))
        self._bit = {
            (part.profile.name, part.placement): 1 << number
            for number, part in enumerate(self.parts)
        }
        self._members: dict[int, tuple[Part, ...]] = {}
        self._room: dict[tuple[int, Fixtures], int] = {}

    def bit(self, name: str, placement: Placement) -> int:
        """Return the bit of a part, or 0 where the geometry has no such part."""
        return self._bit.get((name, placement), 0)

    def members(self, bits: int) -> tuple[Part, ...]:
        """List the parts of a layout, by start."""
        found = self._members.get(bits)
        if found is None:
            found = tuple(part for n, part in enumerate(self.parts) if bits >> n & 1)
            self._members[bits] = found
        return found

    def room(self, bits: int, strange: Fixtures) -> int:
        """Weigh what a layout leaves free beside what is no part of any layout."""
        key = (bits, strange)
        found = self._room.get(key)
        if found is None:
            parts = self.members(bits)
            counts = Counter(part.profile.name for part in parts)
            counts.update(name for name, _ in strange)
            taken = union(at for _, at in strange)
            for part in parts:
                taken |= part.mask
            found = self._room[key] = self.grid.remainder(taken, counts)
        return found


Fixtures = tuple[tuple[str, Placement], ...]
"""What lies on a GPU, as (profile name, placement)."""


@lru_cache(maxsize=64)
def layout_table(geometry: Geometry, names: frozenset[str]) -> LayoutTable:
    """Walk the layouts of a geometry, once for each set of profiles."""
    return LayoutTable(geometry, names)


def _parts(geometry: Geometry, names: frozenset[str]) -> tuple[Part, ...]:
    parts = (
        Part(profile=profile, placement=at, mask=mask(at))
        for profile in geometry.profiles
        if profile.name in names
        for at in profile.placements
    )
    return tuple(sorted(parts, key=lambda part: (part.placement, part.profile.name)))


def _walk(grid: Grid, parts: Sequence[Part]) -> Iterator[int]:
    """Walk every legal layout once, its parts from left to right."""
    names = [part.profile.name for part in parts]
    starts = [part.placement.start for part in parts]
    ends = [part.placement.end for part in parts]
    most = [part.profile.max_instances for part in parts]

    def extend(first: int, end: int, bits: int, chosen: tuple[str, ...]) -> Iterator[int]:
        yield bits
        for number in range(first, len(parts)):
            name = names[number]
            if starts[number] < end or chosen.count(name) >= most[number]:
                continue
            if all(grid.tolerates(name, other) for other in chosen):
                yield from extend(number + 1, ends[number], bits | 1 << number, (*chosen, name))

    return extend(0, 0, 0, ())
