"""Why a replica found no slice, in words.

Separate from the packing, which proves that nothing more fits but cannot say why. The reasons
describe the layout that was found: on which GPUs one more slice would lie and which rule keeps the
replica off them, or, where there is no such GPU, what stands in the way on each. Of many GPUs a few
are told and the others counted. GPUs on which the same lies are tried once, so that a fleet takes
time in proportion to its GPUs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice, Seat
from gpuslice.planner.obstacles import Lying, has_room, obstacle, run
from gpuslice.planner.offers import TOLD, label, lacks, names_of, profiles_of, too_small
from gpuslice.planner.situation import Situation


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
        missing: Who has none; of a model with a target that is not met, any of its replicas.

    Returns:
        One sentence, or a few, for each.
    """
    if not missing:
        return {}
    outcome = _Outcome(situation, gpu_plans, seats)
    models = {replica.model for replica in missing}
    reasons = {d.model: outcome.reason(d) for d in situation.demands if d.model in models}
    return {replica: reasons[replica.model] for replica in missing}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Full:
    """A GPU in the end.

    Attributes:
        gpu: The GPU.
        slices: What lies on it.
        lying: The same, as profiles at placements.
        models: Whose replicas have a seat on it.
        kind: Equal for GPUs of one product on which the same lies.
    """

    gpu: Gpu
    slices: tuple[Slice | PlannedSlice, ...]
    lying: tuple[Lying, ...]
    models: Mapping[str, int]
    kind: int


class _Outcome:
    """All GPUs in the end. Owned by one call of `explain_unplaced`."""

    def __init__(
        self, situation: Situation, gpu_plans: Sequence[GpuPlan], seats: Sequence[Seat]
    ) -> None:
        self._rules = situation.rules
        self._demands = {demand.model: demand for demand in situation.demands}
        self._owners = {(s.slice.gpu_uuid, s.slice.placement.start): s.replica for s in seats}
        self._kinds: dict[object, int] = {}
        pairs = zip(situation.grounds, gpu_plans, strict=True)
        self._gpus = [self._full(g.gpu, gpu_plan) for g, gpu_plan in pairs if g.usable]
        self._as_many_move_as_may = _as_many_move_as_may(situation, seats)

    def reason(self, demand: Demand) -> str:
        """Say why one more replica of a model has no slice."""
        if not self._gpus:
            return "no chosen GPU can be sliced"
        accepted = self._accepted(demand)
        if not any(accepted.values()):
            gpus = [full.gpu for full in self._gpus]
            return lacks(gpus, demand) if names_of(demand) else too_small(gpus, demand)
        roomy = self._roomy(accepted)
        told = self._barred(demand, roomy) if roomy else self._crowded(accepted)
        return "; ".join((*_of_target(demand), *told, *self._of_moves()))

    def _full(self, gpu: Gpu, gpu_plan: GpuPlan) -> _Full:
        """Note what lies on a GPU in the end."""
        slices: list[Slice | PlannedSlice] = [*gpu_plan.keep, *gpu_plan.create]
        owners = (self._owners.get((gpu.uuid, s.placement.start)) for s in slices)
        models = Counter(owner.model for owner in owners if owner is not None)
        slices = sorted([*slices, *gpu_plan.foreign], key=lambda s: s.placement.start)
        lying = tuple((s.profile, s.placement) for s in slices)
        kind = self._kinds.setdefault((gpu.name, id(gpu.geometry), lying), len(self._kinds))
        return _Full(gpu=gpu, slices=tuple(slices), lying=lying, models=models, kind=kind)

    def _accepted(self, demand: Demand) -> dict[tuple[str, int], list[Profile]]:
        """List for each product the profiles that would serve a demand, smallest first."""
        found: dict[tuple[str, int], list[Profile]] = {}
        for full in self._gpus:
            product = _product(full.gpu)
            if product not in found:
                offered = profiles_of(full.gpu)
                found[product] = [p for p in offered if demand.accepts(p, full.gpu.name)]
        return found

    def _roomy(
        self, accepted: Mapping[tuple[str, int], Sequence[Profile]]
    ) -> list[tuple[_Full, Profile]]:
        """Find the GPUs on which a slice that serves would still lie, and which slice."""
        fitting: dict[int, Profile | None] = {}
        for full in self._gpus:
            if full.kind not in fitting:
                geometry, profiles = full.gpu.geometry, accepted[_product(full.gpu)]
                assert geometry is not None, "only GPUs that can be sliced are usable"
                fits = (p for p in profiles if has_room(geometry, full.lying, p))
                fitting[full.kind] = next(fits, None)
        pairs = ((full, fitting[full.kind]) for full in self._gpus)
        return [(full, profile) for full, profile in pairs if profile is not None]

    def _barred(self, demand: Demand, roomy: Sequence[tuple[_Full, Profile]]) -> Iterator[str]:
        """Say what keeps a replica off the GPUs with room."""
        for full, profile in roomy[:TOLD]:
            bar = self._bar(demand, full)
            yield f"{label(full.gpu)} has room for {profile.name}, but {bar}"
        yield from _counted(len(roomy) - TOLD, "more", "room, but not for it either")
        yield from _counted(len(self._gpus) - len(roomy), "other", "no room")

    def _bar(self, demand: Demand, full: _Full) -> str:
        """Name the rule that keeps a replica off a GPU with room for it."""
        most, here = demand.most_per_gpu, full.models
        if most is not None and here.get(demand.model, 0) >= most:
            return f"at most {most} of {demand.model} may lie on one GPU"
        for model in here:
            if model in demand.away or demand.model in self._demands[model].away:
                return f"{demand.model} and {model} are to be kept apart"
        for model in demand.near:
            if model not in here:
                return f"no {model}, which {demand.model} is to be near"
        if demand.target is not None:
            return "that is not enough"
        return "no plan that uses it was found in the time allowed"

    def _crowded(self, accepted: Mapping[tuple[str, int], Sequence[Profile]]) -> Iterator[str]:
        """Say why there is no room, GPU by GPU; of many rather those that could ever serve."""
        serving = [full for full in self._gpus if accepted[_product(full.gpu)]]
        few = self._gpus if len(self._gpus) <= TOLD else serving[:TOLD]
        for full in few:
            yield self._no_room(full, accepted[_product(full.gpu)])
        if len(self._gpus) > TOLD:
            yield from _counted(len(serving) - len(few), "more", "no room either")
            yield from _counted(
                len(self._gpus) - len(serving), "other", "no profile that serves it"
            )

    def _no_room(self, full: _Full, profiles: Sequence[Profile]) -> str:
        """Say why one GPU has no room for any of the profiles that would serve."""
        where = label(full.gpu) + _pending(full.gpu)
        if not profiles:
            return f"{where} has no profile that serves it"
        assert full.gpu.geometry is not None, "it has profiles"
        smallest = profiles[0]
        why = obstacle(full.gpu.geometry, full.lying, smallest)
        taken = ", ".join(self._told(slice_) for slice_ in full.slices)
        return f"{where} has no room for {smallest.name}: {why}; it holds {taken}"

    def _told(self, slice_: Slice | PlannedSlice) -> str:
        """Say whose a slice is: ``chat/0 (3g.40gb at 0-3)``."""
        owner = self._owners.get((slice_.gpu_uuid, slice_.placement.start))
        whose = str(owner)
        if owner is None and isinstance(slice_, Slice):
            whose = f"GPU instance {slice_.gpu_instance_id} of somebody else"
        return f"{whose} ({slice_.profile} at {run(slice_.placement)})"

    def _of_moves(self) -> Iterator[str]:
        """Say that moves were limited, where the limit was reached."""
        most = self._rules.most_moves
        if self._as_many_move_as_may:
            may = (
                f"only {most} running replica{'s' * (most != 1)}" if most else "no running replica"
            )
            yield f"{may} may move (--moves {most}), and with more moves there might be room"


