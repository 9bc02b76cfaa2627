"""Where slices lie beside others: every way is looked at, and the one that leaves most room taken.

Separate from what stays and what goes. A GPU has a handful of slices and at most twelve memory
slices, so the ways are walked one by one; equal profiles take their placements in rising order, so
that no layout is met twice.

*Most room*: of two layouts, the one beside which more of the largest profile still fit; where that
is equal, more of the next largest, and so on; then the one with the lower starts. NVIDIA's driver
chooses its own default placements by the same thought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.planner.partition.parts import Instance

Lying = tuple[tuple[str, Placement], ...]
"""What lies on a GPU, in the form `Geometry.allows` takes."""

Placed = tuple[tuple[Instance, Placement], ...]


def place_all(
    geometry: Geometry, lying: Lying, wanted: Sequence[Instance]
) -> tuple[Placed, tuple[int, ...]] | None:
    """Place slices beside others so that most room is left.

    Args:
        geometry: The GPU's.
        lying: What lies there and stays.
        wanted: What comes; every profile is one of the geometry's.

    Returns:
        Each slice with its placement, by placement, and the room that is left (more is better);
        None where they do not fit. Equal arguments give an equal answer.
    """
    if not _could_fit(geometry, lying, wanted):
        return None
    counts = Counter(instance.profile for instance in wanted)
    profiles = [_named(geometry, name) for name in counts]
    profiles.sort(key=lambda p: (-p.memory_slices, -p.compute_slices, p.name))
    best: tuple[tuple[int, ...], Lying] | None = None
    for layout in _layouts(geometry, lying, [(p, counts[p.name]) for p in profiles]):
        left = room(geometry, (*lying, *layout))
        if best is None or left > best[0]:
            best = (left, layout)
    if best is None:
        return None
    return _dealt(best[1], wanted), best[0]


def room(geometry: Geometry, lying: Lying) -> tuple[int, ...]:
    """Weigh what is left beside what lies there: how many still fit of each plain profile."""
    plain = [profile for profile in geometry.profiles if not profile.attributes]
    plain.sort(key=lambda p: (-p.memory_slices, -p.compute_slices))
    return tuple(geometry.free(lying, profile) for profile in plain)


def largest_part(geometry: Geometry, wanted: Sequence[Instance]) -> tuple[Instance, ...]:
    """Find the most of some slices that fit on an empty GPU: in number, then in memory slices."""
    counts = Counter(wanted)
    most = {i: min(n, _named(geometry, i.profile).max_instances) for i, n in counts.items()}
    kinds = sorted(most)
    choices = [
        tuple(i for i, n in zip(kinds, numbers, strict=True) for _ in range(n))
        for numbers in product(*(range(most[kind] + 1) for kind in kinds))
    ]
    choices = [some for some in choices if _could_fit(geometry, (), some)]
    choices.sort(key=lambda some: (-len(some), -memory_slices(geometry, some), some))
    return next(some for some in choices if place_all(geometry, (), some) is not None)


def memory_slices(geometry: Geometry, wanted: Sequence[Instance]) -> int:
    """Add up the memory slices of some slices."""
    return sum(_named(geometry, instance.profile).memory_slices for instance in wanted)


def _could_fit(geometry: Geometry, lying: Lying, wanted: Sequence[Instance]) -> bool:
    """Rule out at once what is too much, so that the walk stays short."""
    taken = sum(placement.size for _, placement in lying)
    return taken + memory_slices(geometry, wanted) <= geometry.memory_slices


def _layouts(
    geometry: Geometry, lying: Lying, todo: Sequence[tuple[Profile, int]]
) -> Iterator[Lying]:
    """Walk every way to lay so many of each profile beside what lies there."""
    if not todo:
        yield ()
        return
    (profile, count), *later = todo
    for placements in _runs(geometry, lying, profile, count, -1):
        laid = tuple((profile.name, at) for at in placements)
        for more in _layouts(geometry, (*lying, *laid), later):
            yield (*laid, *more)


def _runs(
    geometry: Geometry, lying: Lying, profile: Profile, count: int, after: int
) -> Iterator[tuple[Placement, ...]]:
    """Walk every choice of placements for so many of one profile, in rising order."""
    if not count:
        yield ()
        return
    for at in profile.placements:
        if at.start > after and geometry.allows(lying, profile.name, at):
            beside = (*lying, (profile.name, at))
            for more in _runs(geometry, beside, profile, count - 1, at.start):
                yield (at, *more)


def _dealt(layout: Lying, wanted: Sequence[Instance]) -> Placed:
    """Give each slice one of its profile's placements: the largest parts the lowest start."""
    waiting = sorted(wanted, key=lambda i: (i.profile, i.parts), reverse=True)
    dealt = []
    for name, at in sorted(layout, key=lambda laid: laid[1]):
        instance = next(i for i in waiting if i.profile == name)
        waiting.remove(instance)
        dealt.append((instance, at))
    return tuple(dealt)


def _named(geometry: Geometry, name: str) -> Profile:
    profile = geometry.named(name)
    assert profile is not None, "names were looked up on this GPU"
    return profile
