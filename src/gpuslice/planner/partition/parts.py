"""Compute instances into slices: as few slices as they fill.

A layout file counts devices, and ``1c.3g.40gb: 3`` are three compute instances that share the
memory of 3g.40gb slices. How many slices that takes is a bin packing of a handful of small
numbers, so it is searched to the end: first fit in falling order, which mig-parted does, may take
one slice too many (3, 3, 2, 2, 2 and 2 fill two slices of seven, and it finds three).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from gpuslice.model.geometry import Geometry
from gpuslice.planner.partition.wish import Device

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Instance:
    """A slice that is wanted, wherever there is room for it.

    Attributes:
        profile: Its profile.
        parts: Compute slices of each of its compute instances, the largest first; empty for one
            that fills it.
    """

    profile: str
    parts: Sizes = ()

    def __str__(self) -> str:
        if not self.parts:
            return self.profile
        return f"{self.profile} in parts of {' + '.join(map(str, self.parts))}"


def instances_for(devices: Counter[Device], geometry: Geometry) -> tuple[Instance, ...]:
    """Make as few slices as the devices fill.

    Args:
        devices: What is wanted; every profile is one of the geometry's, and there is not more of
            anything than `held_alone` says.
        geometry: The GPU's.

    Returns:
        The slices, ordered.
    """
    found: list[Instance] = []
    shared: dict[str, list[int]] = {}
    for device, count in devices.items():
        if device.compute_slices:
            shared.setdefault(device.profile, []).extend([device.compute_slices] * count)
        else:
            found += [Instance(profile=device.profile)] * count
    for name, sizes in shared.items():
        profile = geometry.named(name)
        assert profile is not None, "names were looked up on this GPU"
        filled = fewest(tuple(sorted(sizes, reverse=True)), profile.compute_slices)
        found += [Instance(profile=name, parts=parts) for parts in filled]
    return tuple(sorted(found))


def held_alone(device: Device, geometry: Geometry) -> int:
    """Say how many devices of one kind an empty GPU holds at most."""
    profile = geometry.named(device.profile)
    assert profile is not None, "names were looked up on this GPU"
    in_one = profile.compute_slices // device.compute_slices if device.compute_slices else 1
    return profile.max_instances * in_one


@cache
def fewest(sizes: Sizes, room: int) -> tuple[Sizes, ...]:
    """Put sizes into as few slices as possible.

    Args:
        sizes: Compute slices of each compute instance, the largest first; none above ``room``.
        room: Compute slices of one slice.

    Returns:
        The compute instances of each slice. Equal arguments give an equal answer.

    Each slice is begun with the largest size that is left, and every way to fill it up is tried.
    """
    if not sizes:
        return ()
    best: tuple[Sizes, ...] | None = None
    for more in _fillings(sizes[1:], room - sizes[0]):
        rest = fewest(_without(sizes[1:], more), room)
        if best is None or len(rest) + 1 < len(best):
            best = ((sizes[0], *more), *rest)
    assert best is not None, "nothing more is a filling too"
    return best


def _fillings(sizes: Sizes, room: int) -> tuple[Sizes, ...]:
    """Every choice of sizes that fits beside another, the fullest first."""
    found: list[Sizes] = [()]
    for size, count in sorted(Counter(sizes).items(), reverse=True):
        found = [
            (*chosen, *[size] * more)
            for chosen in found
            for more in range(min(count, (room - sum(chosen)) // size), -1, -1)
        ]
    return tuple(sorted(found, key=lambda chosen: (-sum(chosen), chosen)))


def _without(sizes: Sizes, taken: Sizes) -> Sizes:
    left = Counter(sizes) - Counter(taken)
    return tuple(sorted(left.elements(), reverse=True))
