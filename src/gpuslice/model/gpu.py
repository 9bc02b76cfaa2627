"""What is observed: GPUs, their mode and the slices that exist on them.

Values only. The driver makes them by reading NVML; nothing here is ever written back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpuslice.model.geometry import Geometry, Placement


class Architecture(StrEnum):
    """GPU generations that matter to MIG; the order of the list is the order of time."""

    AMPERE = "ampere"
    HOPPER = "hopper"
    BLACKWELL = "blackwell"
    OTHER = "other"

    @property
    def changes_mode_at_once(self) -> bool:
        """True where MIG mode changes without a GPU reset (Hopper and later)."""
        return self in (Architecture.HOPPER, Architecture.BLACKWELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigMode:
    """MIG mode of one GPU, both readings.

    Attributes:
        current: True when MIG is on now.
        pending: True when MIG will be on after the next reset.
    """

    current: bool
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePart:
    """One of several compute instances that share a GPU instance's memory.

    Attributes:
        compute_instance_id: NVML's CI id.
        compute_slices: How many compute slices it has.
        start: The first of them, within the GPU instance.
        uuid: ``MIG-…``, or None where the driver does not tell.
    """

    compute_instance_id: int
    compute_slices: int
    start: int
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One GPU instance, with the compute instance that fills it where there is one.

    The UUID is not an identity: the driver gives the same one to a later slice at the same place.
    ``(gpu_uuid, gpu_instance_id, profile, placement)`` says which slice is meant.

    Attributes:
        gpu_uuid: The GPU it lies on.
        gpu_instance_id: NVML's GI id.
        profile: Profile name, such as ``2g.20gb``.
        placement: Memory slices it occupies.
        memory_mib: Memory a server on it sees, MiB.
        compute_instance_id: The compute instance (the first of several), or None for a half-made
            slice.
        uuid: ``MIG-…``, or None without a compute instance.
        parts: Its compute instances, by start, where they are not one that fills it; else empty.
    """

    gpu_uuid: str
    gpu_instance_id: int
    profile: str
    placement: Placement
    memory_mib: int
    compute_instance_id: int | None = None
    uuid: str | None = None
    parts: tuple[SlicePart, ...] = ()

    @property
    def key(self) -> SliceKey:
        """What identifies the slice while it lives."""
        return SliceKey(
            gpu_uuid=self.gpu_uuid,
            gpu_instance_id=self.gpu_instance_id,
            profile=self.profile,
            placement=self.placement,
        )

    def name_of(self, part: SlicePart) -> str:
        """Name one of its parts as NVIDIA does: ``1c.3g.40gb``."""
        return f"{part.compute_slices}c.{self.profile}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SliceKey:
    """What identifies a slice while it lives; see `Slice`."""

    gpu_uuid: str
    gpu_instance_id: int
    profile: str
    placement: Placement


class Sight(StrEnum):
    """What of a GPU may be out of sight, for want of privilege or because the driver keeps it."""

    SLICES = "slices"
    PLACEMENTS = "placements"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something of a GPU that could not be read. What is out of sight is not thereby absent.

    Attributes:
        what: What it is.
        text: Why, and what is seen instead, in words that follow "GPU 0: ".
    """

    what: Sight
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as the driver shows it now.

    Attributes:
        index: NVML index, what ``nvidia-smi -i`` takes.
        uuid: ``GPU-…``.
        name: Product name, such as ``NVIDIA A100-SXM4-80GB``.
        architecture: Generation.
        memory_mib: Memory of the whole board, MiB.
        pci_bus_id: ``00000000:36:00.0``.
        mig: MIG mode, or None where the GPU has no MIG.
        geometry: Its profiles, or None where the GPU has no MIG.
        slices: What exists on it, by placement; empty, too, where its slices are out of sight.
        unseen: What could not be read; only a survey has any.
        persistence_mode: On or off, or None where the driver does not tell.
        pci_device_id: PCI device and vendor as NVML joins them, such as ``0x233010DE``; 0 where
            nobody told.
        pci_subsystem_id: The same of the board's maker.
    """

    index: int
    uuid: str
    name: str
    architecture: Architecture
    memory_mib: int
    pci_bus_id: str
    mig: MigMode | None = None
    geometry: Geometry | None = None
    slices: tuple[Slice, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    persistence_mode: bool | None = None
    pci_device_id: int = 0
    pci_subsystem_id: int = 0

    @property
    def shows_slices(self) -> bool:
        """False where nobody can say what lies on it: it must not pass for empty."""
        return all(unseen.what is not Sight.SLICES for unseen in self.unseen)

    @property
    def occupied(self) -> tuple[tuple[str, Placement], ...]:
        """What lies on the GPU, in the form `Geometry.allows` takes."""
        return tuple((s.profile, s.placement) for s in self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The container that a process runs in.

    Attributes:
        id: 64 hexadecimal digits.
        runtime: ``docker``, ``podman``, ``nerdctl``, ``containerd``, ``cri-o``, or "" where only
            the orchestrator is known.
        pod: UID of its Kubernetes pod, or "".
    """

    id: str
    runtime: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds a GPU or a slice.

    Attributes:
        pid: Process id.
        name: Command name, or "" where it cannot be read.
        memory_mib: GPU memory it uses, MiB, or None where the driver does not tell.
        gpu_instance_id: The slice it is on, or None for the whole GPU.
        user: Whose it is, or "" where it cannot be read.
        container: The container it runs in, or None.
        service: The systemd unit that runs it as a system service, or "".
        open_file: The device file it has open, where it was found by that and not by NVML; or "".
    """

    pid: int
    name: str = ""
    memory_mib: int | None = None
    gpu_instance_id: int | None = None
    user: str = ""
    container: Container | None = None
    service: str = ""
    open_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceUse:
    """How much of a slice is in use now.

    Attributes:
        used_mib: Memory used, MiB.
        total_mib: Memory of the slice, MiB.
        sm_utilisation: Share of the slice's SMs that were busy, 0 to 1, or None where the driver
            does not tell (Ampere tells only DCGM).
    """

    used_mib: int
    total_mib: int
    sm_utilisation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The whole machine as read at one moment.

    Attributes:
        gpus: By index.
        driver_version: Such as ``580.159.04``.
        simulated: True when the GPUs are simulated; every screen has to say so.
        lost: NVML indexes of GPUs that have fallen off the bus: the driver counts them and tells
            nothing else, so they are not among ``gpus``.
    """

    gpus: tuple[Gpu, ...]
    driver_version: str
    simulated: bool = False
    lost: tuple[int, ...] = ()

    def gpu(self, uuid: str) -> Gpu:
        """Return the GPU of that UUID.

        Raises:
            KeyError: There is none.
        """
        for gpu in self.gpus:
            if gpu.uuid == uuid:
                return gpu
        raise KeyError(uuid)
