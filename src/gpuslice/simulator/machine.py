"""What one can do to a simulated machine from outside NVML: look at it, restart it, set it up.

Separate from the C functions because no driver call does these things; a person with a power
button or a screwdriver does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gpuslice.errors import UnknownGpuError
from gpuslice.simulator.identity import random_uuid
from gpuslice.simulator.state import MachineState, SimulatedGpu
from gpuslice.simulator.store import Store


def boot_id(directory: Path) -> str:
    """Return the name of the machine's present life.

    Raises:
        SimulatorStateError: There is no machine in the directory, or its state is damaged.
    """
    return Store(directory).read().boot_id


def reboot(directory: Path) -> None:
    """Restart the machine: instances are gone, and MIG mode is what the generation makes of it.

    Ampere keeps MIG mode in the card, and a pending change takes effect. From Hopper on the mode
    lives with the driver and is off after a restart.

    Raises:
        SimulatorStateError: There is no machine in the directory, or its state is damaged.
    """

    def step(state: MachineState) -> tuple[MachineState, None]:
        gpus = tuple(_restarted(gpu) for gpu in state.gpus)
        return replace(state, boot_id=random_uuid(), gpus=gpus), None

    Store(directory).change(step)


def set_privileged(directory: Path, *, privileged: bool) -> None:
    """Let callers change the machine as root may, or not."""
    Store(directory).change(lambda state: (replace(state, privileged=privileged), None))


def set_passthrough(directory: Path, *, passthrough: bool) -> None:
    """Make the machine a virtual one, where boards that need a reset get it by a restart only."""
    Store(directory).change(lambda state: (replace(state, passthrough=passthrough), None))


def set_clients(directory: Path, index: int, pids: tuple[int, ...]) -> None:
    """Make processes hold a whole GPU that do not name it, such as a monitoring daemon.

    Args:
        directory: The machine.
        index: NVML index of the GPU.
        pids: All of them; none to let go.

    Raises:
        UnknownGpuError: There is no GPU of that index.
    """
    _change_gpu(directory, index, lambda gpu: replace(gpu, clients=pids))


def set_mirrored(directory: Path, index: int, *, mirrored: bool) -> None:
    """Choose which physical half of a GPU is its logical lower half; see `identity`."""
    _change_gpu(directory, index, lambda gpu: replace(gpu, mirrored=mirrored))


def _change_gpu(
    directory: Path, index: int, change: Callable[[SimulatedGpu], SimulatedGpu]
) -> None:
    def step(state: MachineState) -> tuple[MachineState, None]:
        if not 0 <= index < len(state.gpus):
            raise UnknownGpuError(f"The simulated machine has no GPU {index}.")
        return state.with_gpu(change(state.gpus[index])), None

    Store(directory).change(step)


def _restarted(gpu: SimulatedGpu) -> SimulatedGpu:
    mode = gpu.mig_pending and not gpu.board.architecture.changes_mode_at_once
    return replace(
        gpu,
        mig_current=mode,
        mig_pending=mode,
        instances=(),
        clients=(),
        epoch=gpu.epoch + 1,
    )
