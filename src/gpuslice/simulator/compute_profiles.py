"""Which compute instances a GPU instance can hold.

Separate from the board table because no table is needed: the rows follow from the slices of the
GPU instance by one rule, which reproduces every recorded ``nvidia-smi mig -lcip``.

* A compute instance has 1, 2, 3, 4 or 7 compute slices, or all of its GPU instance; 3 fit into
  instances of 3 and 7 only. Its profile id equals its NVML enum.
* From Hopper on, spans are aligned on boards with eight memory slices: 3 slices take 4 compute
  units, 7 take 8, and the double-memory 1g takes 2 and has profile 7.
* A part of an instance has as many SMs as that many 1g slices; one that fills it has them all.

Compute instances inside one GPU instance follow the rules of GPU instances on a board, so they are
given as a `Geometry`. Names in it say the slices only (``1c``); `compute_profile_name` completes
them.

Sources: facts from ``-lcip`` on A100 (all rows), H100 NVL and GH200 (profile 7, spans).
"""

from __future__ import annotations

from functools import cache

from gpuslice.hardware import Board, board
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Architecture

_IDS = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4}
_DOUBLE_MEMORY_ID = 7
_STRIDES = {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}
_ALIGNED_SPANS = {3: 4, 7: 8}
_ALIGNED_GRID = 8


@cache
def compute_geometry(board_key: str, profile_id: int) -> Geometry:
    """Return the compute instance profiles of one GPU instance profile, smallest first.

    Raises:
        KeyError: The board has no such profile.
    """
    known = board(board_key)
    profile = known.geometry.with_id(profile_id)
    if profile is None:
        raise KeyError(profile_id)
    sizes = [size for size in _IDS if _fits(size, profile.compute_slices)]
    return Geometry(profiles=tuple(_row(known, profile, size) for size in sizes))


def compute_profile_name(profile: Profile, compute: Profile) -> str:
    """Name a compute instance profile: ``1c.3g.20gb``, or as its GPU instance when it fills it.

    The one that fills a ``+me`` instance has the instance's base name: ``1g.5gb`` in ``1g.5gb+me``.
    """
    if compute.compute_slices == profile.compute_slices:
        return profile.base_name if profile.attributes == "+me" else profile.name
    return f"{compute.name}.{profile.name}"


def device_profile_name(profile: Profile, compute: Profile) -> str:
    """Name the profile of a MIG device; one that fills a ``+me`` instance is named ``+me``."""
    if compute.compute_slices == profile.compute_slices:
        return profile.name
    return compute_profile_name(profile, compute)


def _fits(size: int, compute_slices: int) -> bool:
    return size == compute_slices or (
        size < compute_slices and not (size == 3 and compute_slices == 4)
    )


def _row(known: Board, profile: Profile, size: int) -> Profile:
    full = size == profile.compute_slices
    aligned = (
        known.architecture is not Architecture.AMPERE
        and known.geometry.memory_slices == _ALIGNED_GRID
    )
    double = aligned and profile.compute_slices == 1 and profile.memory_slices == 2
    span = 2 if double else _ALIGNED_SPANS.get(size, size) if aligned else size
    starts = range(0, profile.compute_slices - size + 1, _STRIDES[size])
    number = _DOUBLE_MEMORY_ID if double else _IDS[size]
    return Profile(
        name=f"{size}c",
        id=number,
        nvml_enum=number,
        compute_slices=size,
        memory_mib=profile.memory_mib,
        sm_count=profile.sm_count if full else size * _sm_of_one_slice(known),
        max_instances=len(starts),
        placements=tuple(Placement(start, span) for start in starts),
        copy_engines=profile.copy_engines,
        decoders=profile.decoders,
        encoders=profile.encoders,
        jpeg_engines=profile.jpeg_engines,
        ofa_engines=profile.ofa_engines,
    )


def _sm_of_one_slice(known: Board) -> int:
    """SMs of the smallest profile; the double-memory 1g has more on some boards."""
    return known.geometry.profiles[0].sm_count
