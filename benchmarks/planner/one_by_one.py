"""Rivals that place one replica after the other and never move a slice.

Separate because they are all one loop with another rule: the rule scores every place a replica
could take (smaller is better) and looks at one GPU only; ties go to the GPU that comes first, then
to the smallest start. A replica that accepts several profiles takes the least that has room.

Sources: first fit is what device plugins with static slices amount to; sorted first and best fit
are the classics of bin packing (Johnson 1973), best fit with the start that keeps most places open;
DAS is openshift/instaslice-operator, internal/controller/capacity.go; HAMi is Project-HAMi/HAMi,
pkg/device/nvidia, `migLayout.score` under its binpack policy; MFI is arXiv 2511.18906; FGD is Weng
et al., ATC'23, with memory slices as the resource and the instance's own demands as the mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from benchmarks.planner.instance import Chosen, Instance
from benchmarks.planner.rooms import Building, Fleet, Room

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.plan import Demand, ReplicaId

Score = tuple[float, ...]
Rule = Callable[[Building, Room, str, Placement], Score]
"""Scores a place: the building, the room, the profile's name and the placement."""


def first_fit(instance: Instance) -> list[Chosen]:
    """Take the first GPU and start that will do, in order of arrival."""
    return place_all(Fleet(instance), instance, instance.arrivals, _anywhere)


def das_first_fit(instance: Instance) -> list[Chosen]:
    """Take the first GPU by UUID, in order of arrival."""
    gpus = instance.observed.gpus
    order = sorted(range(len(gpus)), key=lambda number: gpus[number].uuid)
    return place_all(Fleet(instance, order), instance, instance.arrivals, _anywhere)


def sorted_first_fit(instance: Instance) -> list[Chosen]:
    """Take the first GPU, largest replicas first."""
    return place_all(Fleet(instance), instance, largest_first(instance), _anywhere)


def sorted_best_fit(instance: Instance) -> list[Chosen]:
    """Take the fullest GPU, largest replicas first."""
    return place_all(Fleet(instance), instance, largest_first(instance), fullest)


def hami(instance: Instance) -> list[Chosen]:
    """Take the fullest GPU and the placement that HAMi ranks first, in order of arrival."""
    return place_all(Fleet(instance), instance, instance.arrivals, _hami_rule)


def mfi(instance: Instance) -> list[Chosen]:
    """Take the place that adds least to the number of blocked places, in order of arrival."""
    return place_all(Fleet(instance), instance, instance.arrivals, _mfi_rule)


def fgd(instance: Instance) -> list[Chosen]:
    """Take the place that loses least room for the mix of what is wanted, in order of arrival."""
    return place_all(Fleet(instance), instance, instance.arrivals, _fgd_rule(instance))


def place_all(
    fleet: Fleet, instance: Instance, replicas: Iterable[ReplicaId], rule: Rule
) -> list[Chosen]:
    """Place replicas one by one by a rule; who finds no room is left out."""
    demands = {demand.model: demand for demand in instance.demands}
    chosen = []

    @cache
    def best_in(room: Room, model: str) -> tuple[Score, Placement, str] | None:
        return best_place(fleet.building, room, demands[model], rule)

    for replica in replicas:
        options = [
            (place[0], rank, place)
            for room, rank in fleet.rooms()
            if (place := best_in(room, replica.model)) is not None
        ]
        if options:
            _, rank, (_, at, name) = min(options)
            chosen.append(fleet.put(replica, fleet.order[rank], name, at))
    return chosen


def best_place(
    building: Building, room: Room, demand: Demand, rule: Rule
) -> tuple[Score, Placement, str] | None:
    """Return the best (score, placement, profile) for a demand in a room, or None."""
    for profile in building.candidates(room.geometry, demand):
        starts = building.starts(room, profile.name)
        if starts:
            name = profile.name
            return min((rule(building, room, name, at), at, name) for at in starts)
    return None


def largest_first(instance: Instance) -> list[ReplicaId]:
    """Sort arrivals by the memory and compute slices of the least profile that serves them."""
    geometries = list({id(g): g for gpu in instance.observed.gpus if (g := gpu.geometry)}.values())
    size = {demand.model: _size(demand, geometries) for demand in instance.demands}
    return sorted(instance.arrivals, key=lambda replica: size[replica.model], reverse=True)


