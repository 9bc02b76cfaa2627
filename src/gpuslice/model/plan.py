"""What the planner answers: for every GPU what goes, comes and stays, and who sits where.

Values only. A plan names every slice by GPU and placement, so that what was shown is exactly what
is carried out. What is asked is in `gpuslice.model.demand`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpuslice.model.certificate import Certificate, SlicePrice
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Slice, SliceKey


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PlannedSlice:
    """A slice that is to be created.

    Attributes:
        gpu_uuid: The GPU it is to lie on.
        placement: Where.
        profile: Profile name.
        profile_id: The profile's id on that GPU, for NVML.
        memory_mib: Memory a server on it will see, MiB.
        parts: Compute slices of each compute instance it is to have, from the first compute slice
            on; empty for one that fills it.
    """

    gpu_uuid: str
    placement: Placement
    profile: str
    profile_id: int
    memory_mib: int
    parts: tuple[int, ...] = ()


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
        disable_mig: True when MIG mode is to be switched off once nothing lies there any more.
        destroy: Slices of ours that go.
        create: Slices that come.
        keep: Slices of ours that stay.
        foreign: Slices of somebody else; never touched.
        notes: What a person should know about it, such as a mode change that waits for a reset.
        barred: True when the stack may not use it, and it is here only for slices of ours to go.
    """

    gpu_uuid: str
    enable_mig: bool = False
    disable_mig: bool = False
    destroy: tuple[Slice, ...] = ()
    create: tuple[PlannedSlice, ...] = ()
    keep: tuple[Slice, ...] = ()
    foreign: tuple[Slice, ...] = ()
    notes: tuple[str, ...] = ()
    barred: bool = False

    @property
    def changes(self) -> bool:
        """True when anything happens on this GPU."""
        return self.enable_mig or self.disable_mig or bool(self.destroy) or bool(self.create)


class Fate(StrEnum):
    """What becomes of the server of a replica."""

    STAYS = "stays"
    STARTS = "starts"
    MOVES = "moves"
    STOPS = "stops"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What becomes of one server.

    Attributes:
        replica: Which replica.
        fate: What becomes of it.
        origin: The slice it runs on now; None where it starts.
        pause: True for a move whose old slice has to go before its new one can come, so that it
            cannot serve in between however the change is carried out.
    """

    replica: ReplicaId
    fate: Fate
    origin: Slice | None = None
    pause: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Some GPUs of one product that would have to be added for everything to fit.

    Attributes:
        board: Product name.
        count: How many.
    """

    board: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole answer.

    Attributes:
        gpus: One entry for every GPU the stack may use, and for any other that still holds slices
            of ours, by index.
        seats: Every placed replica with its slice, by replica.
        unplaced: Every replica that found no slice, by replica.
        servers: What becomes of every server that runs or is wanted, by replica.
        addition: Where something found no slice, the cheapest GPUs of the products in the machine
            with which everything would fit; empty where nothing of them would help.
        fingerprint: Hash of the observed state the plan was made from.
        certificate: How good it is and how that is known; None only where nothing was asked for.
        slice_prices: What one more slice of each plain profile would cost, by board and profile;
            empty unless it was asked for.
    """

    gpus: tuple[GpuPlan, ...]
    seats: tuple[Seat, ...]
    unplaced: tuple[Unplaced, ...] = ()
    servers: tuple[ServerPlan, ...] = ()
    addition: tuple[Addition, ...] = ()
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
