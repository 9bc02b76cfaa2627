from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuslice.driver.calls import NvmlCalls, open_device
from gpuslice.driver.processes import describe, process_name, read_processes
from gpuslice.model.gpu import GpuProcess, Slice
from simulated_gpus import SimulatedGpus, simulated_gpus

COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"


@dataclass(frozen=True, slots=True)
class Raw:
    """A process as NVML shows it."""

    pid: int
    usedGpuMemory: int | None = 5 << 20  # noqa: N815 - NVML's name
    gpuInstanceId: int = 0xFFFFFFFF  # noqa: N815 - NVML's name


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path / "machine")


@pytest.fixture
def made(machine: SimulatedGpus) -> Slice:
    return machine.driver.create_slice(machine.planned("2g.20gb", 0))


def read(machine: SimulatedGpus, proc: Path) -> tuple[GpuProcess, ...]:
    nvml = NvmlCalls(machine.nvml)
    return read_processes(nvml, open_device(nvml, machine.gpu.uuid), proc=proc)


def show(machine: SimulatedGpus, *, parent: list[Raw], slice_: list[Raw]) -> None:
    def listed(handle: object) -> list[Raw]:
        return slice_ if machine.nvml.nvmlDeviceIsMigDeviceHandle(handle).value else parent

    machine.nvml.replace(COMPUTE, listed)


def test_a_process_shown_by_gpu_and_slice_is_listed_once(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    on_slice = Raw(7, gpuInstanceId=made.gpu_instance_id)
    show(machine, parent=[on_slice], slice_=[on_slice])
    (process,) = read(machine, tmp_path)
    assert process == GpuProcess(pid=7, name="", memory_mib=5, gpu_instance_id=made.gpu_instance_id)


def test_a_process_of_a_mig_device_belongs_to_its_slice_even_if_it_is_not_said(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    show(machine, parent=[], slice_=[Raw(7)])
    (process,) = read(machine, tmp_path)
    assert process.gpu_instance_id == made.gpu_instance_id


def test_a_process_on_the_whole_gpu_is_on_no_slice(machine: SimulatedGpus, tmp_path: Path) -> None:
    show(machine, parent=[Raw(7, usedGpuMemory=None)], slice_=[])
    (process,) = read(machine, tmp_path)
    assert (process.gpu_instance_id, process.memory_mib) == (None, None)


def test_graphics_programs_count_too(machine: SimulatedGpus, tmp_path: Path) -> None:
    machine.nvml.replace(GRAPHICS, lambda handle: [Raw(9)])
    assert [process.pid for process in read(machine, tmp_path)] == [9]


def test_without_privilege_on_the_gpu_its_slices_still_tell(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    def listed(handle: object) -> list[Raw]:
        if not machine.nvml.nvmlDeviceIsMigDeviceHandle(handle).value:
            machine.nvml.refuse(machine.nvml.NVML_ERROR_NO_PERMISSION)
        return [Raw(7)]

    machine.nvml.replace(COMPUTE, listed)
    assert [process.pid for process in read(machine, tmp_path)] == [7]


def test_a_driver_that_lacks_a_list_still_gives_the_others(
    machine: SimulatedGpus, tmp_path: Path
) -> None:
    machine.nvml.fail(COMPUTE, machine.nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    machine.nvml.replace(GRAPHICS, lambda handle: [Raw(9)])
    assert [process.pid for process in read(machine, tmp_path)] == [9]


def test_the_name_is_the_command_name(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_text("VLLM::EngineCor\n")
    assert process_name(7, proc=tmp_path) == "VLLM::EngineCor"


def test_the_name_of_a_process_that_ended_is_empty(tmp_path: Path) -> None:
    assert process_name(7, proc=tmp_path) == ""


def test_processes_are_described_with_pid_and_name() -> None:
    processes = [GpuProcess(pid=7, name="vllm"), GpuProcess(pid=8)]
    assert describe(processes) == "vllm (pid 7), a process (pid 8)"
