"""The least change of one GPU: what stays, what goes, what comes.

*Model.* A GPU has at most a dozen slices. Every set of them that could stay is tried, best first,
until one can be completed: the slices that stay have no device that is not wanted, and what is
still wanted finds room beside them. What stays is never moved, since a slice cannot be.

*Best* means, in this order: most slices of the running stack stay (nothing here may destroy one);
most slices stay at all; most of those that a process holds; most of those of somebody else. Of
sets that are equal in all that, the one that leaves most room on the GPU is taken, and then the
one whose slices come first.

*Why it is right.* Sets are tried in the order of that rank, and within a rank all of them are, so
no set of a better rank can be completed. With seven slices there are 128 sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from gpuslice.errors import NoRoomError
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import PlannedSlice
from gpuslice.planner.partition.parts import Instance, held_alone, instances_for
from gpuslice.planner.partition.placing import (
    Lying,
    Placed,
    largest_part,
    memory_slices,
    place_all,
)
from gpuslice.planner.partition.wish import Claims, Device, counted, devices_of

_Kept = tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What happens to the slices of one GPU.

    Attributes:
        keep: Slices that stay, by placement.
        destroy: Slices that go, by placement.
        create: Slices that come, by placement.
    """

    keep: tuple[Slice, ...]
    destroy: tuple[Slice, ...]
    create: tuple[PlannedSlice, ...]


def settle(gpu: Gpu, wanted: Counter[Device], claims: Claims) -> Settled:
    """Find the least change that leaves a GPU with exactly these devices.

    Args:
        gpu: The GPU as it is; it has MIG.
        wanted: The devices, by the names that this GPU has for them.
        claims: Whose its slices are.

    Raises:
        NoRoomError: No GPU of this kind holds them side by side; says why, and what would fit.
    """
    geometry = _geometry(gpu)
    check_possible(gpu, wanted)
    for _, same in groupby(_keepable(gpu, wanted, claims), key=lambda kept: _rank(kept, claims)):
        completed = [
            (found[1], kept, found[0])
            for kept in same
            if (found := complete(geometry, kept, wanted)) is not None
        ]
        if completed:
            _, kept, placed = max(completed, key=lambda one: one[0])
            return settled(gpu, kept, placed)
    raise AssertionError("an empty GPU holds them, and keeping nothing empties it")


def complete(
    geometry: Geometry, kept: Sequence[Slice], wanted: Counter[Device]
) -> tuple[Placed, tuple[int, ...]] | None:
    """Place what is still wanted beside what stays; None where it does not fit."""
    lying: Lying = tuple((s.profile, s.placement) for s in kept)
    rest = wanted - _devices(kept)
    if any(count > held_alone(device, geometry) for device, count in rest.items()):
        return None
    return place_all(geometry, lying, instances_for(rest, geometry))


def settled(gpu: Gpu, kept: Sequence[Slice], placed: Placed) -> Settled:
    """Say what happens to a GPU's slices, from what stays and what comes."""
    geometry = _geometry(gpu)
    create = []
    for instance, placement in placed:
        profile = geometry.named(instance.profile)
        assert profile is not None, "names were looked up on this GPU"
        create.append(
            PlannedSlice(
                gpu_uuid=gpu.uuid,
                placement=placement,
                profile=profile.name,
                profile_id=profile.id,
                memory_mib=profile.memory_mib,
                parts=instance.parts,
            )
        )
    return Settled(
        keep=tuple(s for s in _by_place(gpu) if s in kept),
        destroy=tuple(s for s in _by_place(gpu) if s not in kept),
        create=tuple(sorted(create, key=lambda new: new.placement)),
    )


def check_possible(gpu: Gpu, wanted: Counter[Device]) -> None:
    """Refuse what no GPU of this kind holds, whatever lies there now.

    Raises:
        NoRoomError: Says why, and what the most of it is that would fit.
    """
    geometry = _geometry(gpu)
    most = {device: held_alone(device, geometry) for device in wanted}
    held = Counter({device: min(count, most[device]) for device, count in wanted.items()})
    instances = instances_for(held, geometry)
    if held == wanted and place_all(geometry, (), instances) is not None:
        return
    fits = largest_part(geometry, instances)
    raise NoRoomError(
        f"GPU {gpu.index} ({gpu.name}) cannot hold {counted(wanted.elements())}: "
        f"{_reason(geometry, wanted, most, instances)}.",
        hint=f"The most of it that fits: {_listed(fits)}.",
    )


def _reason(
    geometry: Geometry,
    wanted: Counter[Device],
    most: dict[Device, int],
    instances: Sequence[Instance],
) -> str:
    """Say why slices do not lie side by side."""
    for device, count in sorted(wanted.items()):
        if count > most[device]:
            return f"of {device} it holds {most[device]} at most"
    needed, there = memory_slices(geometry, instances), geometry.memory_slices
    if needed > there:
        return f"together they take {needed} memory slices, and it has {there}"
    return "there are no placements at which they lie side by side"


def _listed(instances: Sequence[Instance]) -> str:
    found = sorted(Counter(map(str, instances)).items())
    return ", ".join(f"{count} × {name}" for name, count in found) or "nothing"


def _keepable(gpu: Gpu, wanted: Counter[Device], claims: Claims) -> list[_Kept]:
    """List every set of slices that could stay, the best first."""
    alone = [s for s in _by_place(gpu) if _has_only(s, wanted)]
    sets = [
        kept
        for count in range(len(alone), -1, -1)
        for kept in combinations(alone, count)
        if _devices(kept) <= wanted
    ]
    return sorted(sets, key=lambda kept: _rank(kept, claims), reverse=True)


def _rank(kept: _Kept, claims: Claims) -> tuple[int, int, int, int]:
    keys = [slice_.key for slice_ in kept]
    return (
        sum(key in claims.running for key in keys),
        len(keys),
        sum(key in claims.in_use for key in keys),
        sum(key not in claims.ours for key in keys),
    )


def _has_only(slice_: Slice, wanted: Counter[Device]) -> bool:
    """Tell whether a slice is whole and has no device that is not wanted."""
    return bool(found := devices_of(slice_)) and found <= wanted


def _devices(slices: Sequence[Slice]) -> Counter[Device]:
    return sum((devices_of(slice_) for slice_ in slices), start=Counter())


def _by_place(gpu: Gpu) -> Iterator[Slice]:
    return iter(sorted(gpu.slices, key=lambda s: (s.placement, s.gpu_instance_id)))


def _geometry(gpu: Gpu) -> Geometry:
    assert gpu.geometry is not None, "only GPUs with MIG are settled"
    return gpu.geometry
