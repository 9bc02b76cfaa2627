"""Why a replica found no slice, in words.

Separate from the packing, which proves that nothing more fits but cannot say why. The reasons
describe the layout that was found: what lies on each GPU, and why one more slice does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.model.geometry import Placement, Profile
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Demand, GpuPlan, PlannedSlice, ReplicaId, Seat
from gpuslice.planner.offers import label, lacks, profiles_of, too_small
from gpuslice.planner.situation import Ground, Situation

_TOLD = 4
"""How many GPUs a reason describes before it only counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lying:
    """A slice that lies on a GPU in the end, and whose it is in words."""

    profile: str
    placement: Placement
    owner: str

    def __str__(self) -> str:
        return f"{self.owner} ({self.profile} at {_run(self.placement)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Full:
    """A GPU in the end, as the reasons look at it."""

    ground: Ground
    lying: tuple[_Lying, ...]

    @property
    def free(self) -> tuple[int, ...]:
        """Memory slices on which nothing lies."""
        return tuple(
            number
            for number in range(self.ground.geometry.memory_slices)
            if not any(part.placement.overlaps(Placement(number, 1)) for part in self.lying)
        )


def explain_unplaced(
    situation: Situation,
    gpu_plans: Sequence[GpuPlan],
    seats: Sequence[Seat],
    missing: Sequence[ReplicaId],
) -> dict[ReplicaId, str]:
    """Say for every replica without a seat why it has none.

    Args:
        situation: What the plan was made from.
        gpu_plans: What happens on each GPU of the situation.
        seats: Who has a seat.
        missing: Who has none.

    Returns:
        One sentence, or a few, for each.
    """
    if not missing:
        return {}
    owners = {(s.slice.gpu_uuid, s.slice.placement): str(s.replica) for s in seats}
    pairs = zip(situation.grounds, gpu_plans, strict=True)
    grounds = [_Full(ground=g, lying=_lying(p, owners)) for g, p in pairs if g.usable]
    models = {replica.model for replica in missing}
    reasons = {d.model: _reason(d, grounds) for d in situation.demands if d.model in models}
    return {replica: reasons[replica.model] for replica in missing}


def _lying(gpu_plan: GpuPlan, owners: Mapping[tuple[str, Placement], str]) -> tuple[_Lying, ...]:
    """List what lies on a GPU in the end, by placement."""
    ours: tuple[Slice | PlannedSlice, ...] = (*gpu_plan.keep, *gpu_plan.create)
    found = [
        _Lying(profile=s.profile, placement=s.placement, owner=owners[s.gpu_uuid, s.placement])
        for s in ours
    ]
    found += [
        _Lying(
            profile=s.profile,
            placement=s.placement,
            owner=f"GPU instance {s.gpu_instance_id} of somebody else",
        )
        for s in gpu_plan.foreign
    ]
    return tuple(sorted(found, key=lambda part: part.placement))


def _reason(demand: Demand, grounds: Sequence[_Full]) -> str:
    """Say why one more replica of a model has no slice."""
    gpus = [full.ground.gpu for full in grounds]
    if not gpus:
        return "no chosen GPU can be sliced"
    fitting = [
        (full, [p for p in profiles_of(full.ground.gpu) if demand.accepts(p)]) for full in grounds
    ]
    if any(profiles for _, profiles in fitting):
        told = [_full(full, profiles) for full, profiles in fitting[:_TOLD]]
        more = [f"{len(fitting) - _TOLD} more GPUs have no room either"] * (len(fitting) > _TOLD)
        return "; ".join(told + more)
    if demand.profile is not None:
        return lacks(gpus, demand.profile)
    return too_small(gpus, demand.memory_mib or 0)


def _full(full: _Full, profiles: Sequence[Profile]) -> str:
    """Say why one GPU has no room for any of the profiles that would serve."""
    where = label(full.ground.gpu) + _pending(full.ground)
    if not profiles:
        return f"{where} has no profile that serves it"
    smallest = profiles[0]
    taken = ", ".join(str(part) for part in full.lying)
    return f"{where} has no room for {smallest.name}: {_obstacle(full, smallest)}; it holds {taken}"


def _obstacle(full: _Full, profile: Profile) -> str:
    """Name the rule that keeps one more instance of a profile off a GPU."""
    if not full.free:
        return f"all {full.ground.geometry.memory_slices} memory slices are taken"
    open_places = [
        at
        for at in profile.placements
        if not any(at.overlaps(part.placement) for part in full.lying)
    ]
    if not open_places:
        return _no_place(full, profile)
    if sum(part.profile == profile.name for part in full.lying) >= profile.max_instances:
        return f"a GPU holds at most {profile.max_instances} of them"
    return "its media engines are given to another slice"


def _no_place(full: _Full, profile: Profile) -> str:
    """Say that memory slices are free, but not where the profile can lie."""
    geometry = full.ground.geometry
    named = (geometry.named(part.profile) for part in full.lying)
    given = sum(found.compute_slices for found in named if found is not None)
    if given + profile.compute_slices > geometry.compute_slices:
        return f"{given} of {geometry.compute_slices} compute slices are given"
    places = ", ".join(_run(at) for at in profile.placements)
    return f"free are memory slices {_list(full.free)}, but it can only lie at {places}"


def _pending(ground: Ground) -> str:
    """Note a mode change that waits for a reset."""
    mode = ground.gpu.mig
    if mode is None or mode.current == mode.pending:
        return ""
    return f", where MIG will be {'on' if mode.pending else 'off'} after a reset,"


def _run(placement: Placement) -> str:
    """Write a placement as the memory slices it covers: ``0-3``, or ``6``."""
    last = placement.end - 1
    return f"{placement.start}-{last}" if last > placement.start else str(placement.start)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
