"""Whether a choice of seats is legal, told from the facts; no code shared with the planner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gpuslice.model.demand import Demand
from gpuslice.model.gpu import Gpu
from property.case import (
    Case,
    Place,
    Seating,
    foreign,
    geometry_of,
    keepable,
    movers,
    on,
    profile_of,
    usable,
)


def faults(case: Case, seating: Seating) -> Iterator[str]:
    """Everything that makes a choice of seats illegal."""
    if len({replica for replica, _ in seating}) < len(seating):
        yield "a replica sits twice"
    if len({place for _, place in seating}) < len(seating):
        yield "a slice has two replicas"
    open_ = {gpu.uuid for gpu in usable(case)}
    for _, place in seating:
        if place.gpu_uuid not in open_:
            yield f"{place} may not be used"
    for gpu in usable(case):
        yield from _placement_faults(case, gpu, on(gpu, seating))
        tenants = [replica.model for replica, place in seating if place.gpu_uuid == gpu.uuid]
        if not neighbourly(case, Counter(tenants)):
            yield f"those on {gpu.uuid} may not lie together"
    for demand in case.demands:
        yield from _demand_faults(case, demand, seating)
    yield from _move_faults(case, seating)


def neighbourly(case: Case, tenants: Counter[str]) -> bool:
    """Tell whether so many replicas of each model may share one GPU."""
    for demand in case.demands:
        count = tenants[demand.model]
        if demand.most_per_gpu is not None and count > demand.most_per_gpu:
            return False
        if count and any(not tenants[model] for model in demand.near):
            return False
        if count and any(tenants[model] for model in demand.away):
            return False
    return True


def _placement_faults(case: Case, gpu: Gpu, places: list[Place]) -> Iterator[str]:
    there = {(s.gpu_instance_id, s.profile, s.placement) for s in keepable(case, gpu)}
    lying = [(s.profile, s.placement) for s in foreign(case, gpu)]
    for place in places:
        key = (place.gpu_instance_id, place.profile, place.placement)
        if place.gpu_instance_id is not None and key not in there:
            yield f"{place} cannot be kept"
        if not geometry_of(gpu).allows(lying, place.profile, place.placement):
            yield f"{place} may not lie there"
        lying.append((place.profile, place.placement))


def _demand_faults(case: Case, demand: Demand, seating: Seating) -> Iterator[str]:
    seats = [(r, place) for r, place in seating if r.model == demand.model]
    for replica, place in seats:
        gpu = case.observed.gpu(place.gpu_uuid)
        if not 0 <= replica.replica < demand.replicas:
            yield f"{replica} was not asked for"
        if not demand.accepts(profile_of(gpu, place.profile), gpu.name):
            yield f"{place} does not serve {replica}"
    if demand.target is not None and seats:
        gpus = {place: case.observed.gpu(place.gpu_uuid) for _, place in seats}
        rates = (demand.target.rate(profile_of(g, p.profile), g.name) for p, g in gpus.items())
        if sum(rates) < demand.target.milli_per_s:
            yield f"{demand.model} misses its target"


def _move_faults(case: Case, seating: Seating) -> Iterator[str]:
    leavers = movers(case, seating)
    pinned = {demand.model for demand in case.demands if demand.pinned}
    for replica in leavers:
        if replica.model in pinned:
            yield f"{replica} is pinned and leaves"
    if case.rules.most_moves is not None and len(leavers) > case.rules.most_moves:
        yield f"{len(leavers)} replicas move"
