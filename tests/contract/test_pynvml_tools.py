"""Programs written on pynvml by others, run unchanged on a simulated GPU.

The seam is pynvml, so whatever reads a real card has to read a simulated one. nvitop and gpustat
are independent of gpuslice and of each other, and each is run as its users run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpuslice import simulator
from gpuslice.simulator.codes import Code
from gpuslice.simulator.fault_file import FaultFile
from gpuslice.simulator.faults import Fail, Fault
from simulated import SimulatedMachine

MIB = 1024 * 1024
SIMULATION = "a100-80gb"

HOLD_50_MIB = "held = bytearray(50 << 20); print(flush=True); input()"

COUNT_THREE_TIMES = """
import pynvml

pynvml.nvmlInit()
for _ in range(3):
    try:
        print(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError as error:
        print(error)
"""

ASK_NVITOP = """
import json
from nvitop.api import Device

def describe(device):
    processes = {pid: process.gpu_memory() for pid, process in device.processes().items()}
    return {
        "name": device.name(),
        "uuid": device.uuid(),
        "total": device.memory_total(),
        "used": device.memory_used(),
        "processes": processes,
    }

(gpu,) = Device.all()
print(json.dumps({
    "gpu": describe(gpu) | {"mig": gpu.is_mig_mode_enabled(), "temperature": gpu.temperature()},
    "slices": [
        describe(mig)
        | {"index": mig.index, "ids": [mig.gpu_instance_id(), mig.compute_instance_id()]}
        for mig in gpu.mig_devices()
    ],
}))
"""


@dataclass(frozen=True, kw_only=True)
class TwoSlices:
    """A simulated A100 with a 3g and a 2g slice, and a process on the first."""

    directory: Path
    gpu_uuid: str
    slice_uuids: tuple[str, str]
    pid: int

    def run(self, *arguments: str) -> str:
        variables = simulator.tool_environment(self.directory, SIMULATION)
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout


@pytest.fixture(scope="module")
def two_slices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSlices]:
    machine = SimulatedMachine(tmp_path_factory.mktemp("tools"), SIMULATION)
    gpu = machine.enable_mig()
    uuids = (
        machine.uuid(machine.create_slice(9, 4)[1]),
        machine.uuid(machine.create_slice(14, 0)[1]),
    )
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_50_MIB],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": uuids[0]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.readline()
        yield TwoSlices(
            directory=machine.directory,
            gpu_uuid=machine.nvml.nvmlDeviceGetUUID(gpu),
            slice_uuids=uuids,
            pid=server.pid,
        )
        server.stdin.write("\n")


@pytest.fixture(scope="module")
def nvitop_says(two_slices: TwoSlices) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(two_slices.run("-c", ASK_NVITOP))
    return answer


def test_nvitop_sees_the_gpu(two_slices: TwoSlices, nvitop_says: dict[str, Any]) -> None:
    gpu = nvitop_says["gpu"]

    assert gpu["name"] == "NVIDIA A100-SXM4-80GB"
    assert gpu["uuid"] == two_slices.gpu_uuid
    assert gpu["total"] == 81920 * MIB
    assert gpu["mig"] is True
    assert gpu["temperature"] == "N/A"
    assert list(gpu["processes"]) == [str(two_slices.pid)]


def test_nvitop_sees_the_slices(two_slices: TwoSlices, nvitop_says: dict[str, Any]) -> None:
    large, small = nvitop_says["slices"]

    assert (large["uuid"], small["uuid"]) == two_slices.slice_uuids
    assert large["name"] == "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
    assert small["name"] == "NVIDIA A100-SXM4-80GB MIG 2g.20gb"
    assert (large["total"], small["total"]) == (40192 * MIB, 19968 * MIB)
    assert (large["index"], small["index"]) == ([0, 0], [0, 1])
    assert (large["ids"], small["ids"]) == ([2, 0], [3, 0])


def test_nvitop_sees_the_memory_of_the_process(
    two_slices: TwoSlices, nvitop_says: dict[str, Any]
) -> None:
    large, small = nvitop_says["slices"]
    held = large["processes"][str(two_slices.pid)]

    assert held > 50 * MIB
    assert large["used"] == held + 13 * MIB
    assert small["processes"] == {}
    assert small["used"] == 13 * MIB


def test_gpustat_sees_the_gpu_and_its_process(two_slices: TwoSlices) -> None:
    answer = json.loads(two_slices.run("-m", "gpustat", "--json"))

    assert answer["driver_version"] == "580.159.04"
    (gpu,) = answer["gpus"]
    assert gpu["uuid"] == two_slices.gpu_uuid
    assert gpu["name"] == "NVIDIA A100-SXM4-80GB"
    assert gpu["memory.total"] == 81920
    assert gpu["memory.used"] > 50 + 2 * 13
    assert gpu["utilization.gpu"] is None
    assert [process["pid"] for process in gpu["processes"]] == [two_slices.pid]
    assert gpu["processes"][0]["gpu_memory_usage"] > 50


def test_a_fault_of_the_machine_strikes_a_program_that_knows_nothing_of_it(
    two_slices: TwoSlices,
) -> None:
    file = FaultFile(two_slices.directory)
    file.add(Fault(effect=Fail(Code.TIMEOUT), call="nvmlDeviceGetCount_v2", at=2))
    try:
        said = two_slices.run("-c", COUNT_THREE_TIMES)
    finally:
        file.clear()

    assert said.split("\n")[:3] == ["1", "Timeout", "1"]
