"""What a plan is checked against: machine, demands, records and rules, in tables made once.

Separate so that every part of the check looks things up instead of searching for them, which keeps
the work in proportion to the number of slices. Nothing here is taken from the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned
from gpuslice.planner.checking.catalogue import Catalogue

_Key = tuple[str, int, str, int, int]
"""The fields of a `SliceKey`; a tuple of plain values is hashed in a fraction of the time."""

_Own = tuple[Slice, ReplicaId | None]
"""A slice of ours, and whose replica is recorded for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is given, looked up by GPU, model or replica.

    Attributes:
        observed: The machine.
        demands: What was asked for.
        rules: What the plan has to keep to.
        machine: Every GPU by UUID.
        usable: UUIDs of the GPUs that can be sliced and that the rules allow.
        own: Slices of ours that are there, by UUID of their GPU; no entry where there are none.
        foreign: Slices of anybody else, likewise.
        running: Where each recorded replica runs, whether or not it is wanted or could stay.
        incumbents: Where each replica runs that is wanted and could stay where it is.
        demand_of: Every demand by model.
        catalogue: What GPUs offer and allow.
    """

    observed: Observed
    demands: tuple[Demand, ...]
    rules: Rules
    machine: Mapping[str, Gpu]
    usable: frozenset[str]
    own: Mapping[str, tuple[Slice, ...]]
    foreign: Mapping[str, tuple[Slice, ...]]
    running: Mapping[ReplicaId, Slice]
    incumbents: Mapping[ReplicaId, Slice]
    demand_of: Mapping[str, Demand]
    catalogue: Catalogue

    @property
    def usable_gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that may be used, in the machine's order."""
        return tuple(gpu for gpu in self.observed.gpus if gpu.uuid in self.usable)


def gather(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> Facts:
    """Make the tables.

    Args:
        observed: The machine.
        demands: What was asked for.
        owned: Which slices are ours, and whose replicas run on them.
        rules: What the plan has to keep to.
    """
    usable = frozenset(gpu.uuid for gpu in observed.gpus if _is_usable(gpu, rules))
    demand_of = {demand.model: demand for demand in demands}
    catalogue = Catalogue()
    own: dict[str, tuple[Slice, ...]] = {}
    foreign: dict[str, tuple[Slice, ...]] = {}
    running: dict[ReplicaId, Slice] = {}
    incumbents: dict[ReplicaId, Slice] = {}
    for gpu, slices, others in _sorted_out(observed, owned):
        if slices:
            own[gpu.uuid] = tuple(slice_ for slice_, _ in slices)
        if others:
            foreign[gpu.uuid] = others
        for slice_, replica in slices:
            if replica is not None:
                running.setdefault(replica, slice_)
                demand = demand_of.get(replica.model)
                if gpu.uuid in usable and _could_stay(slice_, replica, demand, gpu, catalogue):
                    incumbents.setdefault(replica, slice_)
    return Facts(
        observed=observed,
        demands=tuple(demands),
        rules=rules,
        machine={gpu.uuid: gpu for gpu in observed.gpus},
        usable=usable,
        own=own,
        foreign=foreign,
        running=running,
        incumbents=incumbents,
        demand_of=demand_of,
        catalogue=catalogue,
    )


def _is_usable(gpu: Gpu, rules: Rules) -> bool:
    """Tell whether slices of ours may lie on a GPU."""
    if gpu.mig is None or gpu.geometry is None or not rules.allow(gpu.uuid):
        return False
    return any(profile.placements for profile in gpu.geometry.profiles)


def _sorted_out(
    observed: Observed, owned: Sequence[Owned]
) -> Iterator[tuple[Gpu, list[_Own], tuple[Slice, ...]]]:
    """Walk the GPUs by index, with the slices of ours by placement, and those of others."""
    replicas: dict[_Key, ReplicaId | None] = {}
    for record in owned:
        key, at = record.slice, record.slice.placement
        whole_key = key.gpu_uuid, key.gpu_instance_id, key.profile, at.start, at.size
        replicas[whole_key] = record.replica
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        keyed = [(_key(slice_), slice_) for slice_ in gpu.slices]
        own = [(slice_, replicas[key]) for key, slice_ in keyed if key in replicas]
        foreign = tuple(slice_ for key, slice_ in keyed if key not in replicas)
        yield gpu, sorted(own, key=_place), foreign


def _key(slice_: Slice) -> _Key:
    at = slice_.placement
    return slice_.gpu_uuid, slice_.gpu_instance_id, slice_.profile, at.start, at.size


def _place(own: _Own) -> tuple[int, int, int]:
    slice_ = own[0]
    return slice_.placement.start, slice_.placement.size, slice_.gpu_instance_id


def _could_stay(
    slice_: Slice, replica: ReplicaId, demand: Demand | None, gpu: Gpu, catalogue: Catalogue
) -> bool:
    """Tell whether a replica is wanted and served where it runs now."""
    return (
        demand is not None
        and 0 <= replica.replica < demand.replicas
        and slice_.compute_instance_id is not None
        and catalogue.accepts(demand, gpu, slice_.profile)
    )
