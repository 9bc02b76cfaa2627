"""The state of a simulated machine: values, and how they are written as JSON.

Values only; `gpuslice.simulator.store` keeps them on disk and `gpuslice.simulator.layout` changes
them. They hold what a real driver and card hold and nothing that can be worked out from it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpuslice.hardware import Board, board
from gpuslice.model.geometry import Placement
from gpuslice.simulator.identity import random_uuid
from gpuslice.simulator.simulation import parse_simulation

FORMAT = 1
DRIVER_VERSION = "580.159.04"
"""The driver whose answers on a real H200 the simulator was compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeInstance:
    """One compute instance.

    Attributes:
        id: NVML's CI id, unique in its GPU instance.
        profile_id: Compute instance profile.
        placement: Run of compute units inside the GPU instance.
        serial: Number no other instance of this machine ever has, so that a handle of a destroyed
            instance is never taken for its successor.
        clients: Process ids on it, besides those of processes that name it.
    """

    id: int
    profile_id: int
    placement: Placement
    serial: int
    clients: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInstance:
    """One GPU instance.

    Attributes:
        id: NVML's GI id, which follows from the placement and the board.
        profile_id: GPU instance profile.
        placement: Run of memory slices.
        serial: As in `ComputeInstance`.
        compute_instances: By id.
    """

    id: int
    profile_id: int
    placement: Placement
    serial: int
    compute_instances: tuple[ComputeInstance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedGpu:
    """One simulated GPU.

    Attributes:
        board_key: Its board in `gpuslice.hardware`.
        uuid: ``GPU-…``.
        pci_bus: Bus number; domain and device are 0.
        pdi: Per-device identifier, 64 bits; part of every MIG UUID.
        mirrored: True where the upper half of the chip is the logical lower half.
        mig_current: MIG is on.
        mig_pending: MIG will be on after the next reset.
        persistence: Persistence mode.
        clients: Process ids that hold the whole GPU, besides those that name it.
        epoch: Counts mode changes and restarts; handles of an earlier one are invalid.
        lost: It has fallen off the bus, and answers nothing.
        mode_obstacle: NVML code with which the driver leaves a mode change pending; 0 for none.
        memory_step_mib: By how much more memory every second of several equal slices has, MiB.
        instances: By GI id.
    """

    board_key: str
    uuid: str
    pci_bus: int
    pdi: int
    mirrored: bool = False
    mig_current: bool = False
    mig_pending: bool = False
    persistence: bool = True
    clients: tuple[int, ...] = ()
    epoch: int = 0
    lost: bool = False
    mode_obstacle: int = 0
    memory_step_mib: int = 0
    instances: tuple[GpuInstance, ...] = ()

    @property
    def board(self) -> Board:
        """The kind of board it is."""
        return board(self.board_key)

    def memory_mib_of(self, gi: GpuInstance) -> int:
        """Return the memory of a GPU instance of it, MiB.

        On some cards slices of one profile differ by a step, and from what the profile says: 19,968
        MiB by the profile were 20,096 and 20,224 MiB in fact (A100-40GB).
        """
        profile = self.board.geometry.with_id(gi.profile_id)
        assert profile is not None
        is_second = gi.placement.start // gi.placement.size % 2
        return profile.memory_mib + self.memory_step_mib * is_second

    @property
    def occupied(self) -> tuple[tuple[str, Placement], ...]:
        """What lies on it, in the form `gpuslice.model.geometry.Geometry.allows` takes."""
        names = {profile.id: profile.name for profile in self.board.geometry.profiles}
        return tuple((names[gi.profile_id], gi.placement) for gi in self.instances)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """A whole simulated machine.

    Attributes:
        simulation: The canonical text it was made from.
        boot_id: Names the life of the driver; instances never survive into the next.
        driver_version: What ``nvmlSystemGetDriverVersion`` answers.
        privileged: True where callers may change things, as root may.
        passthrough: True in a virtual machine that cannot reset its GPUs.
        next_serial: The next instance's serial number.
        gpus: By NVML index.
    """

    simulation: str
    boot_id: str
    gpus: tuple[SimulatedGpu, ...]
    driver_version: str = DRIVER_VERSION
    privileged: bool = True
    passthrough: bool = False
    next_serial: int = 1

    def gpu(self, gpu_uuid: str) -> SimulatedGpu | None:
        """Return the GPU of that UUID, or None."""
        return next((gpu for gpu in self.gpus if gpu.uuid == gpu_uuid), None)

    def with_gpu(self, changed: SimulatedGpu, *, serials: int = 0) -> MachineState:
        """Return the machine with one GPU changed and so many serial numbers used."""
        gpus = tuple(changed if gpu.uuid == changed.uuid else gpu for gpu in self.gpus)
        return dataclasses.replace(self, gpus=gpus, next_serial=self.next_serial + serials)


def new_machine(simulation: str) -> MachineState:
    """Make a machine that was never used: MIG off, nothing on it, random identities.

    Every second GPU is a mirrored board, so that no caller gets away with taking a GPU instance id
    for a placement.

    Args:
        simulation: Canonical text.
    """
    keys = [key for key, count in parse_simulation(simulation) for _ in range(count)]
    return MachineState(
        simulation=simulation,
        boot_id=random_uuid(),
        gpus=tuple(_new_gpu(index, key) for index, key in enumerate(keys)),
    )


def _new_gpu(index: int, key: str) -> SimulatedGpu:
    return SimulatedGpu(
        board_key=key,
        uuid=f"GPU-{random_uuid()}",
        pci_bus=0x10 + 3 * index,
        pdi=int.from_bytes(os.urandom(8), "little"),
        mirrored=index % 2 == 1,
    )


def state_to_json(state: MachineState) -> dict[str, Any]:
    """Turn a machine into what `state_from_json` reads."""
    return {"format": FORMAT, **dataclasses.asdict(state)}


def state_from_json(document: Mapping[str, Any]) -> MachineState:
    """Read a machine back.

    Raises:
        ValueError: Another format, or values that no machine has.
        KeyError: Something is missing.
        TypeError: Something has the wrong shape or should not be there.
        UnknownBoardError: A board the table does not hold.
    """
    fields = dict(document)
    if fields.pop("format") != FORMAT:
        raise ValueError(f"format {document['format']!r}, expected {FORMAT}")
    fields["gpus"] = tuple(_gpu_from(entry) for entry in fields["gpus"])
    return MachineState(**fields)


def _gpu_from(entry: Mapping[str, Any]) -> SimulatedGpu:
    fields = dict(entry)
    fields["clients"] = tuple(fields["clients"])
    fields["instances"] = tuple(_gpu_instance_from(gi) for gi in fields["instances"])
    gpu = SimulatedGpu(**fields)
    for gi in gpu.instances:
        if gpu.board.geometry.with_id(gi.profile_id) is None:
            raise ValueError(f"{gpu.board_key} has no profile {gi.profile_id}")
    return gpu


def _gpu_instance_from(entry: Mapping[str, Any]) -> GpuInstance:
    fields = dict(entry)
    fields["placement"] = Placement(**fields["placement"])
    fields["compute_instances"] = tuple(
        _compute_instance_from(ci) for ci in fields["compute_instances"]
    )
    return GpuInstance(**fields)


def _compute_instance_from(entry: Mapping[str, Any]) -> ComputeInstance:
    fields = dict(entry)
    fields["placement"] = Placement(**fields["placement"])
    fields["clients"] = tuple(fields.get("clients", ()))
    return ComputeInstance(**fields)
