"""Profiles, placements and what may lie beside what: the geometry of one MIG-capable GPU.

Everything here is derived from the placements that NVML (or the board table) gives, so a board
nobody has seen yet needs no code. Terms are NVIDIA's: a *profile* is a kind of GPU instance, a
*placement* is the run of memory slices one instance occupies.

Source: NVIDIA MIG User Guide, "Partitioning" and "Device nodes"; nvml.h, MIG chapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Placement:
    """A run of memory slices: ``[start, start + size)``.

    Attributes:
        start: First memory slice, counted from 0.
        size: Number of memory slices.
    """

    start: int
    size: int

    @property
    def end(self) -> int:
        """First memory slice behind the run."""
        return self.start + self.size

    def overlaps(self, other: Placement) -> bool:
        """Tell whether the two runs share a memory slice."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{self.start}:{self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A kind of GPU instance, as one GPU offers it.

    ``id`` and ``nvml_enum`` mean different hardware on different boards: compare names and sizes.

    Attributes:
        name: ``2g.20gb``, ``1g.10gb+me`` …, without NVML's prefix ``MIG``.
        id: Profile id, what NVML's create and placement calls take.
        nvml_enum: ``NVML_GPU_INSTANCE_PROFILE_*``, only ever used to ask for the profile.
        compute_slices: Compute slices (the N of ``Ng``).
        memory_mib: Memory a server on it sees, MiB.
        sm_count: Streaming multiprocessors.
        max_instances: How many fit on an empty GPU.
        placements: Every legal placement, whatever is occupied, by start.
        copy_engines: Copy engines.
        decoders: Video decoders.
        encoders: Video encoders.
        jpeg_engines: JPEG engines.
        ofa_engines: Optical flow engines.
    """

    name: str
    id: int
    nvml_enum: int
    compute_slices: int
    memory_mib: int
    sm_count: int
    max_instances: int
    placements: tuple[Placement, ...]
    copy_engines: int = 0
    decoders: int = 0
    encoders: int = 0
    jpeg_engines: int = 0
    ofa_engines: int = 0

    @property
    def base_name(self) -> str:
        """The name without its attributes: ``1g.10gb`` for ``1g.10gb+me``."""
        return self.name.partition("+")[0].removesuffix("-me")

    @property
    def attributes(self) -> str:
        """What follows the base name: ``""``, ``+me``, ``+me.all``, ``-me`` or ``+gfx``."""
        return self.name[len(self.base_name) :]

    @property
    def memory_slices(self) -> int:
        """Memory slices one instance occupies."""
        return self.placements[0].size if self.placements else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Every profile one GPU offers, and the rules for laying them side by side.

    Attributes:
        profiles: By memory slices, then compute slices, then name.
    """

    profiles: tuple[Profile, ...]

    @property
    def memory_slices(self) -> int:
        """Length of the grid that placements refer to (8 on A100, 4 on A30, 12 on RTX PRO 6000)."""
        return max((p.end for profile in self.profiles for p in profile.placements), default=0)

    @property
    def compute_slices(self) -> int:
        """Compute slices of the whole GPU: those of its largest profile."""
        return max((profile.compute_slices for profile in self.profiles), default=0)

    def named(self, name: str) -> Profile | None:
        """Return the profile of that name, or None."""
        return next((p for p in self.profiles if p.name == name), None)

    def with_id(self, profile_id: int) -> Profile | None:
        """Return the profile of that id on this GPU, or None."""
        return next((p for p in self.profiles if p.id == profile_id), None)

    def allows(self, occupied: Sequence[tuple[str, Placement]], name: str, at: Placement) -> bool:
        """Tell whether one more instance may lie at a placement.

        Args:
            occupied: What lies there already, as (profile name, placement). Names this GPU does not
                offer still occupy their memory slices.
            name: Profile of the new instance.
            at: Where it is to lie.

        Returns:
            True when the placement is one of the profile's, touches nothing occupied, and neither
            the profile's own limit nor the media-engine rule is broken.
        """
        profile = self.named(name)
        if profile is None or at not in profile.placements:
            return False
        if any(at.overlaps(placement) for _, placement in occupied):
            return False
        others = [other for other, _ in occupied]
        if others.count(name) >= profile.max_instances:
            return False
        return all(_media_compatible(name, other) for other in others)

    def free(self, occupied: Sequence[tuple[str, Placement]], profile: Profile) -> int:
        """Count how many more instances of a profile still fit beside what is occupied.

        This is what NVML calls the remaining capacity: disjoint placements that are still open,
        bounded by the profile's limit.
        """
        lying = list(occupied)
        count = 0
        for at in sorted(profile.placements, key=lambda p: p.end):
            if self.allows(lying, profile.name, at):
                lying.append((profile.name, at))
                count += 1
        return count


def sort_profiles(profiles: Iterable[Profile]) -> tuple[Profile, ...]:
    """Order profiles as people read them: by memory slices, compute slices, name."""
    return tuple(sorted(profiles, key=lambda p: (p.memory_slices, p.compute_slices, p.name)))


def _media_compatible(one: str, other: str) -> bool:
    """Apply the media-engine rule: one ``+me`` per GPU; ``+me.all`` lies beside ``-me`` only.

    Source: nvml.h, comments at NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1 and …_ALL_ME.
    """
    if one.endswith("+me") and other.endswith("+me"):
        return False
    for first, second in ((one, other), (other, one)):
        if first.endswith("+me.all") and not second.endswith("-me"):
            return False
    return True
