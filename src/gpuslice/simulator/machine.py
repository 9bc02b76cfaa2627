"""What one can do to a simulated machine from outside NVML: look at it, restart it, set it up.

Separate from the C functions because no driver call does these things; a person with a power
button or a screwdriver does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gpuslice.errors import UnknownGpuError
from gpuslice.simulator.codes import Code
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


def set_clients(
    directory: Path, index: int, pids: tuple[int, ...], *, start: int | None = None
) -> None:
    """Make processes hold a GPU or a slice that do not name it, such as a monitoring daemon.

    NVML does not list those of a whole GPU, as it does not list daemons; those of a slice it lists
    as programs that use no memory.

    Args:
        directory: The machine.
        index: NVML index of the GPU.
        pids: All of them; none to let go.
        start: First memory slice of the slice they are on; None for the whole GPU. On a slice
            without compute instances there is nothing to hold.

    Raises:
        UnknownGpuError: There is no GPU of that index.
    """
    _change_gpu(directory, index, lambda gpu: _with_clients(gpu, lambda _: pids, start))


def add_client(directory: Path, index: int, pid: int, *, start: int | None = None) -> None:
    """Make one more process hold a GPU or a slice; as `set_clients`."""

    def joined(pids: tuple[int, ...]) -> tuple[int, ...]:
        return pids if pid in pids else (*pids, pid)

    _change_gpu(directory, index, lambda gpu: _with_clients(gpu, joined, start))


def remove_client(directory: Path, index: int, pid: int) -> None:
    """Make a process let go of a GPU and of everything on it."""

    def parted(pids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(other for other in pids if other != pid)

    def change(gpu: SimulatedGpu) -> SimulatedGpu:
        for gi in gpu.instances:
            gpu = _with_clients(gpu, parted, gi.placement.start)
        return _with_clients(gpu, parted, None)

    _change_gpu(directory, index, change)


def set_lost(directory: Path, index: int, *, lost: bool) -> None:
    """Let a GPU fall off the bus; every call on it answers GPU_IS_LOST until reset or restart."""
    _change_gpu(directory, index, lambda gpu: replace(gpu, lost=lost))


def set_mode_obstacle(directory: Path, index: int, code: Code) -> None:
    """Let the driver leave every mode change of a GPU pending with a code; SUCCESS for none."""
    _change_gpu(directory, index, lambda gpu: replace(gpu, mode_obstacle=int(code)))


def set_memory_step(directory: Path, index: int, *, step_mib: int) -> None:
    """Let equal slices of a GPU differ in memory, as on some cards.

    Args:
        directory: The machine.
        index: NVML index of the GPU.
        step_mib: By how much more memory every second of several equal slices has, MiB; 128 was
            seen on real cards, 0 for none, negative for less.

    Raises:
        UnknownGpuError: There is no GPU of that index.
    """
    _change_gpu(directory, index, lambda gpu: replace(gpu, memory_step_mib=step_mib))


def set_mirrored(directory: Path, index: int, *, mirrored: bool) -> None:
    """Choose which physical half of a GPU is its logical lower half; see `identity`."""
    _change_gpu(directory, index, lambda gpu: replace(gpu, mirrored=mirrored))


def mend(directory: Path) -> None:
    """Bring lost GPUs back, send strangers away and make equal slices equal again."""

    def step(state: MachineState) -> tuple[MachineState, None]:
        return replace(state, gpus=tuple(_mended(gpu) for gpu in state.gpus)), None

    Store(directory).change(step)


def require_gpu(directory: Path, index: int) -> None:
    """Make sure that there is a GPU of an index.

    Raises:
        UnknownGpuError: There is none.
    """
    gpu_at(Store(directory).read(), index)


def _change_gpu(
    directory: Path, index: int, change: Callable[[SimulatedGpu], SimulatedGpu]
) -> None:
    def step(state: MachineState) -> tuple[MachineState, None]:
        return state.with_gpu(change(gpu_at(state, index))), None

    Store(directory).change(step)


def gpu_at(state: MachineState, index: int) -> SimulatedGpu:
    """Return the GPU of an index; raises as `require_gpu`."""
    if not 0 <= index < len(state.gpus):
        raise UnknownGpuError(
            f"The simulated machine has no GPU {index}.",
            hint=f"It has GPUs 0 to {len(state.gpus) - 1}.",
        )
    return state.gpus[index]


def _with_clients(
    gpu: SimulatedGpu, change: Callable[[tuple[int, ...]], tuple[int, ...]], start: int | None
) -> SimulatedGpu:
    if start is None:
        return replace(gpu, clients=change(gpu.clients))
    instances = tuple(
        replace(
            gi,
            compute_instances=tuple(
                replace(ci, clients=change(ci.clients)) for ci in gi.compute_instances
            ),
        )
        if gi.placement.start == start
        else gi
        for gi in gpu.instances
    )
    return replace(gpu, instances=instances)


def _mended(gpu: SimulatedGpu) -> SimulatedGpu:
    for gi in gpu.instances:
        gpu = _with_clients(gpu, lambda _: (), gi.placement.start)
    return replace(gpu, lost=False, clients=(), mode_obstacle=0, memory_step_mib=0)


def _restarted(gpu: SimulatedGpu) -> SimulatedGpu:
    mode = gpu.mig_pending and not gpu.board.architecture.changes_mode_at_once
    return after_reset(replace(gpu, mig_pending=mode))


def after_reset(gpu: SimulatedGpu) -> SimulatedGpu:
    """Return a GPU as a reset leaves it: the pending mode in force, and nothing on it."""
    return replace(
        gpu,
        mig_current=gpu.mig_pending,
        instances=(),
        clients=(),
        lost=False,
        epoch=gpu.epoch + 1,
    )
