"""Resetting a GPU: NVIDIA's tool, as a fake program that prints what the real one prints."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from builders import a_gpu
from gpuslice.agent.node import Node
from gpuslice.driver.reset import code_resetter, smi_resetter
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import (
    DriverError,
    DriverHungError,
    GpuBusyError,
    GpuLostError,
    PermissionDeniedError,
    ResetRequiredError,
)
from gpuslice.model.gpu import Gpu, MigMode
from gpuslice.simulator.machine import set_clients, set_passthrough
from machines import open_simulated
from simulated_gpus import SimulatedGpus, simulated_gpus

OFF = MigMode(current=False, pending=False)
ON = MigMode(current=True, pending=True)
MINUTE_S = 60.0


def a_program(folder: Path, body: str) -> str:
    """An executable that runs Python and keeps its arguments in the file ``arguments``."""
    program = folder / "nvidia-smi"
    file = str(folder / "arguments")
    noted = f"import pathlib, sys\npathlib.Path({file!r}).write_text(repr(sys.argv[1:]))\n"
    program.write_text(f"#!{sys.executable}\n{noted}{body}\n")
    program.chmod(0o755)
    return str(program)


def printing(folder: Path, text: str, status: int) -> str:
    return a_program(folder, f"print({text!r}); raise SystemExit({status})")


def test_the_tool_is_told_one_gpu_by_its_uuid_and_nothing_else(tmp_path: Path) -> None:
    gpu = a_gpu(uuid="GPU-1; touch x")
    smi_resetter(program=printing(tmp_path, "All done.", 0), limit_s=MINUTE_S)(gpu)
    assert (tmp_path / "arguments").read_text() == repr(["--gpu-reset", "-i", "GPU-1; touch x"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("GPU 00000000:36:00.0: In use by another client", GpuBusyError),
        ("1 device is currently being used by one or more other processes", GpuBusyError),
        ("Insufficient Permissions", PermissionDeniedError),
        ("Resetting GPU 00000000:00:06.0 is not supported.", ResetRequiredError),
        ("Something else went wrong", DriverError),
    ],
)
def test_what_the_tool_says_becomes_an_error_of_ours(
    tmp_path: Path, text: str, kind: type[DriverError]
) -> None:
    reset = smi_resetter(program=printing(tmp_path, f"{text}\n\nAbort.", 3), limit_s=MINUTE_S)
    with pytest.raises(DriverError, match=r"GPU 0 .* was not reset: .* status 3") as caught:
        reset(a_gpu())
    assert type(caught.value) is kind
    assert caught.value.details == (text, "Abort.")
    assert caught.value.hint


def test_a_tool_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    program = a_program(tmp_path, "import time; time.sleep(3600)")
    with pytest.raises(DriverHungError, match=r"--gpu-reset -i GPU-.* did not end within 0\.01 s"):
        smi_resetter(program=program, limit_s=0.01)(a_gpu())


def test_a_machine_without_the_tool_says_so(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="not installed here"):
        smi_resetter(program=str(tmp_path / "absent"))(a_gpu())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (NvmlCode.IN_USE, GpuBusyError),
        (NvmlCode.NO_PERMISSION, PermissionDeniedError),
        (NvmlCode.NOT_SUPPORTED, ResetRequiredError),
        (15, GpuLostError),
        (999, DriverError),
    ],
)
def test_a_code_of_the_simulator_becomes_the_same_error(code: int, kind: type[DriverError]) -> None:
    with pytest.raises(DriverError, match="GPU 3") as caught:
        code_resetter(lambda index: code)(a_gpu(index=3))
    assert type(caught.value) is kind


def test_a_code_of_success_is_silent() -> None:
    asked: list[int] = []

    def reset(index: int) -> int:
        asked.append(index)
        return 0

    code_resetter(reset)(a_gpu(index=3))
    assert asked == [3]


def test_a_simulated_reset_that_does_not_end_is_given_up() -> None:
    released = threading.Event()

    def reset(index: int) -> int:
        released.wait()
        return 0

    with pytest.raises(DriverHungError, match="GPU 3 was to be reset"):
        code_resetter(reset, limit_s=0.01)(a_gpu(index=3))
    released.set()


# --- Through the driver ---------------------------------------------------------------------------


class Resets:
    """Counts resets and brings what was pending into force, as a reset does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gpus: list[int] = []
        self.error: DriverError | None = None

    def __call__(self, gpu: Gpu) -> None:
        self.gpus.append(gpu.index)
        if self.error is not None:
            raise self.error
        # A virtual machine that is restarted; simulated, a pending mode is in force then.
        set_passthrough(self.directory, passthrough=False)
        other = simulated_gpus(self.directory, SIMULATION, mig=False)
        wanted = other.driver.read().gpus[gpu.index].mig
        assert wanted is not None
        handle = other.nvml.nvmlDeviceGetHandleByIndex(gpu.index)
        other.nvml.nvmlDeviceSetMigMode(handle, int(wanted.pending))
        set_passthrough(self.directory, passthrough=True)


