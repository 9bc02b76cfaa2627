"""Plans for tests of the checker, made by hand from who is to sit where; no planner is needed.

What a plan says of itself is derived here in the simplest way: nothing of the planner is used, and
of the checker only its counting, so that a certificate need not be worked out for every test
(`unit/planner/test_audit.py` works one out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpuslice.errors import BadPlanError
from gpuslice.model.certificate import Certificate, Method, Objective
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import (
    Fate,
    GpuPlan,
    Owned,
    Plan,
    PlannedSlice,
    Seat,
    ServerPlan,
    Unplaced,
)
from gpuslice.planner.check import check_plan
from gpuslice.planner.checking.audit_count import count
from gpuslice.planner.checking.facts import gather
from gpuslice.planner.checking.outcome import outcome_of
from gpuslice.planner.fingerprint import fingerprint

Seating = Mapping[str, Slice | PlannedSlice | None]
"""Who sits where: replicas written ``model/number``; None for one that finds no slice."""

NO_RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Everything a plan is checked against."""

    observed: Observed
    demands: tuple[Demand, ...]
    owned: tuple[Owned, ...] = ()
    rules: Rules = NO_RULES

    def complaints(self, made: Plan) -> tuple[str, ...]:
        """What the checker says of a plan; nothing where it is good."""
        try:
            check_plan(made, self.observed, self.demands, self.owned, self.rules)
        except BadPlanError as error:
            return error.details
        return ()


def planned(gpu: Gpu, profile: str, start: int) -> PlannedSlice:
    """A slice that comes on a GPU."""
    assert gpu.geometry is not None
    found = gpu.geometry.named(profile)
    assert found is not None, f"{gpu.name} has no {profile}"
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=Placement(start, found.memory_slices),
        profile=profile,
        profile_id=found.id,
        memory_mib=found.memory_mib,
    )


def by_hand(given: Given, seating: Seating, *, pausing: tuple[str, ...] = ()) -> Plan:
    """The plan in which exactly those sit there, with nothing proved.

    Args:
        given: What it is made from.
        seating: Who sits where.
        pausing: Which replicas pause.
    """
    seats = {_replica(name): slice_ for name, slice_ in seating.items() if slice_ is not None}
    made = Plan(
        gpus=tuple(_gpu_plan(gpu, given, set(seats.values())) for gpu in given.observed.gpus),
        seats=tuple(_seat(replica, seats[replica]) for replica in sorted(seats)),
        unplaced=tuple(
            Unplaced(replica=_replica(name), reason="there is no room")
            for name in sorted(seating, key=_replica)
            if seating[name] is None
        ),
        servers=_servers(given, seats, {_replica(name) for name in pausing}),
        fingerprint=fingerprint(given.observed),
    )
    return certified(given, made) if any(d.replicas for d in given.demands) else made


def certified(given: Given, made: Plan) -> Plan:
    """The plan with a certificate that states every value and proves none."""
    facts = gather(given.observed, given.demands, given.owned, given.rules)
    prices = given.rules.prices
    counted = count(outcome_of(made, facts), facts)
    certificate = Certificate(
        method=Method.GREEDY,
        currency="" if prices is None else prices.currency,
        objectives=tuple(
            Objective(goal=k.goal, model=k.model, priority=k.priority, value=value, bound=None)
            for k, value in counted
        ),
    )
    return replace(made, certificate=certificate)


def _replica(name: str) -> ReplicaId:
    model, _, number = name.partition("/")
    return ReplicaId(model, int(number))


def _seat(replica: ReplicaId, slice_: Slice | PlannedSlice) -> Seat:
    if isinstance(slice_, Slice):
        return Seat(replica=replica, kept=slice_)
    return Seat(replica=replica, created=slice_)


def _gpu_plan(gpu: Gpu, given: Given, there: set[Slice | PlannedSlice]) -> GpuPlan:
    ours = {record.slice for record in given.owned}
    coming = [s for s in there if isinstance(s, PlannedSlice) and s.gpu_uuid == gpu.uuid]
    own = [slice_ for slice_ in gpu.slices if slice_.key in ours]
    can_be_sliced = gpu.mig is not None and gpu.geometry is not None
    return GpuPlan(
        gpu_uuid=gpu.uuid,
        enable_mig=bool(coming) and gpu.mig is not None and not gpu.mig.current,
        destroy=tuple(slice_ for slice_ in own if slice_ not in there),
        create=tuple(sorted(coming)),
        keep=tuple(slice_ for slice_ in own if slice_ in there),
        foreign=tuple(slice_ for slice_ in gpu.slices if slice_.key not in ours),
        barred=not (can_be_sliced and given.rules.allow(gpu.uuid)),
    )


def _servers(
    given: Given, seats: Mapping[ReplicaId, Slice | PlannedSlice], pausing: set[ReplicaId]
) -> tuple[ServerPlan, ...]:
    there = {slice_.key: slice_ for gpu in given.observed.gpus for slice_ in gpu.slices}
    origins = {
        record.replica: there[record.slice]
        for record in given.owned
        if record.replica is not None and record.slice in there
    }
    return tuple(
        ServerPlan(
            replica=replica,
            fate=_fate(seats.get(replica), origins.get(replica)),
            origin=origins.get(replica),
            pause=replica in pausing,
        )
        for replica in sorted({*seats, *origins})
    )


def _fate(seat: Slice | PlannedSlice | None, origin: Slice | None) -> Fate:
    if origin is None:
        return Fate.STARTS
    if seat is None:
        return Fate.STOPS
    return Fate.STAYS if seat == origin else Fate.MOVES
