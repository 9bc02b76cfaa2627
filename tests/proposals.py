"""Proposals made by hand, for views: nothing is planned here, so a view is shown what it names."""

from __future__ import annotations

from typing import Any

from builders import a_board_gpu, a_desired, a_record, an_observed
from gpuslice.agent.proposal import Proposal
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Fate, GpuPlan, Plan, PlannedSlice, Seat, ServerPlan


def chats(count: int, profile: str = "3g.40gb", model: str = "chat") -> tuple[Demand, ...]:
    """One demand for so many slices of a profile."""
    named = (NamedProfile(profile=profile),)
    return (Demand(model=model, replicas=count, profiles=named, reason="asked for by name"),)


def a_planned(
    gpu: int = 0, start: int = 0, profile: str = "3g.40gb", size: int = 4
) -> PlannedSlice:
    """A slice that is to be created on the GPU of that index."""
    return PlannedSlice(
        gpu_uuid=f"GPU-{gpu}",
        placement=Placement(start, size),
        profile=profile,
        profile_id=9,
        memory_mib=40192,
    )


def a_seat(slice_: Slice | PlannedSlice, model: str = "chat", replica: int = 0) -> Seat:
    """A replica on a slice."""
    which = ReplicaId(model, replica)
    if isinstance(slice_, Slice):
        return Seat(replica=which, kept=slice_)
    return Seat(replica=which, created=slice_)


def a_server(fate: Fate, origin: Slice | None = None, replica: int = 0, **more: Any) -> ServerPlan:
    """What becomes of a replica of chat."""
    return ServerPlan(replica=ReplicaId("chat", replica), fate=fate, origin=origin, **more)


def a_proposal(plan: Plan, *gpus: Gpu, **more: Any) -> Proposal:
    """A proposal of that plan, on one A100 unless GPUs are named."""
    return Proposal(
        desired=more.pop("desired", a_desired()),
        demands=more.pop("demands", chats(1)),
        record=a_record(),
        observed=an_observed(*(gpus or (a_board_gpu(),))),
        plan=plan,
        **more,
    )


def on_new_slices(*planned: PlannedSlice, **more: Any) -> Plan:
    """A plan that creates those slices for the replicas of chat, in order."""
    uuids = dict.fromkeys(slice_.gpu_uuid for slice_ in planned)
    return Plan(
        gpus=tuple(
            GpuPlan(gpu_uuid=uuid, create=tuple(s for s in planned if s.gpu_uuid == uuid))
            for uuid in uuids
        ),
        seats=tuple(a_seat(slice_, replica=n) for n, slice_ in enumerate(planned)),
        servers=tuple(a_server(Fate.STARTS, replica=n) for n in range(len(planned))),
        **more,
    )
