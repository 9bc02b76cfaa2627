"""The machine as the planner sees it: which slices are ours, whose they are, what is to be served.

Separate from the packing, which knows neither UUIDs nor replicas. Everything is ordered by GPU
index and placement; UUIDs are compared, never sorted, so that renaming them changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.errors import PlanningError, UnknownGpuError
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceKey
from gpuslice.model.plan import Demand, Owned, ReplicaId
from gpuslice.planner.question import OwnPlace, Question, Site, SiteGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSlice:
    """A slice of ours that could go on serving.

    Attributes:
        slice: The slice.
        profile: Its profile name.
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
    foreign: tuple[Slice, ...]
    own: tuple[OwnSlice, ...]
    doomed: tuple[Slice, ...]

    @property
    def geometry(self) -> Geometry:
        """What the GPU offers."""
        assert self.gpu.geometry is not None, "only GPUs that can be sliced become grounds"
        return self.gpu.geometry

    @property
    def mig_on(self) -> bool:
        """True when MIG is on now."""
        return self.gpu.mig is not None and self.gpu.mig.current


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything a plan is made from.

    Attributes:
        grounds: GPUs the stack may use, and GPUs that still hold slices of ours, by index.
        demands: What is asked for, most important first.
    """

    grounds: tuple[Ground, ...]
    demands: tuple[Demand, ...]

    @property
    def incumbents(self) -> tuple[tuple[ReplicaId, Slice], ...]:
        """Every running replica that could stay where it is, with its slice."""
        return tuple(
            (own.incumbent, own.slice)
            for ground in self.grounds
            for own in ground.own
            if own.incumbent is not None
        )


def survey(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    gpus: Collection[str] | None,
) -> Situation:
    """Sort what is observed into ours and foreign, staying and going.

    Raises:
        PlanningError: A model is asked for twice.
        UnknownGpuError: A chosen GPU is not in the machine.
    """
    _check_input(observed, demands, gpus)
    replica_of = {record.slice: record.replica for record in owned}
    seated: set[ReplicaId] = set()
    grounds = []
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        usable = can_be_sliced(gpu) and (gpus is None or gpu.uuid in gpus)
        if usable or any(s.key in replica_of for s in gpu.slices):
            grounds.append(_ground(gpu, usable, replica_of, demands, seated))
    return Situation(grounds=tuple(grounds), demands=tuple(demands))


def ask(situation: Situation, *, settled: bool) -> Question:
    """Put the situation as a question to the packing.

    Args:
        situation: The situation.
        settled: True when every running replica is to stay where it is; only the others are then
            in question.
    """
    staying = [replica for replica, _ in situation.incumbents] if settled else []
    wanted = tuple(
        demand.replicas - sum(1 for replica in staying if replica.model == demand.model)
        for demand in situation.demands
    )
    members: dict[Site, list[int]] = {}
    for position, ground in enumerate(situation.grounds):
        if ground.usable:
            members.setdefault(_site(situation, ground, wanted, settled), []).append(position)
    groups = tuple(SiteGroup(site=site, members=tuple(at)) for site, at in members.items())
    return Question(groups=groups, wanted=wanted)


def can_be_sliced(gpu: Gpu) -> bool:
    """Tell whether a GPU has MIG and offers at least one profile."""
    return gpu.mig is not None and gpu.geometry is not None and gpu.geometry.memory_slices > 0


def _check_input(
    observed: Observed, demands: Sequence[Demand], gpus: Collection[str] | None
) -> None:
    models = [demand.model for demand in demands]
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise PlanningError(
            f"asked for twice: {', '.join(twice)}",
            hint="Ask once for each model and say how many replicas.",
        )
    missing = sorted(set(gpus or ()) - {gpu.uuid for gpu in observed.gpus})
    if missing:
        raise UnknownGpuError(
            f"not in this machine: {', '.join(missing)}",
            hint="Choose among: " + ", ".join(gpu.uuid for gpu in observed.gpus) + ".",
        )


def _ground(
    gpu: Gpu,
    usable: bool,
    replica_of: Mapping[SliceKey, ReplicaId | None],
    demands: Sequence[Demand],
    seated: set[ReplicaId],
) -> Ground:
    """Sort the slices of one GPU; ``seated`` gains the replicas that could stay on it."""
    ours = sorted(
        (s for s in gpu.slices if s.key in replica_of),
        key=lambda s: (s.placement, s.gpu_instance_id),
    )
    staying = [s for s in ours if usable and _could_serve(gpu, s)]
    own = (
        OwnSlice(slice=s, incumbent=_incumbent(gpu, s, replica_of[s.key], demands, seated))
        for s in staying
    )
    return Ground(
        gpu=gpu,
        usable=usable,
        foreign=tuple(s for s in gpu.slices if s.key not in replica_of),
        own=tuple(own),
        doomed=tuple(s for s in ours if s not in staying),
    )


def _could_serve(gpu: Gpu, slice_: Slice) -> bool:
    """Tell whether a slice is whole and of a profile that the GPU still offers."""
    assert gpu.geometry is not None
    return slice_.compute_instance_id is not None and gpu.geometry.named(slice_.profile) is not None


def _incumbent(
    gpu: Gpu,
    slice_: Slice,
    replica: ReplicaId | None,
    demands: Sequence[Demand],
    seated: set[ReplicaId],
) -> ReplicaId | None:
    """Return the replica recorded for a slice, if it is still wanted and fits; each only once."""
    assert gpu.geometry is not None
    profile = gpu.geometry.named(slice_.profile)
    demand = next((d for d in demands if replica is not None and d.model == replica.model), None)
    if replica is None or demand is None or profile is None or replica in seated:
        return None
    if not 0 <= replica.replica < demand.replicas or not demand.accepts(profile):
        return None
    seated.add(replica)
    return replica


def _site(situation: Situation, ground: Ground, wanted: tuple[int, ...], settled: bool) -> Site:
    """Describe a GPU to the packing, without its name."""
    fixed = [(s.profile, s.placement) for s in ground.foreign]
    frozen = [own for own in ground.own if settled and own.incumbent is not None]
    numbers = {demand.model: number for number, demand in enumerate(situation.demands)}
    menu = (
        (
            profile.name,
            tuple(
                number
                for number, demand in enumerate(situation.demands)
                if wanted[number] > 0 and demand.accepts(profile)
            ),
        )
        for profile in ground.geometry.profiles
    )
    return Site(
        geometry=ground.geometry,
        mig_on=ground.mig_on,
        fixed=tuple(sorted(fixed + [(own.profile, own.slice.placement) for own in frozen])),
        holds_ours=bool(frozen),
        own=tuple(
            OwnPlace(
                profile=own.profile,
                placement=own.slice.placement,
                incumbent=-1 if own.incumbent is None else numbers[own.incumbent.model],
            )
            for own in ground.own
            if own not in frozen
        ),
        menu=tuple((name, accepts) for name, accepts in menu if accepts),
    )
