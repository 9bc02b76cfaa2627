"""How much of a simulated device its processes use: memory now, and work between two moments.

Pure: processes and clock readings come in. Kept apart from the C functions because memory queries,
process lists and utilisation all draw on it, and have to agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpuslice.simulator.layout import device_uuid
from gpuslice.simulator.processes import BoundProcess
from gpuslice.simulator.state import ComputeInstance, GpuInstance, SimulatedGpu

MIB = 1024 * 1024
IDLE_INSTANCE_BYTES = 13 * MIB
"""What the driver itself occupies on an idle GPU instance; 11 to 48 MiB were seen on real cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """CPU time that the processes of one device had used at one moment.

    Attributes:
        taken_at_s: Clock reading, seconds.
        cpu_s: CPU seconds by process id.
    """

    taken_at_s: float
    cpu_s: Mapping[int, float]


def sample_of(processes: Iterable[BoundProcess], now_s: float) -> UsageSample:
    """Take a sample of some processes."""
    return UsageSample(taken_at_s=now_s, cpu_s={p.pid: p.cpu_s for p in processes})


def busy_percent(before: UsageSample, after: UsageSample, cores: int | None = None) -> float:
    """Return how busy the processes were between two samples, 0 to 100.

    Args:
        before: The earlier sample.
        after: The later sample.
        cores: CPU cores that count as fully busy; those this process may use if left out.
    """
    elapsed_s = after.taken_at_s - before.taken_at_s
    if elapsed_s <= 0:
        return 0.0
    worked_s = sum(max(0.0, used - before.cpu_s.get(pid, 0.0)) for pid, used in after.cpu_s.items())
    whole = cores or len(os.sched_getaffinity(0))
    return min(100.0, 100.0 * worked_s / (elapsed_s * whole))


def users_of_gpu(gpu: SimulatedGpu, processes: Iterable[BoundProcess]) -> tuple[BoundProcess, ...]:
    """Return the processes that name the whole GPU."""
    return tuple(process for process in processes if gpu.uuid in process.devices)


def users_of_device(
    gpu: SimulatedGpu,
    gi: GpuInstance,
    ci: ComputeInstance,
    processes: Iterable[BoundProcess],
) -> tuple[BoundProcess, ...]:
    """Return the processes that name a MIG device, in its present or its older form.

    Behind them come the clients it was given, of which nothing is measured.
    """
    names = frozenset({device_uuid(gpu, gi, ci), f"MIG-{gpu.uuid}/{gi.id}/{ci.id}"})
    strangers = (
        BoundProcess(pid=pid, devices=names, resident_bytes=0, cpu_s=0.0) for pid in ci.clients
    )
    naming = (process for process in processes if not names.isdisjoint(process.devices))
    return (*naming, *strangers)


def users_of_instance(
    gpu: SimulatedGpu, gi: GpuInstance, processes: Iterable[BoundProcess]
) -> tuple[BoundProcess, ...]:
    """Return the processes on any device of a GPU instance, each once."""
    listed = tuple(processes)
    found = {
        process.pid: process
        for ci in gi.compute_instances
        for process in users_of_device(gpu, gi, ci, listed)
    }
    return tuple(found.values())


def instance_used_bytes(
    gpu: SimulatedGpu, gi: GpuInstance, processes: Iterable[BoundProcess], total_bytes: int
) -> int:
    """Return the memory in use on a GPU instance, bytes; its compute instances share it."""
    resident = sum(p.resident_bytes for p in users_of_instance(gpu, gi, processes))
    return min(total_bytes, IDLE_INSTANCE_BYTES + resident)