SIMULATION = "a100-80gb:2"


@pytest.fixture
def resets(tmp_path: Path) -> Resets:
    return Resets(tmp_path)


@pytest.fixture
def machine(tmp_path: Path, resets: Resets) -> SimulatedGpus:
    """Two Ampere GPUs whose mode changes with a reset only."""
    machine = simulated_gpus(tmp_path, SIMULATION, mig=False, resetter=resets)
    set_passthrough(tmp_path, passthrough=True)
    return machine


def modes(machine: SimulatedGpus) -> list[MigMode | None]:
    return [gpu.mig for gpu in machine.driver.read().gpus]


def test_a_mode_that_needs_a_reset_gets_one_of_that_gpu_only(
    machine: SimulatedGpus, resets: Resets
) -> None:
    second = machine.driver.read().gpus[1]
    machine.driver.set_mig_mode(second.uuid, enabled=True, reset=True)
    assert modes(machine) == [OFF, ON]
    assert resets.gpus == [1]


def test_nothing_is_reset_that_was_not_allowed(machine: SimulatedGpus, resets: Resets) -> None:
    with pytest.raises(ResetRequiredError):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert resets.gpus == []
    assert modes(machine) == [OFF, OFF]


def test_nothing_is_reset_where_the_mode_changes_at_once(tmp_path: Path, resets: Resets) -> None:
    machine = simulated_gpus(tmp_path, "h100-80gb", mig=False, resetter=resets)
    machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True, reset=True)
    assert modes(machine) == [ON]
    assert resets.gpus == []


def test_a_reset_that_fails_leaves_nothing_pending(machine: SimulatedGpus, resets: Resets) -> None:
    resets.error = ResetRequiredError("GPU 0 was not reset: no.", hint="Restart the machine.")
    with pytest.raises(ResetRequiredError, match="was not reset") as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True, reset=True)
    assert "nothing was changed, at the next restart neither" in caught.value.details[0]
    assert modes(machine) == [OFF, OFF]


def test_a_reset_without_effect_is_noticed(machine: SimulatedGpus, tmp_path: Path) -> None:
    idle = simulated_gpus(tmp_path, SIMULATION, mig=False, resetter=lambda gpu: None)
    with pytest.raises(ResetRequiredError, match="wants a reset first"):
        idle.driver.set_mig_mode(machine.gpu.uuid, enabled=True, reset=True)
    assert modes(machine) == [OFF, OFF]


def test_a_gpu_with_slices_is_not_reset(tmp_path: Path, resets: Resets) -> None:
    machine = simulated_gpus(tmp_path, SIMULATION, resetter=resets)
    made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
    with pytest.raises(GpuBusyError, match="GPU 0 cannot be reset while slices") as caught:
        machine.driver.reset_gpu(machine.gpu.uuid)
    assert "2g.20gb at 0:2" in caught.value.details[0]
    assert resets.gpus == []
    assert machine.slices() == (made,)


def test_a_gpu_that_a_process_holds_is_not_reset(tmp_path: Path, resets: Resets) -> None:
    machine = simulated_gpus(tmp_path, SIMULATION, mig=False, resetter=resets)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": machine.gpu.uuid}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        with pytest.raises(GpuBusyError, match=rf"cannot be reset .* \(pid {process.pid}\)"):
            machine.driver.reset_gpu(machine.gpu.uuid)
        process.communicate()
    assert resets.gpus == []


