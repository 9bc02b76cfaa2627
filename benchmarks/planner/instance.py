"""What every method of the suite is given, and what a method answers.

Separate so that the planner and its rivals work on one and the same value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One question put to every method.

    Attributes:
        family: Which family it is of, and which variant: ``F1 even``.
        size: How large, in words: ``64 GPUs``.
        seed: What it was drawn with; equal family, size and seed give an equal instance.
        observed: The machine.
        demands: What is wanted, most important first.
        owned: Which slices are ours, and whose replica runs on each.
        arrivals: Replicas that need a slice, in the order in which they came; those of throughput
            targets are not among them. All others run on a slice of theirs already and could stay.
        rules: What every plan has to keep to.
    """

    family: str
    size: str
    seed: int
    observed: Observed
    demands: tuple[Demand, ...]
    owned: tuple[Owned, ...] = ()
    arrivals: tuple[ReplicaId, ...] = ()
    rules: Rules = field(default_factory=Rules)

    def usable(self, gpu: Gpu) -> bool:
        """Tell whether slices may be created on a GPU."""
        return self.rules.allow(gpu.uuid)

    def addable(self, gpu: Gpu) -> bool:
        """Tell whether a GPU is not there yet and may be added."""
        return gpu.uuid in self.rules.addable

    def price(self, gpu: Gpu) -> int:
        """Price of a GPU as the planner counts it: thousandths per hour, or 1 for each."""
        if self.rules.prices is None:
            return 1
        return next(price for name, price in self.rules.prices.milli_per_hour if name == gpu.name)

    @property
    def targets(self) -> tuple[Demand, ...]:
        """The demands that ask for a throughput."""
        return tuple(demand for demand in self.demands if demand.target is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where a method puts one replica that does not stay where it runs.

    Attributes:
        replica: The replica.
        gpu: Position of the GPU in the machine.
        profile: Profile name.
        placement: Where on the GPU.
    """

    replica: ReplicaId
    gpu: int
    profile: str
    placement: Placement


def geometry_of(gpu: Gpu) -> Geometry:
    """Return the geometry of a GPU of the suite; all of them have one."""
    assert gpu.geometry is not None, "the families use boards that can be sliced"
    return gpu.geometry


def running(instance: Instance) -> dict[ReplicaId, Slice]:
    """Say on which slice each replica runs now."""
    slices = {slice_.key: slice_ for gpu in instance.observed.gpus for slice_ in gpu.slices}
    return {
        record.replica: slices[record.slice]
        for record in instance.owned
        if record.replica is not None
    }


def served(demands: Iterable[Demand], seated: Iterable[ReplicaId]) -> dict[str, int]:
    """Count what is served of each demand: its replicas, or 1 for a target that has any slice.

    A legal plan gives a target enough slices or none, which the checker sees to.
    """
    counts = Counter(replica.model for replica in seated)
    return {
        demand.model: min(counts[demand.model], demand.replicas if demand.target is None else 1)
        for demand in demands
    }


def asked(demands: Iterable[Demand]) -> int:
    """Count what could be served at most: replicas, and 1 for each target."""
    return sum(demand.replicas if demand.target is None else 1 for demand in demands)
