"""A driver over simulated GPUs, for every test that needs one; faults by replacing NVML functions.

Everything below the driver is the shipped simulator under the real pynvml. Where a test needs an
answer that no healthy driver gives, it replaces that one function and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from gpuslice import simulator
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.patience import Patience
from gpuslice.driver.reset import Resetter, no_resetter
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import PlannedSlice

CHANGING = (
    "nvmlDeviceSetMigMode",
    "nvmlDeviceCreateGpuInstance",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
)
"""How the names begin of the NVML functions that change a machine."""


COMPUTE_PROCESSES = "nvmlDeviceGetComputeRunningProcesses"
"""The function that lists CUDA programs."""


@dataclass(frozen=True, slots=True)
class RawProcess:
    """A process as NVML shows it."""

    pid: int
    usedGpuMemory: int | None = 5 << 20  # noqa: N815 - NVML's name
    gpuInstanceId: int = 0xFFFFFFFF  # noqa: N815 - NVML's name


class NvmlWith(ModuleType):
    """A pynvml module with some functions replaced. Owned by the test that makes it."""

    def __init__(self, nvml: ModuleType) -> None:
        super().__init__("nvml")
        self.original = nvml
        self.calls_until_failure: int | None = None
        self.changes_until_death: int | None = None
        self.death: type[BaseException] = BaseException

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.original, name)
        return partial(self._count, found) if name.startswith("nvml") else found

    def _count(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.calls_until_failure is not None:
            self.calls_until_failure -= 1
            if self.calls_until_failure == -1:
                self.refuse(self.original.NVML_ERROR_UNKNOWN)
        if self.changes_until_death is not None:
            self.changes_until_death -= function.__name__.startswith(CHANGING)
            if self.changes_until_death < 0:
                raise self.death
        return function(*arguments)

    def replace(self, name: str, function: Callable[..., Any]) -> None:
        setattr(self, name, function)

    def restore(self, name: str) -> None:
        delattr(self, name)

    def fail(self, name: str, code: int, *, times: int | None = None) -> None:
        """Make a function answer with an error code, for ever or that many times."""
        left = [times]

        def failing(*arguments: Any) -> Any:
            if left[0] == 0:
                return getattr(self.original, name)(*arguments)
            left[0] = None if left[0] is None else left[0] - 1
            return self.refuse(code)

        self.replace(name, failing)

    @contextmanager
    def failing_call(self, number: int) -> Iterator[None]:
        """Make one call within the block fail, counted from 0; the others are answered."""
        self.calls_until_failure = number
        yield
        self.calls_until_failure = None

    @contextmanager
    def death_at_change(self, number: int, death: type[BaseException]) -> Iterator[None]:
        """Let the process die just before it changes something for the n-th time, from 0.

        No later call is made either, so nothing that cleans up can reach the machine.
        """
        self.changes_until_death, self.death = number, death
        try:
            yield
        finally:
            self.changes_until_death = None

    def refuse(self, code: int) -> NoReturn:
        raise self.original.NVMLError(code)


@dataclass(slots=True, kw_only=True)
class SimulatedGpus:
    """A simulated machine and a driver over it. Owned by its test.

    Attributes:
        directory: The machine's state.
        nvml: The module the driver runs over.
        driver: The driver.
        slept_s: Every pause the driver made; none of them took any time.
    """

    directory: Path
    nvml: NvmlWith
    driver: NvmlDriver
    slept_s: list[float] = field(default_factory=list)

    @property
    def gpu(self) -> Gpu:
        """The first GPU as it is now."""
        return self.driver.read().gpus[0]

    @property
    def geometry(self) -> Geometry:
        """The first GPU's geometry."""
        geometry = self.gpu.geometry
        assert geometry is not None
        return geometry

    def slices(self) -> tuple[Slice, ...]:
        """The first GPU's slices as they are now."""
        return self.gpu.slices

    def planned(self, profile: str, start: int) -> PlannedSlice:
        """Plan a slice on the first GPU."""
        gpu = self.gpu
        found = gpu.geometry.named(profile) if gpu.geometry else None
        assert found is not None, f"{profile} on {gpu.name}"
        return PlannedSlice(
            gpu_uuid=gpu.uuid,
            placement=Placement(start, found.memory_slices),
            profile=profile,
            profile_id=found.id,
            memory_mib=found.memory_mib,
        )

    def handle(self) -> Any:
        """The first GPU's handle, for what only NVML itself can do."""
        return self.nvml.nvmlDeviceGetHandleByIndex(0)


def simulated_gpus(
    directory: Path,
    simulation: str = "a100-80gb",
    *,
    mig: bool = True,
    resetter: Resetter = no_resetter,
) -> SimulatedGpus:
    """Make or open a simulated machine, with MIG on its first GPU unless told otherwise."""
    nvml = NvmlWith(simulator.load(directory, simulation))
    slept: list[float] = []
    driver = NvmlDriver(
        nvml,
        simulated=True,
        boot_id=partial(simulator.boot_id, directory),
        patience=Patience(limit_s=0.4, first_s=0.1, sleep=slept.append),
        resetter=resetter,
    )
    machine = SimulatedGpus(directory=directory, nvml=nvml, driver=driver, slept_s=slept)
    if mig:
        driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    return machine
