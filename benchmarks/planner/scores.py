"""How published orders score a place for one slice, each on one GPU; smaller is better.

Separate from the loop that asks them (`benchmarks.planner.one_by_one`), because these are other
people's rules and have to be held against their sources:

- *DAS* is openshift/instaslice-operator, internal/controller/capacity.go at 1699e45: GPUs sorted by
  UUID, the first start in NVML's order that is free. Read and checked.
- *HAMi* is Project-HAMi/HAMi, pkg/device/nvidia/mig_topology.go as it stands after #2855: how many
  halves of the card stay empty; then whole halves belong in the half with fewer placements, and
  smaller slices in the other; then far from the middle; then the lowest start. A card on which a
  placement straddles the middle counts as one region. Read and checked. Which GPU is its policy
  ``binpack`` (pkg/scheduler/policy/gpu_policy.go at 0eec44e), of which only the share of memory is
  kept here; its default is ``spread``, which saves no GPUs.
- *FGD* is hkust-adsl/kubernetes-scheduler-simulator, pkg/utils/frag.go at 29a1e4c and
  pkg/simulator/plugin/fgd_score.go at 5b6b304: for each kind of request, weighted by how often it
  comes, all that is left of a GPU is lost if the request fits nowhere on it, and nothing if it
  does; the place that adds least is taken. Read and checked. Its GPUs have no placements, so "fits"
  means a legal placement here; the mix is that of the instance; its rounding to whole scores is
  left out.
- *MFI* is arXiv 2511.18906. Only its abstract could be read (a fragmentation metric, and the GPU
  and slices that add least to it). The metric here is from memory and **could not be checked**.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache

from benchmarks.planner.rooms import Building, Room

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry, Placement, Profile

Score = tuple[float, ...]
Rule = Callable[[Building, Room, str, Placement], Score]
"""Scores a place: the building, the room, the profile's name and the placement."""


def anywhere(_building: Building, _room: Room, _name: str, _at: Placement) -> Score:
    """Find all places equal: the first GPU and the lowest start win."""
    return ()


def fullest(building: Building, room: Room, name: str, at: Placement) -> Score:
    """Prefer GPUs in use, of these the fullest, and in it the place that keeps most places open."""
    after = building.after(room, name, at)
    return not room.lying, after.free / room.geometry.memory_slices, -_open_places(building, after)


def hami(_building: Building, room: Room, _name: str, at: Placement) -> Score:
    """Score as HAMi does, on its fullest GPU."""
    parts = regions(room.geometry)
    taken = [*(other for _, other in room.lying), at]
    empty = sum(not any(region.overlaps(other) for other in taken) for region in parts)
    share = room.free / room.geometry.memory_slices
    inside = [n for n, half in enumerate(parts) if half.start <= at.start and at.end <= half.end]
    if len(parts) < 2 or not inside:
        return share, -empty, 0, 0
    half = parts[inside[0]]
    mismatch = (at.size == half.size) != (inside[0] == poorer(room.geometry))
    distance = half.end - at.end if inside[0] == 0 else at.start - half.start
    return share, -empty, mismatch, -distance


@cache
def regions(geometry: Geometry) -> tuple[Placement, ...]:
    """Split a card into halves, or into one region where a placement straddles the middle."""
    length = geometry.memory_slices
    middle = length // 2
    places = [at for profile in geometry.profiles for at in profile.placements if at.size < length]
    if any(at.start < middle < at.end for at in places):
        return (Placement(0, length),)
    return Placement(0, middle), Placement(middle, length - middle)


@cache
def poorer(geometry: Geometry) -> int:
    """Tell which half holds fewer placements, the upper one where they are equal."""
    lower, upper = (
        sum(
            half.start <= at.start and at.end <= half.end
            for profile in geometry.profiles
            for at in profile.placements
        )
        for half in regions(geometry)
    )
    return int(upper <= lower)


def mfi(building: Building, room: Room, name: str, at: Placement) -> Score:
    """Take the place that adds least to the memory of blocked placements."""
    return (_blocked(building.after(room, name, at)) - _blocked(room),)


@lru_cache(maxsize=20_000)
def _blocked(room: Room) -> int:
    """Weigh the placements that are blocked, of profiles small enough for what is free."""
    return sum(
        at.size
        for profile in _plain(room.geometry)
        if profile.memory_slices <= room.free
        for at in profile.placements
        if any(at.overlaps(other) for _, other in room.lying)
    )


def fgd(mix: Counter[Demand]) -> Rule:
    """Make the rule that loses least of what is left of a GPU to requests that do not fit on it.

    Args:
        mix: How often each kind of request comes.
    """
    total = sum(mix.values())

    @cache
    def lost(building: Building, room: Room) -> float:
        unfit = sum(weight for kind, weight in mix.items() if not _fits(building, room, kind))
        return room.free / room.geometry.memory_slices * unfit / total

    def rule(building: Building, room: Room, name: str, at: Placement) -> Score:
        return (round(lost(building, building.after(room, name, at)) - lost(building, room), 9),)

    return rule


def _fits(building: Building, room: Room, kind: Demand) -> bool:
    return any(building.starts(room, p.name) for p in building.candidates(room, kind))


def _open_places(building: Building, room: Room) -> int:
    return sum(len(building.starts(room, profile.name)) for profile in _plain(room.geometry))


def _plain(geometry: Geometry) -> list[Profile]:
    return [profile for profile in geometry.profiles if not profile.attributes]
