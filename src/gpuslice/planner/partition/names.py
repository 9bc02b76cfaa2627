"""From a name in a layout file to a device of one GPU.

Separate because a name means nothing by itself: the same profile has another id on another board,
and another name under another driver. ``7g.80gb`` and ``7g.79gb`` are one thing: the gigabytes in
a name are rounded eighths of the board's memory, and boards and drivers differ in what they round.
So a name is looked up among the profiles of the GPU it is meant for: as it is written, then by the
driver's own rule for names, then by the nearest size within a fortieth.

Source: NVIDIA/go-nvlib, ``mig_profile.go`` (the rule); mig-parted issue 351 (one profile, two
names) and issue 157 (one name, two ids).
"""

from __future__ import annotations

import difflib
import math
import re

from gpuslice.errors import MigUnsupportedError, UnknownProfileError
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu
from gpuslice.planner.partition.wish import Device

_NAME = re.compile(r"(?:(\d+)c\.)?(\d+)g\.(\d+)gb(.*)")
_TOLERANCE = 40  # names of one profile under two drivers differ by at most one part in so many


def device_named(name: str, gpu: Gpu) -> Device:
    """Say which device of a GPU a name means.

    Args:
        name: Such as ``3g.40gb``, ``1g.10gb+me`` or ``1c.3g.40gb``.
        gpu: The GPU it is meant for.

    Raises:
        MigUnsupportedError: The GPU has no MIG.
        UnknownProfileError: The GPU has nothing of that name; lists what it has.
    """
    if gpu.geometry is None:
        raise MigUnsupportedError(
            f"GPU {gpu.index} ({gpu.name}) has no MIG, so no {name}.", hint="Leave that GPU out."
        )
    found = _NAME.fullmatch(name)
    profile = _profile(name, gpu)
    if found is None or profile is None:
        raise _unknown(name, gpu)
    size = int(found[1] or profile.compute_slices)
    if size == profile.compute_slices:
        return Device(profile.name)
    if size not in (sizes := part_sizes(profile)):
        there = ", ".join(f"{one}c.{profile.name}" for one in sizes) or "none"
        raise UnknownProfileError(
            f"GPU {gpu.index}: there is no {name}.",
            hint=f"Compute instances smaller than a {profile.name}: {there}.",
        )
    return Device(profile.name, size)


def part_sizes(profile: Profile) -> tuple[int, ...]:
    """Say how many compute slices a compute instance may have that does not fill its slice.

    Source: every row of ``nvidia-smi mig -lcip`` seen: 1, 2, 3 and 4, and no 3 in an instance of 4.
    """
    slices = profile.compute_slices
    return tuple(n for n in (1, 2, 3, 4) if n < slices and (n, slices) != (3, 4))


def label(profile: Profile, board_mib: int) -> str:
    """Name a profile by the driver's rule, from its memory and that of the board.

    Args:
        profile: The profile.
        board_mib: Memory of the whole board, MiB; more than 0.
    """
    eighths = math.ceil(8 * profile.memory_mib / board_mib)
    gb = math.floor(eighths / 8 * math.ceil(board_mib / 1024) + 0.5)  # half up, as Go rounds
    return f"{profile.compute_slices}g.{gb}gb{profile.attributes}"


def _profile(name: str, gpu: Gpu) -> Profile | None:
    assert gpu.geometry is not None, "the caller has asked"
    wanted = name.partition(".")[2] if re.match(r"\d+c\.", name) else name
    if (known := gpu.geometry.named(wanted)) is not None:
        return known
    profiles = gpu.geometry.profiles
    by_rule = [p for p in profiles if gpu.memory_mib and label(p, gpu.memory_mib) == wanted]
    near = by_rule or [p for p in profiles if _is_near(p.name, wanted)]
    return near[0] if len(near) == 1 else None


def _is_near(known: str, wanted: str) -> bool:
    """Tell whether two names have the same compute slices and attributes, and about one size."""
    one, other = _NAME.fullmatch(known), _NAME.fullmatch(wanted)
    if one is None or other is None or (one[2], one[4]) != (other[2], other[4]):
        return False
    return abs(int(one[3]) - int(other[3])) <= max(1, int(one[3]) // _TOLERANCE)


def _unknown(name: str, gpu: Gpu) -> UnknownProfileError:
    assert gpu.geometry is not None, "the caller has asked"
    offered = [profile.name for profile in gpu.geometry.profiles]
    close = difflib.get_close_matches(name, offered, n=1)
    return UnknownProfileError(
        f"GPU {gpu.index} ({gpu.name}) has no {name}.",
        hint=f"Did you mean {close[0]}?" if close else "Take a name from those listed.",
        details=(f"it has: {', '.join(offered)}",),
    )
