"""Rivals that place one replica after the other and never move a slice.

Separate because they are all one loop with another rule: the rule scores every place a replica
could take (smaller is better) and looks at one GPU only; ties go to the GPU that comes first, then
to the smallest start. A replica that accepts several profiles takes the least that has room.
Replicas of higher priority come first, GPUs that would have to be added last, and no rule may break
the spreading of replicas; none of this is in the sources, and all rules get it alike.

*First fit* is what device plugins with static slices amount to. *Sorted first fit* and *sorted best
fit* are the classics of bin packing (Johnson 1973); both sort the GPUs by price for memory. For the
other rules see `benchmarks.planner.scores`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from benchmarks.planner.instance import Chosen, Instance, geometry_of
from benchmarks.planner.rooms import Building, Fleet, Room
from benchmarks.planner.scores import Rule, Score, anywhere, fgd, fullest, hami, mfi
from benchmarks.planner.segments import in_fixed_sizes, in_services

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Placement


def one_by_one(
    rule: Callable[[Instance], Rule],
    *,
    largest: bool = False,
    order: Callable[[Instance], Iterable[int]] | None = None,
) -> Callable[[Instance], list[Chosen]]:
    """Make a rival of a rule.

    Args:
        rule: Makes the rule for an instance.
        largest: True to place large replicas first, False to place them as they arrive.
        order: The order in which GPUs are looked at, by position; as they are by default.
    """

    def rival(instance: Instance) -> list[Chosen]:
        fixed = in_fixed_sizes(instance)
        fleet = Fleet(fixed, None if order is None else order(fixed))
        replicas = largest_first(fixed) if largest else by_priority(fixed, fixed.arrivals)
        return in_services(instance, place_all(fleet, fixed, replicas, rule(fixed)))

    return rival


def place_all(
    fleet: Fleet, instance: Instance, replicas: Iterable[ReplicaId], rule: Rule
) -> list[Chosen]:
    """Place replicas one by one by a rule; who finds no room is left out."""
    demands = {demand.model: demand for demand in instance.demands}
    kinds = {demand.model: kind_of(demand) for demand in instance.demands}
    chosen = []

    @cache
    def best_in(room: Room, kind: Demand) -> tuple[Score, Placement, str] | None:
        return best_place(fleet.building, room, kind, rule)

    for replica in replicas:
        demand, kind = demands[replica.model], kinds[replica.model]
        options = [
            (room.absent, place[0], rank, place)
            for room, rank in fleet.rooms()
            if room.takes(demand) and (place := best_in(room, kind)) is not None
        ]
        if options:
            _, _, rank, (_, at, name) = min(options)
            chosen.append(fleet.put(replica, fleet.order[rank], name, at))
    return chosen


def best_place(
    building: Building, room: Room, demand: Demand, rule: Rule
) -> tuple[Score, Placement, str] | None:
    """Return the best (score, placement, profile) for a demand in a room, or None."""
    for profile in building.candidates(room, demand):
        starts = building.starts(room, profile.name)
        if starts:
            name = profile.name
            return min((rule(building, room, name, at), at, name) for at in starts)
    return None


@cache
def _kind(demand: Demand) -> Demand:
    return demand


def kind_of(demand: Demand) -> Demand:
    """Reduce a demand to which slices serve it; equal kinds are one object."""
    return _kind(
        Demand(
            model="",
            replicas=1,
            profiles=demand.profiles,
            memory_mib=demand.memory_mib,
            compute_slices=demand.compute_slices,
        )
    )


def by_priority(instance: Instance, replicas: Iterable[ReplicaId]) -> list[ReplicaId]:
    """Bring replicas of higher priority to the front, and leave all else as it is."""
    priority = {demand.model: demand.priority for demand in instance.demands}
    return sorted(replicas, key=lambda replica: -priority[replica.model])


def largest_first(instance: Instance) -> list[ReplicaId]:
    """Sort arrivals by the memory and compute slices of the least profile that serves them."""
    gpus = list({gpu.name: gpu for gpu in instance.observed.gpus}.values())

    def least(demand: Demand) -> tuple[float, float]:
        shares = [
            (p.memory_slices / g.memory_slices, p.compute_slices / g.compute_slices)
            for gpu in gpus
            for g in (geometry_of(gpu),)
            for p in g.profiles
            if demand.accepts(p, gpu.name)
        ]
        return min(shares, default=(0.0, 0.0))

    kinds = {kind_of(demand): demand for demand in instance.demands}
    size = {kind: least(demand) for kind, demand in kinds.items()}
    of_model = {demand.model: size[kind_of(demand)] for demand in instance.demands}
    ordered = sorted(instance.arrivals, key=lambda r: of_model[r.model], reverse=True)
    return by_priority(instance, ordered)


def by_uuid(instance: Instance) -> list[int]:
    """Order GPUs by UUID."""
    gpus = instance.observed.gpus
    return sorted(range(len(gpus)), key=lambda number: gpus[number].uuid)


def by_price(instance: Instance) -> list[int]:
    """Order GPUs by what a MiB of memory costs."""
    per_mib = {gpu.name: instance.price(gpu) / gpu.memory_mib for gpu in instance.observed.gpus}
    gpus = instance.observed.gpus
    return sorted(range(len(gpus)), key=lambda number: per_mib[gpus[number].name])


def kinds_wanted(instance: Instance) -> Counter[Demand]:
    """Count how many replicas of each kind an instance asks for."""
    counts: Counter[Demand] = Counter()
    for demand in instance.demands:
        counts[kind_of(demand)] += demand.replicas
    return +counts


def _first_fit(_instance: Instance) -> Rule:
    return anywhere


def _best_fit(_instance: Instance) -> Rule:
    return fullest


def _hami(_instance: Instance) -> Rule:
    return hami


def _mfi(_instance: Instance) -> Rule:
    return mfi


def _fgd(instance: Instance) -> Rule:
    return fgd(kinds_wanted(instance))


ONE_BY_ONE: Mapping[str, Callable[[Instance], list[Chosen]]] = {
    "first fit": one_by_one(_first_fit),
    "sorted first fit": one_by_one(_first_fit, largest=True, order=by_price),
    "sorted best fit": one_by_one(_best_fit, largest=True, order=by_price),
    "DAS first fit": one_by_one(_first_fit, order=by_uuid),
    "HAMi": one_by_one(_hami),
    "MFI": one_by_one(_mfi),
    "FGD": one_by_one(_fgd),
}
"""Every rule by the name the table gives it."""
