"""Who is in the way, in words, with one remedy each."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.driver.calls import Device, NvmlCalls, open_device
from gpuslice.driver.device_files import OpenFiles
from gpuslice.driver.holders import Holders, HolderSearch, describe, explained, remedy
from gpuslice.driver.translation import STOP_CLIENTS
from gpuslice.errors import GpuBusyError
from gpuslice.model.gpu import Container, GpuProcess
from simulated_gpus import COMPUTE_PROCESSES as COMPUTE
from simulated_gpus import RawProcess, SimulatedGpus, simulated_gpus

ID = "3f2a1b2c3d4e" + "0" * 52
POD = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


def in_container(runtime: str, pod: str = "") -> GpuProcess:
    return GpuProcess(pid=7, name="vllm", container=Container(id=ID, runtime=runtime, pod=pod))


DCGM = GpuProcess(pid=9, name="nv-hostengine", user="root", service="nvidia-dcgm.service")

PROCESSES = [
    (GpuProcess(pid=8), "a process (pid 8)", "kill 8"),
    (GpuProcess(pid=7, name="vllm", user="alice"), "vllm (pid 7) of alice", "kill 7"),
    (
        in_container("docker"),
        "vllm (pid 7) in docker container 3f2a1b2c3d4e",
        "docker stop 3f2a1b2c3d4e",
    ),
    (
        in_container("podman"),
        "vllm (pid 7) in podman container 3f2a1b2c3d4e",
        "podman stop 3f2a1b2c3d4e",
    ),
    (
        in_container("cri-o"),
        "vllm (pid 7) in cri-o container 3f2a1b2c3d4e",
        "crictl stop 3f2a1b2c3d4e",
    ),
    (
        in_container("", POD),
        f"vllm (pid 7) in container 3f2a1b2c3d4e of pod {POD}",
        "kubectl drain NODE",
    ),
    (
        DCGM,
        "nv-hostengine (pid 9) of root in service nvidia-dcgm.service – DCGM, a monitor",
        "systemctl stop nvidia-dcgm.service",
    ),
    (
        GpuProcess(pid=3, name="Xorg", open_file="/dev/nvidia0"),
        "Xorg (pid 3) – the display server – has /dev/nvidia0 open",
        "kill 3",
    ),
    (
        GpuProcess(pid=3, name="vllm", service=r"vllm@a\x2db.service"),
        r"vllm (pid 3) in service vllm@a\x2db.service",
        r"systemctl stop 'vllm@a\x2db.service'",
    ),
]


@pytest.mark.parametrize(("process", "text", "command"), PROCESSES)
def test_a_process_is_named_with_what_stops_it(
    process: GpuProcess, text: str, command: str
) -> None:
    assert describe(process) == text
    assert remedy(process) == command


@pytest.mark.parametrize("name", ["nvidia-persistenced", "nv-fabricmanager"])
def test_daemons_with_long_names_are_known_as_the_kernel_cuts_them(name: str) -> None:
    assert " – " in describe(GpuProcess(pid=1, name=name[:15]))


def test_one_holder_gives_one_command() -> None:
    told = explained(GpuBusyError("It would not go."), Holders(processes=(DCGM,)))
    assert told.message.startswith("It would not go. It is held by nv-hostengine (pid 9) of root")
    assert told.hint == "Stop it with `systemctl stop nvidia-dcgm.service`, then repeat."


def test_several_holders_give_a_line_each() -> None:
    holders = Holders(processes=(DCGM, GpuProcess(pid=8)))
    told = explained(GpuBusyError("No.", details=("left over",)), holders)
    assert told.hint == STOP_CLIENTS
    assert told.details == (
        "nv-hostengine 9: `systemctl stop nvidia-dcgm.service`",
        "process 8: `kill 8`",
        "left over",
    )


def test_where_nobody_was_found_it_is_said_what_was_not_seen() -> None:
    error = GpuBusyError("It would not go.", hint="As it was.")
    told = explained(error, Holders(unseen=("12 processes hide.",)))
    assert (told.message, told.hint, told.details) == (
        "It would not go.",
        "As it was.",
        ("12 processes hide.",),
    )
    assert Holders().text == "a client that NVML does not name"


# --- The search -----------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path / "machine")


class Openers:
    """Answers what was found, and remembers what was asked for."""

    def __init__(self, opened: OpenFiles) -> None:
        self.opened = opened
        self.asked: list[frozenset[str]] = []

    def __call__(self, files: frozenset[str]) -> OpenFiles:
        self.asked.append(files)
        return self.opened


def a_search(
    machine: SimulatedGpus, openers: Openers, *, real: bool = True
) -> tuple[HolderSearch, Device]:
    nvml = NvmlCalls(machine.nvml)
    search = HolderSearch(
        nvml=nvml, device_files=real, proc=machine.directory, find_openers=openers
    )
    return search, open_device(nvml, machine.gpu.uuid)


def pids(holders: Holders) -> list[int]:
    return [process.pid for process in holders.processes]


def test_who_has_the_device_file_open_is_found_beside_those_nvml_lists(
    machine: SimulatedGpus,
) -> None:
    machine.nvml.replace(COMPUTE, lambda handle: [RawProcess(5)])
    openers = Openers(OpenFiles(pids=(5, 6)))
    search, device = a_search(machine, openers)
    holders = search.on_gpu(device)
    assert pids(holders) == [5, 6]
    assert [process.open_file for process in holders.processes] == ["", "/dev/nvidia0"]
    assert openers.asked == [frozenset({"/dev/nvidia0"})]


def test_simulated_gpus_have_no_device_file(machine: SimulatedGpus) -> None:
    openers = Openers(OpenFiles(pids=(6,)))
    search, device = a_search(machine, openers, real=False)
    assert pids(search.on_gpu(device)) == []
    assert openers.asked == []


def test_the_holder_of_a_slice_is_its_own_process(machine: SimulatedGpus) -> None:
    machine.nvml.replace(
        COMPUTE, lambda handle: [RawProcess(5, gpuInstanceId=3), RawProcess(6, gpuInstanceId=4)]
    )
    openers = Openers(OpenFiles(pids=()))
    search, device = a_search(machine, openers)
    assert pids(search.on_slice(device, 3)) == [5]
    assert openers.asked == [], "files are looked through only when NVML names nobody"


def test_where_nvml_names_nobody_on_a_slice_clients_of_other_slices_are_not_blamed(
    machine: SimulatedGpus,
) -> None:
    machine.nvml.replace(COMPUTE, lambda handle: [RawProcess(6, gpuInstanceId=4)])
    search, device = a_search(machine, Openers(OpenFiles(pids=(6, 9))))
    assert pids(search.on_slice(device, 3)) == [9]


def test_what_could_not_be_looked_through_is_told(machine: SimulatedGpus) -> None:
    search, device = a_search(machine, Openers(OpenFiles(pids=(), hidden=12, complete=False)))
    holders = search.on_gpu(device)
    assert "12 processes of other users" in holders.unseen[0]
    assert "not all could be looked through" in holders.unseen[1]


def test_a_driver_that_does_not_tell_the_device_file_is_asked_no_further(
    machine: SimulatedGpus,
) -> None:
    machine.nvml.fail("nvmlDeviceGetMinorNumber", machine.nvml.NVML_ERROR_NOT_SUPPORTED)
    openers = Openers(OpenFiles(pids=(6,)))
    search, device = a_search(machine, openers)
    assert pids(search.on_gpu(device)) == []
