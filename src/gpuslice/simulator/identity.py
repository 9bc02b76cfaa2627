"""Numbers and names of instances as the driver derives them: GI ids, GR engines, MIG UUIDs.

Arithmetic, apart from the state, because all of it is taken over from NVIDIA's open kernel
modules and can be checked against recorded listings.

A GPU instance id is a node of a binary tree over the *physical* memory slices: the whole is 0, the
halves 1 and 2, the quarters 3 to 6, the eighths 7 to 14. Which physical half a board shows as its
logical lower half depends on the chip; on a mirrored board the two are exchanged.

Sources: open-gpu-kernel-modules, ``kernel_mig_manager.c`` (swizz ids) and ``gpu_uuid.c``.
"""

from __future__ import annotations

import hashlib
import os
import struct

from gpuslice.model.geometry import Placement

_NAMESPACE = bytes.fromhex("c816c9a3522456bf9d9aac7ea703fb5b")


def physical_start(placement: Placement, *, grid: int, mirrored: bool) -> int:
    """Return the physical memory slice where a logical placement begins."""
    if not mirrored or placement.size == grid:
        return placement.start
    return (placement.start + grid // 2) % grid


def gpu_instance_id(placement: Placement, *, grid: int, mirrored: bool) -> int:
    """Return the id a GPU instance at a placement has.

    Args:
        placement: Logical placement; its size divides the grid.
        grid: Memory slices of the board (8, 4 or 12).
        mirrored: True where the board's halves are exchanged.
    """
    nodes_of_this_size = grid // placement.size
    node = physical_start(placement, grid=grid, mirrored=mirrored) // placement.size
    return nodes_of_this_size - 1 + node


def mig_uuid(*, chip_id: int, pdi: int, gpu_instance: int, engine: int) -> str:
    """Derive the UUID of a MIG device.

    It says where the device is, not when it was made: the next instance at the same place has the
    same UUID, whatever its profile.

    Args:
        chip_id: Architecture and implementation of the die, 16 bits.
        pdi: Per-device identifier, 64 bits.
        gpu_instance: GPU instance id.
        engine: First physical graphics engine of the compute instance.
    """
    message = b"".join(
        (
            _NAMESPACE,
            b"NVIDIA GPU",
            b"\x02" + struct.pack("<H", chip_id),
            b"\x08" + struct.pack("<Q", pdi),
            b"\x0bSMC" + struct.pack("<II", gpu_instance, engine),
        )
    )
    digest = hashlib.sha1(message, usedforsecurity=False).digest()
    return f"MIG-{_uuid_text(digest[:16], version=5)}"


def random_uuid() -> str:
    """Return a random UUID (version 4)."""
    return _uuid_text(os.urandom(16), version=4)


def _uuid_text(data: bytes, *, version: int) -> str:
    """Write 16 bytes as a UUID; the module ``uuid`` would be the slowest import of the house."""
    marked = bytearray(data)
    marked[6] = marked[6] & 0x0F | version << 4
    marked[8] = marked[8] & 0x3F | 0x80
    text = marked.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
