"""What is asked of the planner and what it answers: demands in, a plan out.

Values only. A plan names every slice by GPU and placement, so that what was shown is exactly what
is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpuslice.model.geometry import Placement, Profile
from gpuslice.model.gpu import Slice, SliceKey


@dataclass(frozen=True, slots=True, order=True)
class ReplicaId:
    """One replica of one model of a stack: the n-th server of a model, counted from 0."""

    model: str
    replica: int

    def __str__(self) -> str:
        return f"{self.model}/{self.replica}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one model asks for.

    Exactly one of ``profile`` and ``memory_mib`` is set.

    Attributes:
        model: Name of the model in the stack file.
        replicas: How many slices, each for one server.
        profile: The profile the user named, or None.
        memory_mib: Least memory of a slice, MiB, or None.
        reason: Why it needs that much, in words for the plan: ``98 MiB weights + 90 MiB KV …``.
    """

    model: str
    replicas: int
    profile: str | None = None
    memory_mib: int | None = None
    reason: str = ""

    def accepts(self, profile: Profile) -> bool:
        """Tell whether a slice of that profile serves one replica.

        A demand by memory takes any plain profile that is large enough; slices with media or
        graphics attributes are only ever used when named.
        """
        if self.profile is not None:
            return profile.name == self.profile
        return not profile.attributes and profile.memory_mib >= (self.memory_mib or 0)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PlannedSlice:
    """A slice that is to be created.

    Attributes:
        gpu_uuid: The GPU it is to lie on.
        placement: Where.
        profile: Profile name.
        profile_id: The profile's id on that GPU, for NVML.
        memory_mib: Memory a server on it will see, MiB.
    """

    gpu_uuid: str
    placement: Placement
    profile: str
    profile_id: int
    memory_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which slice a replica gets: one that exists and stays, or one that is to be created.

    Exactly one of ``kept`` and ``created`` is set.
    """

    replica: ReplicaId
    kept: Slice | None = None
    created: PlannedSlice | None = None

    @property
    def slice(self) -> Slice | PlannedSlice:
        """The slice, whichever kind it is."""
        found = self.kept or self.created
        assert found is not None, "a seat has a slice"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A replica that found no slice, and why in words."""

    replica: ReplicaId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPlan:
    """What happens on one GPU.

    Attributes:
        gpu_uuid: The GPU.
        enable_mig: True when MIG mode has to be switched on first.
        destroy: Slices of ours that go.
        create: Slices that come.
        keep: Slices of ours that stay.
        foreign: Slices of somebody else; never touched.
        notes: What a person should know about it, such as a mode change that waits for a reset.
        barred: True when the stack may not use it, and it is here only for slices of ours to go.
    """

    gpu_uuid: str
    enable_mig: bool = False
    destroy: tuple[Slice, ...] = ()
    create: tuple[PlannedSlice, ...] = ()
    keep: tuple[Slice, ...] = ()
    foreign: tuple[Slice, ...] = ()
    notes: tuple[str, ...] = ()
    barred: bool = False

    @property
    def changes(self) -> bool:
        """True when anything happens on this GPU."""
        return self.enable_mig or bool(self.destroy) or bool(self.create)


class Goal(StrEnum):
    """What a plan is judged by, most important first; each is settled before the next is looked at.

    The order is that of `gpuslice.planner.packing`. Goals count the GPUs the stack may use.
    """

    SERVED = "replicas served"
    SERVED_OF_MODEL = "replicas of a model served"
    MOVED = "running replicas that leave their slice"
    DESTROYED = "slices of ours destroyed"
    OCCUPIED = "GPUs not whole afterwards"
    SWITCHED = "GPUs on which MIG mode is switched on"
    OURS = "GPUs that hold slices of ours"
    MEMORY = "memory slices given"
    ROOM = "room left: memory slices times how many still fit, over all plain profiles"
    COMPUTE = "compute slices given"
    POSITIONS = "tie: positions of the GPUs that were filled, added up"

    @property
    def most(self) -> bool:
        """True where more is better."""
        return self in (Goal.SERVED, Goal.SERVED_OF_MODEL, Goal.ROOM, Goal.COMPUTE)


class Method(StrEnum):
    """How the layout was found."""

    ENUMERATION = "enumeration"
    HIGHS = "HiGHS"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One goal: what the plan reaches, and what no plan could exceed.

    Attributes:
        goal: Which goal.
        model: The model it speaks of, where it is about one.
        value: What the plan reaches.
        bound: No plan that equals this one in every goal before it is better than that; None where
            nothing was proved.
    """

    goal: Goal
    model: str = ""
    value: int
    bound: int | None

    @property
    def gap(self) -> int | None:
        """Distance between value and bound, 0 when proved optimal, None when unknown."""
        return None if self.bound is None else abs(self.value - self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The proof that comes with a plan, goal by goal.

    Attributes:
        method: How the layout was found.
        objectives: By importance.
        note: Why the proof is not complete, in words; "" where it is.
    """

    method: Method
    objectives: tuple[Objective, ...]
    note: str = ""

    @property
    def optimal(self) -> bool:
        """True when every goal reaches its bound."""
        return all(objective.gap == 0 for objective in self.objectives)

    @property
    def open(self) -> Objective | None:
        """The most important goal that is not proved optimal, or None."""
        return next((objective for objective in self.objectives if objective.gap != 0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePrice:
    """What one more slice would cost at the margin, in GPUs.

    Attributes:
        board: Product name of the GPU, such as ``NVIDIA A100-SXM4-80GB``.
        profile: Profile name on that board.
        gpus: Share of a GPU, 0 or more.
    """

    board: str
    profile: str
    gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole answer.

    Attributes:
        gpus: One entry for every GPU the stack may use, and for any other that still holds slices
            of ours, by index.
        seats: Every placed replica with its slice, by replica.
        unplaced: Every replica that found no slice, by replica.
        fingerprint: Hash of the observed state the plan was made from.
        certificate: How good it is and how that is known; None only where nothing was asked for.
        slice_prices: What one more slice of each plain profile would cost, by board and profile;
            empty unless it was asked for.
    """

    gpus: tuple[GpuPlan, ...]
    seats: tuple[Seat, ...]
    unplaced: tuple[Unplaced, ...] = ()
    fingerprint: str = ""
    certificate: Certificate | None = None
    slice_prices: tuple[SlicePrice, ...] = ()

    @property
    def changes(self) -> bool:
        """True when carrying the plan out would change any slice or mode."""
        return any(gpu.changes for gpu in self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A slice that is ours, as recorded on disk, and the replica it was made for.

    Attributes:
        slice: Which slice.
        stack: Name of the stack it belongs to.
        replica: The replica whose server sits on it, or None when it is free to be re-used.
    """

    slice: SliceKey
    stack: str
    replica: ReplicaId | None = None
