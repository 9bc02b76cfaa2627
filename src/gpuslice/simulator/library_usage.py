"""C functions about use: memory, processes and utilisation, all measured on real processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpuslice.simulator.arguments import (
    Argument,
    address,
    view,
    view_array,
    write_number,
)
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.library_devices import mig_devices_of
from gpuslice.simulator.processes import BoundProcess
from gpuslice.simulator.session import Session, Target
from gpuslice.simulator.table import FunctionTable
from gpuslice.simulator.usage import (
    MIB,
    busy_percent,
    instance_used_bytes,
    sample_of,
    users_of_device,
    users_of_gpu,
)

FUNCTIONS = FunctionTable()

RESERVED_BYTES = 644_939_776
"""What the driver keeps of a whole GPU for itself; read from a real H200."""

_NO_INSTANCE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    total: int
    reserved: int
    used: int

    @property
    def free(self) -> int:
        return self.total - self.reserved - self.used


@FUNCTIONS.answers("nvmlDeviceGetMemoryInfo")
def get_memory_info(session: Session, device: Argument, info: Argument) -> None:
    """Answer memory in the first form, which counts the driver's share as used."""
    memory = _memory_of(session, session.device(device))
    seen = view(info, session.nvml.c_nvmlMemory_t)
    seen.total, seen.free = memory.total, memory.free
    seen.used = memory.reserved + memory.used


@FUNCTIONS.answers("nvmlDeviceGetMemoryInfo_v2")
def get_memory_info_v2(session: Session, device: Argument, info: Argument) -> None:
    """Answer memory in the second form, which shows the driver's share apart."""
    seen = view(info, session.nvml.c_nvmlMemory_v2_t)
    if seen.version != session.nvml.nvmlMemory_v2:
        raise Refusal(Code.ARGUMENT_VERSION_MISMATCH)
    memory = _memory_of(session, session.device(device))
    seen.total, seen.reserved = memory.total, memory.reserved
    seen.free, seen.used = memory.free, memory.used


@FUNCTIONS.answers("nvmlDeviceGetBAR1MemoryInfo")
def get_bar1_memory_info(session: Session, device: Argument, info: Argument) -> None:
    """Answer the BAR1 aperture: the next power of two, shared out by memory slices."""
    target = session.device(device)
    total_mib = 1 << (target.board.memory_mib - 1).bit_length()
    if target.gpu_instance is not None:
        grid = target.board.geometry.memory_slices
        total_mib = total_mib * target.gi.placement.size // grid - 1
    seen = view(info, session.nvml.c_nvmlBAR1Memory_t)
    seen.bar1Total = seen.bar1Free = total_mib * MIB
    seen.bar1Used = 0


@FUNCTIONS.answers(
    "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"
)
def get_compute_processes(
    session: Session, device: Argument, count: Argument, infos: Argument
) -> None:
    """Answer the processes on a device; on a GPU with MIG on those of all its MIG devices."""
    found = _processes_of(session, session.device(device))
    room = view(count, session.nvml.c_uint)
    enough = address(infos) != 0 and room.value >= len(found)
    room.value = len(found)
    if found and not enough:
        raise Refusal(Code.INSUFFICIENT_SIZE)
    if found:
        seen = view_array(infos, session.nvml.c_nvmlProcessInfo_v3_t, len(found))
        for entry, (process, owner) in zip(seen, found, strict=True):
            _fill_process(entry, process, owner)


@FUNCTIONS.answers(
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v2",
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v2",
)
def get_other_processes(
    session: Session, device: Argument, count: Argument, infos: Argument
) -> None:
    """Answer that no process draws and none runs under MPS."""
    session.device(device)
    address(infos)
    write_number(count, 0)


@FUNCTIONS.answers("nvmlDeviceGetUtilizationRates")
def get_utilization_rates(session: Session, device: Argument, rates: Argument) -> None:
    """Answer how busy a whole GPU was since the last call; neither with MIG on nor on a slice."""
    target = session.device(device)
    gpu = target.gpu
    if target.compute_instance is not None or gpu.mig_current:
        raise Refusal(Code.NOT_SUPPORTED)
    now = sample_of(users_of_gpu(gpu, session.processes()), session.clock())
    before = session.last_usage.get(gpu.uuid, now)
    session.last_usage[gpu.uuid] = now
    seen = view(rates, session.nvml.c_nvmlUtilization_t)
    seen.gpu, seen.memory = round(busy_percent(before, now)), 0


def _memory_of(session: Session, target: Target) -> _Memory:
    processes = session.processes()
    if target.gpu_instance is not None:
        total = target.gpu.memory_mib_of(target.gi) * MIB
        used = instance_used_bytes(target.gpu, target.gi, processes, total)
        return _Memory(total=total, reserved=0, used=used)
    return _memory_of_gpu(session, target, processes)


def _memory_of_gpu(
    session: Session, target: Target, processes: tuple[BoundProcess, ...]
) -> _Memory:
    gpu = target.gpu
    total = target.board.memory_mib * MIB
    if not gpu.mig_current:
        used = sum(process.resident_bytes for process in users_of_gpu(gpu, processes))
        return _Memory(total=total, reserved=RESERVED_BYTES, used=min(used, total - RESERVED_BYTES))
    session.require_privilege()
    used = 0
    for gi in gpu.instances:
        used += instance_used_bytes(gpu, gi, processes, gpu.memory_mib_of(gi) * MIB)
    return _Memory(total=total, reserved=0, used=used)


def _processes_of(session: Session, target: Target) -> list[tuple[BoundProcess, Target]]:
    processes = session.processes()
    gpu = target.gpu
    if target.compute_instance is not None:
        owners = [target]
    elif gpu.mig_current:
        session.require_privilege()
        owners = mig_devices_of(gpu)
    else:
        return [(process, target) for process in users_of_gpu(gpu, processes)]
    return [
        (process, owner)
        for owner in owners
        for process in users_of_device(gpu, owner.gi, owner.ci, processes)
    ]


def _fill_process(seen: Any, process: BoundProcess, owner: Target) -> None:
    seen.pid = process.pid
    seen.usedGpuMemory = process.resident_bytes
    whole = owner.compute_instance is None
    seen.gpuInstanceId = _NO_INSTANCE if whole else owner.gi.id
    seen.computeInstanceId = _NO_INSTANCE if whole else owner.ci.id
