"""Resetting one simulated GPU, as ``nvidia-smi --gpu-reset`` does.

Apart from `gpuslice.simulator.machine` because a reset may fail like a call: it goes through the
fault point, by the name `GPU_RESET`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.fault_point import FaultPoint
from gpuslice.simulator.faults import GPU_RESET
from gpuslice.simulator.injector import Injector
from gpuslice.simulator.machine import after_reset, gpu_at
from gpuslice.simulator.processes import BoundProcess, bound_processes
from gpuslice.simulator.state import MachineState, SimulatedGpu
from gpuslice.simulator.store import Store
from gpuslice.simulator.usage import users_of_gpu, users_of_instance


def reset_gpu(
    directory: Path,
    index: int,
    *,
    faults: Injector | None = None,
    processes: Callable[[], tuple[BoundProcess, ...]] = bound_processes,
) -> Code:
    """Reset a GPU: its instances are gone, a pending MIG mode is in force, a lost card is back.

    Args:
        directory: The machine.
        index: NVML index of the GPU.
        faults: As for `gpuslice.simulator.load`.
        processes: Lists the processes that name a device.

    Returns:
        SUCCESS; NO_PERMISSION for callers that are not root; NOT_SUPPORTED in a virtual machine,
        which cannot reset what is passed through to it; IN_USE while a process holds the GPU or
        something on it; or what an injected fault says.

    Raises:
        UnknownGpuError: There is no GPU of that index.
        SimulatorStateError: There is no machine in the directory, or its state is damaged.
    """
    store = Store(directory)

    def step(state: MachineState) -> tuple[MachineState, None]:
        gpu = gpu_at(state, index)
        _require_resettable(state, gpu, processes())
        return state.with_gpu(after_reset(gpu)), None

    try:
        point = FaultPoint.of(store, faults)
        point.pass_through(GPU_RESET, lambda: index, lambda: store.change(step))
    except Refusal as refusal:
        return refusal.code
    return Code.SUCCESS


def _require_resettable(
    state: MachineState, gpu: SimulatedGpu, processes: tuple[BoundProcess, ...]
) -> None:
    if not state.privileged:
        raise Refusal(Code.NO_PERMISSION)
    if state.passthrough:
        raise Refusal(Code.NOT_SUPPORTED)
    on_slices = (users_of_instance(gpu, gi, processes) for gi in gpu.instances)
    if gpu.clients or users_of_gpu(gpu, processes) or any(on_slices):
        raise Refusal(Code.IN_USE)
