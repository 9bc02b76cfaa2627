"""The machine as the planner sees it: which slices are ours, whose they are, what is to be served.

Separate from the packing, which knows neither UUIDs nor replicas (`gpuslice.planner.asking` puts a
situation in its words). Everything is ordered by GPU index and placement; UUIDs are compared, never
sorted, so that renaming them changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSlice:
    """A slice of ours that could go on serving.

    Attributes:
        slice: The slice.
        incumbent: The replica that runs on it and is still wanted there, or None.
    """

    slice: Slice
    incumbent: ReplicaId | None = None

    @property
    def profile(self) -> str:
        """Profile name."""
        return self.slice.profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One GPU of the machine.

    Attributes:
        gpu: The GPU.
        usable: True when the stack may have slices on it.
        foreign: Slices of somebody else.
        own: Slices of ours that could go on serving; none where the GPU is not usable.
        doomed: Slices of ours that go in any case: half-made, or on a GPU no longer to be used.
    """

    gpu: Gpu
    usable: bool
    foreign: tuple[Slice, ...] = ()
    own: tuple[OwnSlice, ...] = ()
    doomed: tuple[Slice, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """What the GPU offers."""
        assert self.gpu.geometry is not None, "only GPUs that can be sliced become grounds"
        return self.gpu.geometry

    @property
    def mig_on(self) -> bool:
        """True when MIG is on now."""
        return self.gpu.mig is not None and self.gpu.mig.current


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything a plan is made from.

    Attributes:
        grounds: GPUs the stack may use, and GPUs that still hold slices of ours, by index.
        demands: What is asked for, as it was asked.
        rules: What a plan has to keep to.
        prices: What each product costs when it is in use; 1 for each where there are no prices.
        running: Every replica recorded for a slice that is there, wherever it lies.
    """

    grounds: tuple[Ground, ...]
    demands: tuple[Demand, ...]
    rules: Rules = field(default_factory=Rules)
    prices: Mapping[str, int] = field(default_factory=dict)
    running: frozenset[ReplicaId] = frozenset()

    @property
    def incumbents(self) -> Iterator[tuple[ReplicaId, Ground, OwnSlice]]:
        """Walk every running replica that could stay where it is."""
        for ground in self.grounds:
            for own in ground.own:
                if own.incumbent is not None:
                    yield own.incumbent, ground, own

    @cached_property
    def boards(self) -> tuple[tuple[str, Geometry], ...]:
        """Every product that may be used, with what it offers."""
        boards = {(g.gpu.name, id(g.gpu.geometry)): g for g in self.grounds if g.usable}
        return tuple((name, ground.geometry) for (name, _), ground in boards.items())

    def could_meet(self, demand: Demand) -> bool:
        """Tell whether a target could be met, were all the room there for it."""
        target = demand.target
        if target is None:
            return True
        rates = (
            target.rate(profile, board)
            for board, geometry in self.boards
            for profile in geometry.profiles
        )
        return demand.replicas * max(rates, default=0) >= target.milli_per_s


def survey(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> Situation:
    """Sort what is observed into ours and foreign, staying and going."""
    tenants = _Tenants(demands, owned)
    grounds = []
    prices: dict[str, int] = {}
    stated = dict(rules.prices.milli_per_hour) if rules.prices is not None else None
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        usable = can_be_sliced(gpu) and rules.allow(gpu.uuid)
        if usable or any(tenants.own(slice_) for slice_ in gpu.slices):
            grounds.append(_ground(gpu, usable, tenants))
            prices[gpu.name] = 1 if stated is None else stated.get(gpu.name, 0)
    return Situation(
        grounds=tuple(grounds),
        demands=tuple(demands),
        rules=rules,
        prices=prices,
        running=tenants.running(ground.gpu for ground in grounds),
    )


def can_be_sliced(gpu: Gpu) -> bool:
    """Tell whether a GPU has MIG and offers at least one profile."""
    if gpu.mig is None or gpu.geometry is None:
        return False
    return any(profile.placements for profile in gpu.geometry.profiles)


class _Tenants:
    """Whose slices are whose; owned by one survey, which hands out each replica once."""

    def __init__(self, demands: Sequence[Demand], owned: Sequence[Owned]) -> None:
        self._replica_of = {record.slice: record.replica for record in owned}
        self._demand_of = {demand.model: demand for demand in demands}
        self._seated: set[ReplicaId] = set()
        self._accepted: dict[tuple[str, str, str, int], bool] = {}

    def own(self, slice_: Slice) -> bool:
        """Tell whether a slice is ours."""
        return bool(self._replica_of) and slice_.key in self._replica_of

    def running(self, gpus: Iterable[Gpu]) -> frozenset[ReplicaId]:
        """List the replicas that have a slice on some GPU, wanted there or not."""
        if not self._replica_of:
            return frozenset()
        found = (self._replica_of.get(s.key) for gpu in gpus for s in gpu.slices)
        return frozenset(replica for replica in found if replica is not None)

    def incumbent(self, gpu: Gpu, slice_: Slice) -> ReplicaId | None:
        """Return the replica recorded for a slice, if it is still wanted and fits."""
        replica = self._replica_of[slice_.key]
        demand = self._demand_of.get(replica.model) if replica is not None else None
        if replica is None or demand is None or replica in self._seated:
            return None
        if not 0 <= replica.replica < demand.replicas or not self._fits(gpu, slice_, demand):
            return None
        self._seated.add(replica)
        return replica

    def _fits(self, gpu: Gpu, slice_: Slice, demand: Demand) -> bool:
        """Tell whether a demand accepts a slice; each question is asked once."""
        key = (demand.model, slice_.profile, gpu.name, id(gpu.geometry))
        if key not in self._accepted:
            profile = gpu.geometry.named(slice_.profile) if gpu.geometry is not None else None
            self._accepted[key] = profile is not None and demand.accepts(profile, gpu.name)
        return self._accepted[key]


def _ground(gpu: Gpu, usable: bool, tenants: _Tenants) -> Ground:
    """Sort the slices of one GPU."""
    if not gpu.slices:
        return Ground(gpu=gpu, usable=usable)
    ours: list[Slice] = []
    foreign: list[Slice] = []
    for slice_ in sorted(gpu.slices, key=_place):
        (ours if tenants.own(slice_) else foreign).append(slice_)
    own, doomed = [], []
    for slice_ in ours:
        if usable and _could_serve(gpu, slice_):
            own.append(OwnSlice(slice=slice_, incumbent=tenants.incumbent(gpu, slice_)))
        else:
            doomed.append(slice_)
    return Ground(
        gpu=gpu, usable=usable, foreign=tuple(foreign), own=tuple(own), doomed=tuple(doomed)
    )


def _place(slice_: Slice) -> tuple[int, int, int]:
    """Order slices of one GPU, however they were listed."""
    return slice_.placement.start, slice_.placement.size, slice_.gpu_instance_id


def _could_serve(gpu: Gpu, slice_: Slice) -> bool:
    """Tell whether a slice is whole and of a profile that the GPU still offers."""
    assert gpu.geometry is not None
    return slice_.compute_instance_id is not None and gpu.geometry.named(slice_.profile) is not None
