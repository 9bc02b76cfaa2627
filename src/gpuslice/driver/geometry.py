"""Reading a GPU's profiles and placements out of NVML.

Numbers differ between boards and between drivers of one board, so on a real card geometry always
comes from here. Only placements that an old driver hides while MIG is off are taken from the board
table, where it knows the board.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import byref, c_uint
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from gpuslice.driver.calls import Answer, Device, NvmlCalls
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.geometry import Geometry, Placement, Profile, sort_profiles

# A driver ends the list with INVALID_ARGUMENT (at 17 on branch 580, at 18 on 615). The bound only
# keeps a driver that never does from being asked for ever.
LAST_ENUM = 64

# What the name says beyond its size, for drivers whose profile info has no name (nvml.h, comments
# at NVML_GPU_INSTANCE_PROFILE_*).
_ATTRIBUTES = {
    7: "+me", 8: "+me", 10: "+gfx", 11: "+gfx", 12: "+gfx", 13: "-me", 14: "-me",
    15: "+me.all", 16: "+me.all", 17: "+gfx",
}  # fmt: skip


# What a driver or a binding says that does not know a version of a structure (any more).
_OTHER_VERSION = (
    NvmlCode.FUNCTION_NOT_FOUND,
    NvmlCode.VERSION_MISMATCH,
    NvmlCode.DEPRECATED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileInfo:
    """One profile as NVML describes it: the enum it was asked by, and its structure."""

    nvml_enum: int
    info: Any


def read_geometry(
    nvml: NvmlCalls, device: Device, *, board_mib: int, known: Geometry | None = None
) -> Geometry:
    """Read every profile of a GPU with all its placements.

    Args:
        nvml: The calls.
        device: The GPU.
        board_mib: Memory of the board, MiB; names profiles where the driver does not.
        known: The board table's geometry, for placements the driver does not tell.

    Returns:
        The geometry. A profile whose placements nobody knows has none.
    """
    return Geometry(
        profiles=sort_profiles(
            _profile(nvml, device, found, board_mib=board_mib, known=known)
            for found in _read_profiles(nvml, device)
        )
    )


def _read_profiles(nvml: NvmlCalls, device: Device) -> Iterator[ProfileInfo]:
    """Ask for one profile after the other until the driver knows no further enum."""
    to = f"read the profiles of {device.label}"
    for nvml_enum in range(LAST_ENUM):
        answer = read_versioned(
            nvml, "nvmlDeviceGetGpuInstanceProfileInfo", device.handle, nvml_enum, to=to
        )
        if answer.code == NvmlCode.INVALID_ARGUMENT:
            # A handle that somebody's mode change has killed answers the same: it must not pass
            # for the end of the list.
            nvml.call("nvmlDeviceGetUUID", device.handle, to=to)
            return
        if answer.ok:
            yield ProfileInfo(nvml_enum=nvml_enum, info=answer.value)


def read_versioned(nvml: NvmlCalls, function: str, *arguments: object, to: str) -> Answer:
    """Ask for profile info in the newest version that driver and binding share.

    The binding's own default (version 2, with the name) comes first, because every driver of today
    knows it. Version 3 is for a driver that has dropped 2 one day; version 1 is for one that does
    not have 2 yet.

    Returns:
        The info; or NOT_SUPPORTED (no such profile here) or INVALID_ARGUMENT (no such enum).
    """
    absent = (NvmlCode.NOT_SUPPORTED, NvmlCode.INVALID_ARGUMENT)
    for version in ((), (3,)):
        answer = nvml.attempt(
            function, *arguments, *version, to=to, expect=(*absent, *_OTHER_VERSION)
        )
        if answer.code not in _OTHER_VERSION:
            return answer
    return nvml.attempt(function, *arguments, 1, to=to, expect=absent)


def _profile(
    nvml: NvmlCalls, device: Device, found: ProfileInfo, *, board_mib: int, known: Geometry | None
) -> Profile:
    info = found.info
    name = _name(found, board_mib)
    placements = read_placements(
        nvml,
        "nvmlDeviceGetGpuInstancePossiblePlacements",
        (device.handle, info.id),
        nvml.module.c_nvmlGpuInstancePlacement_t,
        to=f"read the placements of {name} on {device.label}",
    )
    if placements is None:
        alike = known.named(name) if known else None
        placements = alike.placements if alike else ()
    return Profile(
        name=name,
        id=info.id,
        nvml_enum=found.nvml_enum,
        compute_slices=info.sliceCount,
        memory_mib=info.memorySizeMB,
        sm_count=info.multiprocessorCount,
        max_instances=info.instanceCount,
        placements=placements,
        copy_engines=info.copyEngineCount,
        decoders=info.decoderCount,
        encoders=info.encoderCount,
        jpeg_engines=info.jpegCount,
        ofa_engines=info.ofaCount,
    )


def _name(found: ProfileInfo, board_mib: int) -> str:
    told: str = getattr(found.info, "name", "")
    if told:
        return told.removeprefix("MIG ")
    return profile_name(
        compute_slices=found.info.sliceCount,
        memory_mib=found.info.memorySizeMB,
        board_mib=board_mib,
        nvml_enum=found.nvml_enum,
    )


def profile_name(*, compute_slices: int, memory_mib: int, board_mib: int, nvml_enum: int) -> str:
    """Name a profile as NVIDIA does: its share of the board in eighths, in whole GiB.

    Source: NVIDIA/go-nvlib, ``mig_profile.go``.
    """
    eighths = ceil(8 * memory_mib / board_mib)
    gib = floor(eighths * ceil(board_mib / 1024) / 8 + 0.5)  # Go rounds halves up, Python to even
    return f"{compute_slices}g.{gib}gb{_ATTRIBUTES.get(nvml_enum, '')}"


def read_placements(
    nvml: NvmlCalls, function: str, of: tuple[object, ...], kind: Any, *, to: str
) -> tuple[Placement, ...] | None:
    """List legal placements, or None where the driver keeps them to itself.

    Older drivers do so while MIG is off (NOT_SUPPORTED) or lack the function, all of them without
    privilege.

    Args:
        nvml: The calls.
        function: The function that lists them.
        of: Its arguments before the list: whose placements.
        kind: The structure of one placement.
        to: What the call is for.
    """
    hidden = (NvmlCode.NOT_SUPPORTED, NvmlCode.NO_PERMISSION, NvmlCode.FUNCTION_NOT_FOUND)
    count = c_uint(0)
    answer = nvml.attempt(function, *of, None, byref(count), to=to, expect=hidden)
    if not answer.ok:
        return None
    if count.value == 0:
        return ()
    found = (kind * count.value)()
    nvml.call(function, *of, found, byref(count), to=to)
    return tuple(sorted(Placement(p.start, p.size) for p in found[: count.value]))
