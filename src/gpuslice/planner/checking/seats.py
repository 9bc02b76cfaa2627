"""Does every slice of a plan serve exactly one replica, and is every demand answered?

Separate from the constraints between replicas, which make sense only once everybody is seated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Plan, PlannedSlice, Seat
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.gpus import name
from gpuslice.planner.checking.outcome import Seats, same

_Place = tuple[str, int]
"""A GPU and the memory slice at which a slice begins."""

_TOLD = 8
"""How many missing replicas of a model are named; there may be millions."""


def seat_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that every seat is a slice that will be there and serves its replica, and no other."""
    there: dict[_Place, Slice | PlannedSlice] = {}
    for gpu_plan in plan.gpus:
        there |= {_place(slice_): slice_ for slice_ in gpu_plan.keep}
        there |= {_place(slice_): slice_ for slice_ in gpu_plan.create}
    sitting: dict[_Place, int] = dict.fromkeys(there, 0)
    for seat in plan.seats:
        if (seat.kept is None) == (seat.created is None):
            yield f"{seat.replica} needs exactly one slice, kept or created"
            continue
        slice_, place = seat.slice, _place(seat.slice)
        if place not in there or not same(slice_, there[place]):
            yield f"{seat.replica} sits on {name(slice_)}, which will not be there"
            continue
        sitting[place] += 1
        if not _serves(seat, facts):
            yield f"{seat.replica} sits on {name(slice_)}, which does not serve it"
    for place, count in sitting.items():
        if count != 1:
            yield f"{name(there[place])} has {count} replicas"


def answer_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that every demand is answered in full: seated, or listed with the reason why not."""
    listed = [seat.replica for seat in plan.seats], [u.replica for u in plan.unplaced]
    seated, unplaced = (_by_model(replicas) for replicas in listed)
    for demand in facts.demands:
        sits, waits = seated.pop(demand.model, []), unplaced.pop(demand.model, [])
        if demand.target is None:
            yield from _fixed_violations(demand, sits + waits)
        else:
            yield from _target_violations(demand, sits, waits)
    for model in sorted({*seated, *unplaced}):
        for number in (*seated.get(model, ()), *unplaced.get(model, ())):
            yield f"{ReplicaId(model, number)} was not asked for"
    for what in plan.unplaced:
        if not what.reason:
            yield f"{what.replica} has no slice and no reason"


def supply_violations(seats: Seats, facts: Facts) -> Iterator[str]:
    """Check that the slices of a throughput target reach it."""
    supply = rates(seats, facts)
    for demand in facts.demands:
        reached = supply.get(demand.model)
        if demand.target is not None and reached is not None:
            wanted = demand.target.milli_per_s
            if reached < wanted:
                unit = f"thousandths of {demand.target.unit} per second"
                yield f"{demand.model} gets {reached} {unit}, and its target is {wanted}"


def rates(seats: Seats, facts: Facts) -> dict[str, int]:
    """Add up what the slices of each model with a target contribute, thousandths per second."""
    supply: dict[str, int] = {}
    targets = {d.model: d.target for d in facts.demands if d.target is not None}
    if not targets:
        return supply
    for replica, slice_ in seats.items():
        target = targets.get(replica.model)
        if target is not None:
            gpu = facts.machine[slice_.gpu_uuid]
            profile = facts.catalogue.profile(gpu, slice_.profile)
            rate = 0 if profile is None else target.rate(profile, gpu.name)
            supply[replica.model] = supply.get(replica.model, 0) + rate
    return supply


def listing_violations(plan: Plan) -> Iterator[str]:
    """Check that seats, replicas without one and servers are listed by replica."""
    lists: Mapping[str, Sequence[ReplicaId]] = {
        "seats": [seat.replica for seat in plan.seats],
        "replicas without a slice": [unplaced.replica for unplaced in plan.unplaced],
        "servers": [server.replica for server in plan.servers],
    }
    for what, replicas in lists.items():
        keys = [(replica.model, replica.replica) for replica in replicas]
        if keys != sorted(keys):
            yield f"the {what} are not listed by replica"


def _place(slice_: Slice | PlannedSlice) -> _Place:
    """Say where a slice lies; no two of a legal layout begin at the same memory slice."""
    return slice_.gpu_uuid, slice_.placement.start


def _serves(seat: Seat, facts: Facts) -> bool:
    """Tell whether the profile of a seat is one that the demand accepts on that GPU."""
    gpu = facts.machine.get(seat.slice.gpu_uuid)
    demand = facts.demand_of.get(seat.replica.model)
    if gpu is None or demand is None:
        return False
    return facts.catalogue.accepts(demand, gpu, seat.slice.profile)


def _by_model(replicas: Iterable[ReplicaId]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for replica in replicas:
        numbers.setdefault(replica.model, []).append(replica.replica)
    return numbers


def _fixed_violations(demand: Demand, listed: Sequence[int]) -> Iterator[str]:
    """Check that every replica of a demand is listed once, and none that it does not have."""
    known = set(listed)
    if len(listed) == len(known) == demand.replicas and _within(known, demand):
        return
    yield from _stray_violations(demand, listed)
    missing = (number for number in range(demand.replicas) if number not in known)
    for number in islice(missing, _TOLD):
        yield f"{ReplicaId(demand.model, number)} is seated or unplaced 0 times"


def _target_violations(demand: Demand, sits: Sequence[int], waits: Sequence[int]) -> Iterator[str]:
    """Check that a target has slices or is listed as its replica 0, and not both."""
    yield from _stray_violations(demand, sits)
    if sits and waits:
        yield f"{demand.model} has slices for its target, and is listed as one that has none"
    elif not sits and demand.replicas and list(waits) != [0]:
        yield f"{demand.model} has no slice, and is not listed once, as {demand.model}/0"


def _stray_violations(demand: Demand, listed: Sequence[int]) -> Iterator[str]:
    """Check that nobody is listed twice, or has a number that was not asked for."""
    for number, count in Counter(listed).items():
        if not 0 <= number < demand.replicas:
            yield f"{ReplicaId(demand.model, number)} was not asked for"
        elif count > 1:
            yield f"{ReplicaId(demand.model, number)} is seated or unplaced {count} times"


def _within(numbers: set[int], demand: Demand) -> bool:
    return not numbers or (min(numbers) >= 0 and max(numbers) < demand.replicas)