def fullest(building: Building, room: Room, name: str, at: Placement) -> Score:
    """Prefer GPUs in use, of these the fullest, and in it the place that keeps most places open."""
    after = building.after(room, name, at)
    return not room.lying, after.free / room.geometry.memory_slices, -_open_places(building, after)


def _anywhere(_building: Building, _room: Room, _name: str, _at: Placement) -> Score:
    return ()


def _hami_rule(_building: Building, room: Room, _name: str, at: Placement) -> Score:
    """Score as HAMi does: halves left empty, whole halves in the poorer, then the edges."""
    length = room.geometry.memory_slices
    halves = (Placement(0, length // 2), Placement(length // 2, length - length // 2))
    taken = [*(other for _, other in room.lying), at]
    empty = sum(not any(half.overlaps(other) for other in taken) for half in halves)
    inside = [n for n, half in enumerate(halves) if half.start <= at.start and at.end <= half.end]
    poorer = _poorer_half(room.geometry)
    mismatch = any((at.size == halves[n].size) != (n == poorer) for n in inside)
    distance = halves[0].end - at.end if 0 in inside else at.start - halves[1].start
    return room.free - length, -empty, mismatch, -distance if inside else 0


def _poorer_half(geometry: Geometry) -> int:
    """Tell which half holds fewer placements, the upper one where they are equal."""
    middle = geometry.memory_slices // 2
    places = [at for profile in _plain(geometry) for at in profile.placements]
    lower, upper = sum(at.end <= middle for at in places), sum(at.start >= middle for at in places)
    return int(upper <= lower)


def _mfi_rule(building: Building, room: Room, name: str, at: Placement) -> Score:
    return (_blocked(building.after(room, name, at)) - _blocked(room),)


@cache
def _blocked(room: Room) -> int:
    """Weigh the placements that are blocked, of profiles small enough for what is free."""
    return sum(
        at.size
        for profile in _plain(room.geometry)
        if profile.memory_slices <= room.free
        for at in profile.placements
        if any(at.overlaps(other) for _, other in room.lying)
    )


def _fgd_rule(instance: Instance) -> Rule:
    """Weigh free memory slices that a replica drawn from the demands could not use."""
    weights = {demand: demand.replicas for demand in instance.demands if demand.replicas}
    total = sum(weights.values())

    @cache
    def lost(building: Building, room: Room) -> int:
        useful = sum(w * _usable_by(building, room, demand) for demand, w in weights.items())
        return room.free * total - useful

    def rule(building: Building, room: Room, name: str, at: Placement) -> Score:
        return (lost(building, building.after(room, name, at)) - lost(building, room),)

    return rule


def _usable_by(building: Building, room: Room, demand: Demand) -> int:
    """Count the free memory slices that replicas of one demand could fill."""
    for profile in building.candidates(room.geometry, demand)[:1]:
        return room.geometry.free(room.lying, profile) * profile.memory_slices
    return 0


def _open_places(building: Building, room: Room) -> int:
    return sum(len(building.starts(room, profile.name)) for profile in _plain(room.geometry))


def _plain(geometry: Geometry) -> list[Profile]:
    return [profile for profile in geometry.profiles if not profile.attributes]


def _size(demand: Demand, geometries: Iterable[Geometry]) -> tuple[float, float]:
    """Share of a GPU that a demand needs at least: memory, then compute."""
    shares = [
        (p.memory_slices / g.memory_slices, p.compute_slices / g.compute_slices)
        for g in geometries
        for p in g.profiles
        if demand.accepts(p)
    ]
    return min(shares, default=(0.0, 0.0))


ONE_BY_ONE: Mapping[str, Callable[[Instance], list[Chosen]]] = {
    "first fit": first_fit,
    "sorted first fit": sorted_first_fit,
    "sorted best fit": sorted_best_fit,
    "DAS first fit": das_first_fit,
    "HAMi": hami,
    "MFI": mfi,
    "FGD": fgd,
}
"""Every rule by the name the table gives it."""