def test_the_driver_is_not_a_client_of_the_gpu_it_resets(tmp_path: Path) -> None:
    connections: list[int] = []
    opened: list[SimulatedGpus] = []

    def look(gpu: Gpu) -> None:
        connections.append(opened[0].nvml.original.nvmlLib._session.users)

    opened.append(simulated_gpus(tmp_path, mig=False, resetter=look))
    opened[0].driver.reset_gpu(opened[0].gpu.uuid)
    assert connections == [0]
    assert opened[0].gpu.mig == OFF, "it is connected again"


def test_a_reset_that_fails_leaves_a_driver_that_works(tmp_path: Path, resets: Resets) -> None:
    resets.error = GpuBusyError("GPU 0 was not reset: in use.")
    machine = simulated_gpus(tmp_path, SIMULATION, mig=False, resetter=resets)
    with pytest.raises(GpuBusyError):
        machine.driver.reset_gpu(machine.gpu.uuid)
    assert modes(machine) == [OFF, OFF]


def test_a_driver_without_a_resetter_says_so(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    with pytest.raises(DriverError, match="GPU 0 cannot be reset from here"):
        machine.driver.reset_gpu(machine.gpu.uuid)


def test_a_client_in_the_way_is_not_answered_with_a_reset(tmp_path: Path, resets: Resets) -> None:
    machine = simulated_gpus(tmp_path, SIMULATION, mig=False, resetter=resets)
    set_clients(tmp_path, 0, (os.getpid(),))
    with pytest.raises(GpuBusyError):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True, reset=True)
    assert resets.gpus == []


# --- The simulator's own reset --------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A simulated machine as every command opens it."""
    return open_simulated(tmp_path, "a100-80gb:2")


def test_a_reset_brings_a_pending_mode_of_that_gpu_into_force(node: Node) -> None:
    folder = node.machine.simulator_dir
    machine = simulated_gpus(folder, "a100-80gb:2", mig=False)
    for index in (0, 1):
        set_clients(folder, index, (os.getpid(),))
        machine.nvml.nvmlDeviceSetMigMode(machine.nvml.nvmlDeviceGetHandleByIndex(index), 1)
        set_clients(folder, index, ())
    pending = MigMode(current=False, pending=True)
    assert modes(machine) == [pending, pending]
    node.driver.reset_gpu(machine.gpu.uuid)
    assert modes(machine) == [ON, pending]


def test_what_is_passed_through_is_not_reset_and_the_restart_is_named(node: Node) -> None:
    set_passthrough(node.machine.simulator_dir, passthrough=True)
    (gpu, _) = node.driver.read().gpus
    with pytest.raises(ResetRequiredError, match="was not reset") as caught:
        node.driver.set_mig_mode(gpu.uuid, enabled=True, reset=True)
    assert "Restart the virtual machine" in caught.value.hint
    assert node.driver.read().gpus[0].mig == OFF


def test_a_driver_that_could_not_connect_anew_after_a_reset_tries_again_when_it_is_used(
    tmp_path: Path,
) -> None:
    gpus = simulated_gpus(tmp_path, mig=False, resetter=code_resetter(lambda _: 0))
    before = gpus.gpu
    gpus.nvml.fail("nvmlInit", NvmlCode.NO_PERMISSION, times=1)
    with pytest.raises(PermissionDeniedError):
        gpus.driver.reset_gpu(before.uuid)
    assert gpus.gpu == before
    gpus.driver.close()


def test_a_driver_that_is_cut_off_can_be_closed(tmp_path: Path) -> None:
    gpus = simulated_gpus(tmp_path, mig=False, resetter=code_resetter(lambda _: 0))
    uuid = gpus.gpu.uuid
    gpus.nvml.fail("nvmlInit", NvmlCode.NO_PERMISSION)
    with pytest.raises(PermissionDeniedError):
        gpus.driver.reset_gpu(uuid)
    gpus.driver.close()