def _counted(count: int, which: str, have: str) -> Iterator[str]:
    """Count GPUs that are not told one by one: ``3 more GPUs have no room either``."""
    if count > 0:
        yield f"{count:,} {which} GPU{'s have' if count > 1 else ' has'} {have}"


def _of_target(demand: Demand) -> Iterator[str]:
    """Say what a model with a target needs."""
    if demand.target is not None:
        goal = f"{demand.target.milli_per_s / 1000:,g} {demand.target.unit}/s"
        most = f"{demand.replicas} slice{'s' * (demand.replicas > 1)}"
        yield f"it needs {goal} from at most {most}, and what is free does not add up to that"


def _as_many_move_as_may(situation: Situation, seats: Sequence[Seat]) -> bool:
    """Tell whether moves are limited and none is left, though somebody else runs who could move."""
    most = situation.rules.most_moves
    if most is None:
        return False
    kept = {seat.replica: seat.kept for seat in seats}
    moves = [kept.get(replica) != own.slice for replica, _, own in situation.incumbents]
    return sum(moves) >= most and not all(moves)


def _product(gpu: Gpu) -> tuple[str, int]:
    return gpu.name, id(gpu.geometry)


def _pending(gpu: Gpu) -> str:
    """Note a mode change that waits for a reset."""
    if gpu.mig is None or gpu.mig.current == gpu.mig.pending:
        return ""
    return f", where MIG will be {'on' if gpu.mig.pending else 'off'} after a reset,"
