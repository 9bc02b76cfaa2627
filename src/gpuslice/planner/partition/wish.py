"""What is wanted on each GPU, and who has a claim to the slices that are there.

Separate from the planner of stacks, which is asked for places for replicas: here somebody says
what a GPU is to look like, and no server is thought of. Values only.

A **device** is what a program sees: a slice, or one of several compute instances that share a
slice. Layout files count devices; a checkpoint knows every slice with its placement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice, SliceKey
from gpuslice.model.plan import PlannedSlice


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """A kind of device, as one GPU offers it.

    Attributes:
        profile: Profile of its slice.
        compute_slices: Compute slices of a compute instance that does not fill its slice; 0 for
            one that does.
    """

    profile: str
    compute_slices: int = 0

    def __str__(self) -> str:
        return f"{self.compute_slices}c.{self.profile}" if self.compute_slices else self.profile


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSlice:
    """A slice that is wanted at one place.

    Attributes:
        profile: Its profile.
        placement: Where it is to lie.
        parts: Compute slices of each of its compute instances; empty for one that fills it.
    """

    profile: str
    placement: Placement
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuWish:
    """What one GPU is to look like.

    Attributes:
        gpu_uuid: The GPU.
        mig_on: Whether MIG mode is to be on; where it is off, there are no slices.
        devices: The devices, wherever they lie, in any order.
        placed: Where it is not None, every slice with its placement; ``devices`` is not read then.
    """

    gpu_uuid: str
    mig_on: bool
    devices: tuple[Device, ...] = ()
    placed: tuple[PlacedSlice, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Whose slices those that are there are.

    Attributes:
        running: Slices of the stack that runs.
        in_use: Slices that some process holds.
        ours: Every slice that gpuslice made; what is not ours is somebody else's.
    """

    running: frozenset[SliceKey] = frozenset()
    in_use: frozenset[SliceKey] = frozenset()
    ours: frozenset[SliceKey] = frozenset()


def devices_of(slice_: Slice | PlannedSlice) -> Counter[Device]:
    """Count the devices of a slice; a half-made one has none."""
    if isinstance(slice_, PlannedSlice):
        sizes = slice_.parts
    elif slice_.compute_instance_id is None:
        return Counter()
    else:
        sizes = tuple(part.compute_slices for part in slice_.parts)
    if not sizes:
        return Counter({Device(slice_.profile): 1})
    return Counter(Device(slice_.profile, size) for size in sizes)


def devices_on(gpu: Gpu) -> Counter[Device]:
    """Count the devices of a GPU."""
    return sum((devices_of(slice_) for slice_ in gpu.slices), start=Counter())


def is_as_wanted(slice_: Slice, wanted: PlacedSlice) -> bool:
    """Tell whether a slice is the one that is wanted at its place."""
    wished = Counter(wanted.parts)
    lying = Counter(part.compute_slices for part in slice_.parts)
    return (
        slice_.compute_instance_id is not None
        and (slice_.profile, slice_.placement) == (wanted.profile, wanted.placement)
        and wished == lying
    )


def mode_is(gpu: Gpu, *, on: bool) -> bool:
    """Tell whether MIG mode is on (or off) and stays so."""
    mode = gpu.mig
    return not on if mode is None else mode.current == on and mode.pending == on


def counted(devices: Iterable[Device]) -> str:
    """Write devices in words: ``2 × 1g.10gb, 1 × 3g.40gb``, or ``nothing``."""
    found = sorted(Counter(devices).items())
    return ", ".join(f"{count} × {device}" for device, count in found) or "nothing"
