"""How what a rival chose becomes a plan, so that the independent checker can judge it.

Separate from the rivals, which only choose, and from `benchmarks.planner.claims`, which counts what
a plan reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.planner.claims import certificate_of
from benchmarks.planner.instance import Chosen, Instance, geometry_of, running

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Gpu, Slice, SliceKey
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice, Seat, Unplaced
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.ordering.servers import server_plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a rival answers.

    Attributes:
        chosen: One entry for each replica that gets a new slice.
        stopped: Running replicas that give up their slice and get no other.
    """

    chosen: Sequence[Chosen]
    stopped: frozenset[ReplicaId] = frozenset()


def as_plan(instance: Instance, answer: Answer) -> Plan:
    """Turn an answer into a plan; who is not in it stays, or finds no slice."""
    created = {choice.replica: _planned(instance, choice) for choice in answer.chosen}
    gone = {*created, *instance.arrivals, *answer.stopped}
    lies_on = running(instance)
    kept = {replica: slice_ for replica, slice_ in lies_on.items() if replica not in gone}
    seats = [Seat(replica=replica, kept=slice_) for replica, slice_ in kept.items()]
    seats += [Seat(replica=replica, created=new) for replica, new in created.items()]
    plan = Plan(
        gpus=_gpu_plans(instance, set(kept.values()), list(created.values())),
        seats=tuple(sorted(seats, key=lambda seat: seat.replica)),
        unplaced=tuple(_unplaced(instance, {*kept, *created})),
        fingerprint=fingerprint(instance.observed),
    )
    plan = replace(plan, servers=server_plans(plan.gpus, plan.seats, lies_on))
    return replace(plan, certificate=certificate_of(instance, plan))


def _unplaced(instance: Instance, seated: Collection[ReplicaId]) -> Iterable[Unplaced]:
    """List the replicas that have no slice; of an unmet target its first stands for all."""
    met = {replica.model for replica in seated}
    for demand in sorted(instance.demands, key=lambda demand: demand.model):
        numbers = range(demand.replicas if demand.target is None else int(demand.model not in met))
        for replica in (ReplicaId(demand.model, number) for number in numbers):
            if replica not in seated:
                yield Unplaced(replica=replica, reason="found no place")


def _planned(instance: Instance, choice: Chosen) -> PlannedSlice:
    gpu = instance.observed.gpus[choice.gpu]
    profile = geometry_of(gpu).named(choice.profile)
    assert profile is not None, "methods choose among the profiles of the GPU"
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=choice.placement,
        profile=profile.name,
        profile_id=profile.id,
        memory_mib=profile.memory_mib,
    )


def _gpu_plans(
    instance: Instance, kept: Collection[Slice], created: Sequence[PlannedSlice]
) -> tuple[GpuPlan, ...]:
    """Say what happens on each GPU that may be used or still holds slices of ours."""
    ours = {record.slice for record in instance.owned}
    coming: dict[str, list[PlannedSlice]] = {}
    for new in created:
        coming.setdefault(new.gpu_uuid, []).append(new)
    plans = (
        replace(_gpu_plan(gpu, ours, kept, coming), barred=not instance.usable(gpu))
        for gpu in instance.observed.gpus
    )
    return tuple(plan for plan in plans if not plan.barred or plan.destroy)


def _gpu_plan(
    gpu: Gpu,
    ours: Collection[SliceKey],
    kept: Collection[Slice],
    coming: Mapping[str, Sequence[PlannedSlice]],
) -> GpuPlan:
    own = [slice_ for slice_ in gpu.slices if slice_.key in ours]
    return GpuPlan(
        gpu_uuid=gpu.uuid,
        destroy=tuple(slice_ for slice_ in own if slice_ not in kept),
        create=tuple(sorted(coming.get(gpu.uuid, ()))),
        keep=tuple(slice_ for slice_ in own if slice_ in kept),
        foreign=tuple(slice_ for slice_ in gpu.slices if slice_.key not in ours),
    )
