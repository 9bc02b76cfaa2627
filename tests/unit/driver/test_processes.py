from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from gpuslice.driver.calls import NvmlCalls, open_device
from gpuslice.driver.processes import describe_process, process_name, read_processes
from gpuslice.model.gpu import Container, GpuProcess, Slice
from simulated_gpus import COMPUTE_PROCESSES as COMPUTE
from simulated_gpus import RawProcess, SimulatedGpus, simulated_gpus

GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path / "machine")


@pytest.fixture
def made(machine: SimulatedGpus) -> Slice:
    return machine.driver.create_slice(machine.planned("2g.20gb", 0))


def read(machine: SimulatedGpus, proc: Path) -> tuple[GpuProcess, ...]:
    nvml = NvmlCalls(machine.nvml)
    return read_processes(nvml, open_device(nvml, machine.gpu.uuid), proc=proc)


def show(machine: SimulatedGpus, *, parent: list[RawProcess], slice_: list[RawProcess]) -> None:
    def listed(handle: object) -> list[RawProcess]:
        return slice_ if machine.nvml.nvmlDeviceIsMigDeviceHandle(handle).value else parent

    machine.nvml.replace(COMPUTE, listed)


def test_a_process_shown_by_gpu_and_slice_is_listed_once(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    on_slice = RawProcess(7, gpuInstanceId=made.gpu_instance_id)
    show(machine, parent=[on_slice], slice_=[on_slice])
    (process,) = read(machine, tmp_path)
    assert process == GpuProcess(pid=7, name="", memory_mib=5, gpu_instance_id=made.gpu_instance_id)


def test_a_process_of_a_mig_device_belongs_to_its_slice_even_if_it_is_not_said(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    show(machine, parent=[], slice_=[RawProcess(7)])
    (process,) = read(machine, tmp_path)
    assert process.gpu_instance_id == made.gpu_instance_id


def test_a_process_on_the_whole_gpu_is_on_no_slice(machine: SimulatedGpus, tmp_path: Path) -> None:
    show(machine, parent=[RawProcess(7, usedGpuMemory=None)], slice_=[])
    (process,) = read(machine, tmp_path)
    assert (process.gpu_instance_id, process.memory_mib) == (None, None)


def test_graphics_programs_count_too(machine: SimulatedGpus, tmp_path: Path) -> None:
    machine.nvml.replace(GRAPHICS, lambda handle: [RawProcess(9)])
    assert [process.pid for process in read(machine, tmp_path)] == [9]


def test_without_privilege_on_the_gpu_its_slices_still_tell(
    machine: SimulatedGpus, made: Slice, tmp_path: Path
) -> None:
    def listed(handle: object) -> list[RawProcess]:
        if not machine.nvml.nvmlDeviceIsMigDeviceHandle(handle).value:
            machine.nvml.refuse(machine.nvml.NVML_ERROR_NO_PERMISSION)
        return [RawProcess(7)]

    machine.nvml.replace(COMPUTE, listed)
    assert [process.pid for process in read(machine, tmp_path)] == [7]


def test_a_driver_that_lacks_a_list_still_gives_the_others(
    machine: SimulatedGpus, tmp_path: Path
) -> None:
    machine.nvml.fail(COMPUTE, machine.nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    machine.nvml.replace(GRAPHICS, lambda handle: [RawProcess(9)])
    assert [process.pid for process in read(machine, tmp_path)] == [9]


def test_a_driver_that_knows_the_older_list_only_is_asked_for_that(
    machine: SimulatedGpus, tmp_path: Path
) -> None:
    machine.nvml.fail(COMPUTE, machine.nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    machine.nvml.replace(f"{COMPUTE}_v2", lambda handle: [RawProcess(5)])
    assert [process.pid for process in read(machine, tmp_path)] == [5]


def a_process(proc: Path, pid: int = 7, *, comm: str = "vllm", cgroup: str = "0::/\n") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cgroup").write_text(cgroup)


def test_the_name_is_the_command_name(tmp_path: Path) -> None:
    a_process(tmp_path, comm="VLLM::EngineCor")
    assert process_name(7, proc=tmp_path) == "VLLM::EngineCor"


def test_the_name_of_a_process_that_ended_is_empty(tmp_path: Path) -> None:
    assert process_name(7, proc=tmp_path) == ""


def test_a_name_that_would_move_the_cursor_does_not(tmp_path: Path) -> None:
    a_process(tmp_path, comm="\x1b[2Jnice")
    assert process_name(7, proc=tmp_path) == "?[2Jnice"


def test_a_process_is_described_with_its_user(tmp_path: Path) -> None:
    a_process(tmp_path)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert describe_process(7, proc=tmp_path) == GpuProcess(pid=7, name="vllm", user=me)


def test_a_user_without_a_name_is_told_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> NoReturn:
        raise KeyError(uid)

    a_process(tmp_path)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert describe_process(7, proc=tmp_path).user == f"user {os.getuid()}"


def test_a_process_in_a_container_belongs_to_that_and_not_to_a_service(tmp_path: Path) -> None:
    inside = f"0::/system.slice/containerd.service/docker-{'a1' * 32}.scope\n"
    a_process(tmp_path, cgroup=inside)
    told = describe_process(7, proc=tmp_path)
    assert told.container == Container(id="a1" * 32, runtime="docker")
    assert told.service == ""


def test_a_process_of_a_service_belongs_to_that(tmp_path: Path) -> None:
    a_process(tmp_path, cgroup="0::/system.slice/nvidia-dcgm.service\n")
    assert describe_process(7, proc=tmp_path).service == "nvidia-dcgm.service"


def test_a_process_that_ended_is_nobodys(tmp_path: Path) -> None:
    assert describe_process(7, proc=tmp_path) == GpuProcess(pid=7)
