"""A simulated machine for tests, driven through pynvml as any caller drives it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpuslice import simulator
from gpuslice.simulator.processes import BoundProcess
from gpuslice.simulator.session import Session

SUCCESS = 0
UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
FUNCTION_NOT_FOUND = 13
RESET_REQUIRED = 16
IN_USE = 19
INSUFFICIENT_RESOURCES = 23
ARGUMENT_VERSION_MISMATCH = 25

FULL_COMPUTE = {19: 0, 20: 0, 15: 0, 14: 1, 9: 2, 5: 3, 0: 4}
"""On A100: the compute instance profile that fills each GPU instance profile."""


def a_process(pid: int, *devices: str, resident_mib: int = 0, cpu_s: float = 0.0) -> BoundProcess:
    """A process that names devices."""
    return BoundProcess(
        pid=pid,
        devices=frozenset(devices),
        resident_bytes=resident_mib * 1024 * 1024,
        cpu_s=cpu_s,
    )


class SimulatedMachine:
    """An initialised pynvml over a simulated machine, and the few calls most tests make."""

    def __init__(
        self,
        directory: Path,
        simulation: str = "a100-80gb",
        *,
        faults: simulator.Injector | None = None,
    ) -> None:
        self.directory = directory
        self.nvml: Any = simulator.load(directory, simulation, faults=faults)
        self.nvml.nvmlInit()
        self.session: Session = self.nvml.nvmlLib._session

    def holds(self, *processes: BoundProcess) -> None:
        """Let these be the only processes that name devices."""
        self.session.processes = lambda: processes

    def gpu(self, index: int = 0) -> Any:
        """A fresh handle of a GPU."""
        return self.nvml.nvmlDeviceGetHandleByIndex(index)

    def enable_mig(self, index: int = 0) -> Any:
        """Switch MIG on and return the GPU's new handle."""
        assert self.nvml.nvmlDeviceSetMigMode(self.gpu(index), 1) == SUCCESS
        return self.gpu(index)

    def create(self, profile_id: int, start: int | None = None, index: int = 0) -> Any:
        """Create a GPU instance and return its handle."""
        gpu = self.gpu(index)
        if start is None:
            return self.nvml.nvmlDeviceCreateGpuInstance(gpu, profile_id)
        size = dict(self.placements(profile_id, index))[start]
        at = self.nvml.c_nvmlGpuInstancePlacement_t(start=start, size=size)
        return self.nvml.nvmlDeviceCreateGpuInstanceWithPlacement(gpu, profile_id, ctypes.byref(at))

    def create_slice(
        self, profile_id: int, start: int | None = None, compute: int | None = None, index: int = 0
    ) -> tuple[Any, Any]:
        """Create a GPU instance with the compute instance that fills it; both handles."""
        gi = self.create(profile_id, start, index)
        chosen = FULL_COMPUTE[profile_id] if compute is None else compute
        return gi, self.nvml.nvmlGpuInstanceCreateComputeInstance(gi, chosen)

    def gi(self, handle: Any) -> tuple[int, int, int]:
        """(id, start, size) of a GPU instance."""
        info = self.nvml.nvmlGpuInstanceGetInfo(handle)
        return info.id, info.placement.start, info.placement.size

    def mig_device(self, compute_instance: Any) -> Any:
        """The device handle of a compute instance, safe from being overwritten."""
        info = self.nvml.nvmlComputeInstanceGetInfo_v2(compute_instance)
        return ctypes.cast(info.device, self.nvml.c_nvmlDevice_t)

    def uuid(self, compute_instance: Any) -> str:
        """The UUID of a compute instance's MIG device."""
        answer: str = self.nvml.nvmlDeviceGetUUID(self.mig_device(compute_instance))
        return answer

    def placements(self, profile_id: int, index: int = 0) -> list[tuple[int, int]]:
        """(start, size) of a profile's possible placements."""
        count = ctypes.c_uint(0)
        ask = self.nvml.nvmlDeviceGetGpuInstancePossiblePlacements
        ask(self.gpu(index), profile_id, None, ctypes.byref(count))
        found = (self.nvml.c_nvmlGpuInstancePlacement_t * count.value)()
        ask(self.gpu(index), profile_id, found, ctypes.byref(count))
        return [(one.start, one.size) for one in found]

    def free(self, profile_id: int, index: int = 0) -> int:
        """How many more of a profile fit."""
        answer: int = self.nvml.nvmlDeviceGetGpuInstanceRemainingCapacity(
            self.gpu(index), profile_id
        )
        return answer

    def code(self, call: Callable[..., Any], *arguments: Any) -> int:
        """The NVML code a call ends with."""
        try:
            call(*arguments)
        except self.nvml.NVMLError as error:
            answer: int = error.value
            return answer
        return SUCCESS
