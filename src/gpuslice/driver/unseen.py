"""Saying what of a GPU could not be read, and what is seen in its place.

A user without privilege may know everything about a card but what lies on it. What is out of sight
must not look as if it were not there, so it is said, and never guessed.
"""

from __future__ import annotations

from collections import Counter

from gpuslice.driver.calls import Device, NvmlCalls
from gpuslice.driver.compute import GONE
from gpuslice.driver.processes import mig_handles
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Sight, Unseen


def hidden_slices(nvml: NvmlCalls, device: Device) -> Unseen:
    """Say that a GPU's slices are out of sight, and which MIG devices the caller may see."""
    names = Counter(_mig_names(nvml, device))
    seen = ", ".join(f"{count} × {name}" for name, count in sorted(names.items()))
    return Unseen(
        what=Sight.SLICES,
        text="its slices could not be listed: that needs root, or access to "
        f"/proc/driver/nvidia/capabilities/mig/monitor; MIG devices in sight: {seen or 'none'}",
    )


def unseen_of(memory_mib: int, geometry: Geometry | None) -> tuple[Unseen, ...]:
    """Say what is missing from what was read of a GPU.

    Args:
        memory_mib: Its memory, MiB; 0 where nobody told.
        geometry: Its profiles, where it has MIG.
    """
    found: list[Unseen] = []
    if memory_mib == 0:
        text = "its memory could not be read: with MIG on, that needs root"
        found.append(Unseen(what=Sight.MEMORY, text=text))
    profiles = geometry.profiles if geometry else ()
    hidden = [profile.name for profile in profiles if not profile.placements]
    if hidden:
        text = (
            f"where {', '.join(hidden)} may lie could not be read, and this board is not in the "
            "table; switch MIG mode on, or run it as root"
        )
        found.append(Unseen(what=Sight.PLACEMENTS, text=text))
    return tuple(found)


def _mig_names(nvml: NvmlCalls, device: Device) -> list[str]:
    """Name the MIG devices in sight by profile: ``NVIDIA A100 MIG 1g.10gb`` is ``1g.10gb``."""
    names: list[str] = []
    for _, handle in mig_handles(nvml, device):
        answer = nvml.attempt(
            "nvmlDeviceGetName", handle,
            to="read the name of a MIG device", expect=(*GONE, NvmlCode.NO_PERMISSION),
        )  # fmt: skip
        if answer.ok:
            names.append(answer.value.rpartition("MIG ")[2])
    return names
