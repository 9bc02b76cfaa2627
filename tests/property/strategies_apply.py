"""Simulated machines with slices of ours and of others on them, and what is wanted next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from builders import a_record
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import Owned, Plan, PlannedSlice
from gpuslice.planner.plan import plan
from simulated_gpus import SimulatedGpus, simulated_gpus

BOARDS = ("a100-80gb", "a30", "rtx-pro-6000", "h100-80gb")
TENANTS = ("foreign", "free", "old", "chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A slice that is there before the change.

    Attributes:
        profile: Its profile.
        placement: Where it lies.
        tenant: ``foreign``, or ours: ``free``, or with that model's server on it.
    """

    profile: str
    placement: Placement
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is there on each board, and what is wanted."""

    boards: tuple[str, ...]
    lying: tuple[tuple[Lying, ...], ...]
    demands: tuple[Demand, ...]

    def build(self, directory: Path) -> tuple[SimulatedGpus, Record]:
        """Make the machine and what is recorded about it; MIG is on only where slices lie."""
        machine = simulated_gpus(directory, ",".join(self.boards), mig=False)
        records: list[Owned] = []
        for gpu, lying in zip(machine.driver.read().gpus, self.lying, strict=True):
            if lying:
                machine.driver.set_mig_mode(gpu.uuid, enabled=True)
            for one in lying:
                records += _made(machine.driver, gpu.uuid, one, len(records))
        return machine, a_record(*records, ports=())

    def plan(self, machine: SimulatedGpus, record: Record) -> Plan:
        """Plan what is wanted."""
        return plan(machine.driver.read(), self.demands, record.owned)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """One or two boards with a few slices, and one or two models that want some."""
    keys = tuple(draw(st.lists(st.sampled_from(BOARDS), min_size=1, max_size=2)))
    names = sorted({p.name for key in keys for p in board(key).geometry.profiles})
    models = draw(st.sampled_from([("chat",), ("chat", "coder")]))
    return Scene(
        boards=keys,
        lying=tuple(draw(_lying(key)) for key in keys),
        demands=tuple(
            Demand(
                model=model,
                replicas=draw(st.integers(1, 2)),
                profiles=(NamedProfile(profile=draw(st.sampled_from(names))),),
            )
            for model in models
        ),
    )


@st.composite
def _lying(draw: st.DrawFn, key: str) -> tuple[Lying, ...]:
    geometry = board(key).geometry
    places = [(p.name, at) for p in geometry.profiles for at in p.placements]
    found: list[Lying] = []
    for name, at in draw(st.lists(st.sampled_from(places), max_size=3)):
        if geometry.allows([(one.profile, one.placement) for one in found], name, at):
            tenant = draw(st.sampled_from(TENANTS))
            found.append(Lying(profile=name, placement=at, tenant=tenant))
    return tuple(found)


def _made(driver: NvmlDriver, gpu_uuid: str, one: Lying, number: int) -> list[Owned]:
    geometry = driver.read().gpu(gpu_uuid).geometry
    profile = geometry.named(one.profile) if geometry else None
    assert profile is not None
    slice_ = driver.create_slice(
        PlannedSlice(
            gpu_uuid=gpu_uuid,
            placement=one.placement,
            profile=one.profile,
            profile_id=profile.id,
            memory_mib=profile.memory_mib,
        )
    )
    if one.tenant == "foreign":
        return []
    replica = None if one.tenant == "free" else ReplicaId(one.tenant, number)
    return [Owned(slice=slice_.key, stack="assistants", replica=replica)]
