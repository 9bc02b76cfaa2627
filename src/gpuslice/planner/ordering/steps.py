"""The steps that carry a plan out, in an order in which each is legal, and as a person would type.

Separate from the plan, which is a state to reach, and from applying, which has effects. MIG modes
that are switched on come first, as they fail most and nothing is lost yet, and those that are
switched off last; the order of everything else is that of `gpuslice.planner.ordering.order`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Plan, PlannedSlice
from gpuslice.planner.ordering.order import order
from gpuslice.planner.ordering.precedence import Moves, place


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableMig:
    """Switch MIG mode on.

    Attributes:
        gpu_uuid: The GPU.
    """

    gpu_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableMig:
    """Switch MIG mode off, on a GPU where nothing lies any more.

    Attributes:
        gpu_uuid: The GPU.
    """

    gpu_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroySlice:
    """Destroy a slice of ours.

    Attributes:
        slice: The slice.
    """

    slice: Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSlice:
    """Create a slice.

    Attributes:
        planned: What and where.
        replica: Whose server it is for.
    """

    planned: PlannedSlice
    replica: ReplicaId | None


Step = EnableMig | DisableMig | DestroySlice | CreateSlice


def steps(plan: Plan) -> tuple[Step, ...]:
    """Order the steps of a plan so that each is legal when its turn comes.

    Slices come before others go wherever there is room for both: first all that nothing blocks,
    then GPU by GPU. Only where a replica's new slice cannot come before its old one has gone
    (``pause`` in `Plan.servers`) is it the other way round.
    """
    origins = {s.replica: s.origin for s in plan.servers if s.origin is not None}
    replicas = {place(s.created): s.replica for s in plan.seats if s.created is not None}
    return (
        *(EnableMig(gpu_uuid=gpu.gpu_uuid) for gpu in plan.gpus if gpu.enable_mig),
        *(
            DestroySlice(slice=change)
            if isinstance(change, Slice)
            else CreateSlice(planned=change, replica=replicas.get(place(change)))
            for change in order(plan.gpus, Moves(plan.seats, origins)).changes
        ),
        *(DisableMig(gpu_uuid=gpu.gpu_uuid) for gpu in plan.gpus if gpu.disable_mig),
    )


def gpu_of(step: Step) -> str:
    """Return the UUID of the GPU that a step changes."""
    match step:
        case EnableMig(gpu_uuid=uuid) | DisableMig(gpu_uuid=uuid):
            return uuid
        case DestroySlice(slice=gone):
            return gone.gpu_uuid
        case CreateSlice(planned=new):
            return new.gpu_uuid
        case _:
            assert_never(step)


def describe(step: Step, gpus: Sequence[Gpu]) -> str:
    """Say in words what a step does."""
    match step:
        case EnableMig(gpu_uuid=uuid):
            return f"GPU {_index(gpus, uuid)}: enable MIG mode"
        case DisableMig(gpu_uuid=uuid):
            return f"GPU {_index(gpus, uuid)}: disable MIG mode"
        case DestroySlice(slice=slice_):
            place = f"{slice_.profile} at {slice_.placement}"
            return f"GPU {_index(gpus, slice_.gpu_uuid)}: destroy {place}"
        case CreateSlice(planned=planned, replica=replica):
            whom = f" for {replica}" if replica else ""
            parts = " + ".join(f"{size}c" for size in planned.parts)
            what = f"{planned.profile} ({parts})" if parts else planned.profile
            place = f"{what} at {planned.placement}"
            return f"GPU {_index(gpus, planned.gpu_uuid)}: create {place}{whom}"
        case _:
            assert_never(step)


def by_hand(step: Step, observed: Observed) -> str:
    """Write the command line a person would have typed for a step.

    Args:
        step: The step.
        observed: The machine, for the index of the GPU.

    Raises:
        KeyError: The step's GPU is not in the machine.
    """
    match step:
        case EnableMig(gpu_uuid=uuid):
            return f"nvidia-smi -i {observed.gpu(uuid).index} -mig 1"
        case DisableMig(gpu_uuid=uuid):
            return f"nvidia-smi -i {observed.gpu(uuid).index} -mig 0"
        case DestroySlice(slice=gone):
            mig = f"nvidia-smi mig -i {observed.gpu(gone.gpu_uuid).index}"
            destroy = f"{mig} -dgi -gi {gone.gpu_instance_id}"
            if gone.compute_instance_id is None:
                return destroy
            return f"{mig} -dci -gi {gone.gpu_instance_id} && {destroy}"
        case CreateSlice(planned=new):
            mig = f"nvidia-smi mig -i {observed.gpu(new.gpu_uuid).index}"
            instance = f"{mig} -cgi {new.profile_id}:{new.placement.start}"
            if not new.parts:
                return f"{instance} -C"
            profiles = ",".join(str(_COMPUTE_PROFILES[size]) for size in new.parts)
            return f"{instance} && {mig} -cci {profiles} -gi ID"
        case _:
            assert_never(step)


# Ids of compute-instance profiles by their compute slices (`nvidia-smi mig -lcip` lists them); the
# id of the new GPU instance is what the first command prints.
_COMPUTE_PROFILES = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4}


def _index(gpus: Sequence[Gpu], uuid: str) -> int:
    return next(gpu.index for gpu in gpus if gpu.uuid == uuid)
