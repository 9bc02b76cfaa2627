"""Filling a GPU instance: with one compute instance, or with several that share its memory.

Where a driver lets the caller say where each goes, it is said; nothing then depends on the order
in which a driver likes to fill. An older driver chooses, and what it chose is read back.

Source: nvml.h, ``nvmlGpuInstanceCreateComputeInstanceWithPlacement``; NVIDIA MIG User Guide,
"Compute instances".
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref

from gpuslice.driver.calls import NvmlCalls
from gpuslice.driver.compute import (
    ComputeProfile,
    GpuInstance,
    list_compute_profiles,
    read_compute_placements,
)
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import DriverError
from gpuslice.model.geometry import Placement, Profile
from gpuslice.model.gpu import SlicePart

_PLACED = "nvmlGpuInstanceCreateComputeInstanceWithPlacement"
_UNPLACED = "nvmlGpuInstanceCreateComputeInstance"


def wanted_parts(profile: Profile, parts: Sequence[int]) -> tuple[int, ...]:
    """Say which parts a slice is to have: none where one compute instance fills it.

    Raises:
        DriverError: No GPU instance of that profile holds them.
    """
    if not parts or tuple(parts) == (profile.compute_slices,):
        return ()
    if min(parts) < 1 or sum(parts) > profile.compute_slices:
        raise DriverError(
            f"{profile.name} cannot be cut into {_in_words(parts)}: it has "
            f"{profile.compute_slices} compute slices.",
            hint="Ask for parts of at least one slice each that add up to no more than that.",
        )
    return tuple(parts)


def fill(
    nvml: NvmlCalls, instance: GpuInstance, profile: Profile, parts: tuple[int, ...]
) -> tuple[Placement, ...] | None:
    """Create the compute instances of a GPU instance, in order.

    Args:
        nvml: The calls.
        instance: The GPU instance; empty.
        profile: Its profile.
        parts: What `wanted_parts` says.

    Returns:
        Where each part lies, in order; None where the driver chose, and for one that fills.

    Raises:
        DriverError: The GPU instance does not offer such compute instances, or has no room.
    """
    offered = list_compute_profiles(nvml, instance)
    sizes = parts or (profile.compute_slices,)
    kinds = [_of_size(offered, size, instance, profile) for size in sizes]
    seats = _seats(nvml, instance, profile, kinds) if parts else None
    for number, kind in enumerate(kinds):
        to = f"fill GPU instance {instance.id} ({profile.name}) with a compute instance"
        if parts:
            to = f"{to} of {kind.compute_slices} slices, {number + 1} of {len(parts)}"
        at = seats[number] if seats else None
        if not _create(nvml, instance, kind, at, to=to):
            seats = None
    return seats


def _of_size(
    offered: Sequence[ComputeProfile], size: int, instance: GpuInstance, profile: Profile
) -> ComputeProfile:
    """Find the kind of compute instance with so many slices; of several, that with most SMs."""
    fitting = [kind for kind in offered if kind.compute_slices == size]
    if fitting:
        return max(fitting, key=lambda kind: kind.sm_count)
    what = "fills" if size == profile.compute_slices else f"of {size} slices is offered by"
    sizes = sorted({kind.compute_slices for kind in offered})
    raise DriverError(
        f"No compute instance {what} GPU instance {instance.id} ({profile.name}): it offers "
        f"{sizes} slices, {size} are needed.",
        hint="Update the NVIDIA driver, or choose another profile.",
    )


def _create(
    nvml: NvmlCalls, instance: GpuInstance, kind: ComputeProfile, at: Placement | None, *, to: str
) -> bool:
    """Create one compute instance; False where the driver chose the place."""
    if at is not None:
        place = nvml.module.c_nvmlComputeInstancePlacement_t(start=at.start, size=at.size)
        # By reference, as for GPU instances.
        answer = nvml.attempt(
            _PLACED, instance.handle, kind.id, byref(place),
            to=to, expect=(NvmlCode.FUNCTION_NOT_FOUND,),
        )  # fmt: skip
        if answer.ok:
            return True
    nvml.call(_UNPLACED, instance.handle, kind.id, to=to)
    return False


def _seats(
    nvml: NvmlCalls, instance: GpuInstance, profile: Profile, kinds: Sequence[ComputeProfile]
) -> tuple[Placement, ...] | None:
    """Choose where each part goes, or None where the driver does not tell what is legal."""
    legal = {kind.id: read_compute_placements(nvml, instance, kind) for kind in kinds}
    choices = [legal[kind.id] for kind in kinds]
    told = [places for places in choices if places is not None]
    if len(told) < len(choices):
        return None
    seats = seat(told)
    if seats is None:
        sizes = [kind.compute_slices for kind in kinds]
        raise DriverError(
            f"GPU instance {instance.id} ({profile.name}) has no room for {_in_words(sizes)} side "
            "by side.",
            hint="Ask for other parts; sizes of 3 and more have few places.",
        )
    return seats


def seat(choices: Sequence[Sequence[Placement]]) -> tuple[Placement, ...] | None:
    """Give each its first place that leaves the others one; None where they do not fit together.

    Args:
        choices: For each, where it may lie, the place liked best first.
    """
    if not choices:
        return ()
    first, *others = choices
    for place in first:
        left = [[p for p in places if not p.overlaps(place)] for places in others]
        seats = seat(left) if all(left) else None
        if seats is not None:
            return (place, *seats)
    return None


def differs(
    found: Sequence[SlicePart], parts: tuple[int, ...], seats: tuple[Placement, ...] | None
) -> bool:
    """Tell whether what was read back is not what was asked for.

    Args:
        found: The parts as read.
        parts: What was asked for.
        seats: Where each was asked to lie, or None where the driver chose.
    """
    if seats is None:
        return sorted(parts) != sorted(part.compute_slices for part in found)
    asked = sorted((at.start, size) for at, size in zip(seats, parts, strict=True))
    return asked != sorted((part.start, part.compute_slices) for part in found)


def _in_words(parts: Sequence[int]) -> str:
    return " + ".join(f"{size}c" for size in parts)
