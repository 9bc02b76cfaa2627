"""What keeps one more slice off a GPU, in words.

Separate from the reasons for replicas (`gpuslice.planner.explain`), which choose the GPUs to tell
of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpuslice.model.geometry import Geometry, Placement, Profile

Lying = tuple[str, Placement]
"""A slice by profile name and placement."""


def has_room(geometry: Geometry, lying: Sequence[Lying], profile: Profile) -> bool:
    """Tell whether one more instance of a profile fits beside what lies there."""
    return any(geometry.allows(lying, profile.name, at) for at in profile.placements)


def obstacle(geometry: Geometry, lying: Sequence[Lying], profile: Profile) -> str:
    """Name the rule that keeps one more instance of a profile off a GPU.

    Args:
        geometry: What the GPU offers.
        lying: What lies there.
        profile: A profile of which no further instance fits.
    """
    free = _free(geometry, lying)
    if not free:
        return f"all {geometry.memory_slices} memory slices are taken"
    if all(any(at.overlaps(place) for _, place in lying) for at in profile.placements):
        return _no_place(geometry, lying, profile, free)
    if sum(name == profile.name for name, _ in lying) >= profile.max_instances:
        return f"a GPU holds at most {profile.max_instances} of them"
    return "its media engines are given to another slice"


def run(placement: Placement) -> str:
    """Write a placement as the memory slices it covers: ``0-3``, or ``6``."""
    last = placement.end - 1
    return f"{placement.start}-{last}" if last > placement.start else str(placement.start)


def _no_place(
    geometry: Geometry, lying: Sequence[Lying], profile: Profile, free: Iterable[int]
) -> str:
    """Say that memory slices are free, but not where the profile can lie."""
    named = (geometry.named(name) for name, _ in lying)
    given = sum(found.compute_slices for found in named if found is not None)
    if given + profile.compute_slices > geometry.compute_slices:
        return f"{given} of {geometry.compute_slices} compute slices are given"
    places = ", ".join(run(at) for at in profile.placements)
    return f"free are memory slices {', '.join(map(str, free))}, but it can only lie at {places}"


def _free(geometry: Geometry, lying: Sequence[Lying]) -> tuple[int, ...]:
    """List the memory slices on which nothing lies."""
    cells = (Placement(number, 1) for number in range(geometry.memory_slices))
    return tuple(c.start for c in cells if not any(at.overlaps(c) for _, at in lying))
