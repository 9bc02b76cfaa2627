"""What GPUs offer and allow, each question asked of the model once.

Separate because the check of a fleet asks the same few questions about thousands of GPUs. Every
answer comes from `Geometry` or `Demand`; remembering it is all that is added here.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import PlannedSlice

Part = tuple[str, int, int]
"""A slice as the geometry sees it: profile name, start and size of its placement."""

Layout = tuple[Part, ...]
"""What lies on one GPU, sorted."""


def part_of(slice_: Slice | PlannedSlice) -> Part:
    """Reduce a slice to what the geometry sees of it."""
    placement = slice_.placement
    return slice_.profile, placement.start, placement.size


def layout_of(slices: Iterable[Slice | PlannedSlice]) -> Layout:
    """Reduce slices to what the geometry sees of them."""
    return tuple(sorted(part_of(slice_) for slice_ in slices))


class Catalogue:
    """Remembered answers about geometries; owned by one run of the check.

    Equal geometries share their answers, even where each GPU has an object of its own.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._by_value: dict[Geometry, int] = {}
        self._profiles: dict[tuple[int, str], Profile | None] = {}
        self._accepted: dict[tuple[str, str, int, str], bool] = {}
        self._allowed: dict[tuple[int, Layout, Part], bool] = {}
        self._room: dict[tuple[int, Layout], int] = {}

    def number(self, geometry: Geometry) -> int:
        """Return the same number for equal geometries."""
        key = id(geometry)
        if key not in self._numbers:
            self._numbers[key] = self._by_value.setdefault(geometry, len(self._by_value))
        return self._numbers[key]

    def profile(self, gpu: Gpu, name: str) -> Profile | None:
        """Return the profile of that name on a GPU, or None."""
        if gpu.geometry is None:
            return None
        key = self.number(gpu.geometry), name
        if key not in self._profiles:
            self._profiles[key] = gpu.geometry.named(name)
        return self._profiles[key]

    def accepts(self, demand: Demand, gpu: Gpu, name: str) -> bool:
        """Tell whether a slice of that profile on that GPU serves a replica of a demand."""
        if gpu.geometry is None:
            return False
        key = demand.model, gpu.name, self.number(gpu.geometry), name
        if key not in self._accepted:
            profile = self.profile(gpu, name)
            self._accepted[key] = profile is not None and demand.accepts(profile, gpu.name)
        return self._accepted[key]

    def allows(self, geometry: Geometry, lying: Layout, new: Part) -> bool:
        """Tell whether one more slice may lie beside others; see `Geometry.allows`."""
        key = self.number(geometry), lying, new
        if key not in self._allowed:
            name, start, size = new
            self._allowed[key] = geometry.allows(_placed(lying), name, Placement(start, size))
        return self._allowed[key]

    def room(self, geometry: Geometry, lying: Layout) -> int:
        """Weigh what is left free: memory slices times how many still fit, plain profiles only."""
        key = self.number(geometry), lying
        if key not in self._room:
            placed = _placed(lying)
            plain = [profile for profile in geometry.profiles if not profile.attributes]
            left = (profile.memory_slices * geometry.free(placed, profile) for profile in plain)
            self._room[key] = sum(left)
        return self._room[key]


def _placed(lying: Layout) -> list[tuple[str, Placement]]:
    return [(name, Placement(start, size)) for name, start, size in lying]
