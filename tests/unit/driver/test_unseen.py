"""A survey reads what the caller may read, and says what it could not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuslice.errors import GpuLostError, PermissionDeniedError
from gpuslice.model.gpu import Sight
from gpuslice.simulator.machine import set_lost, set_privileged
from simulated_gpus import SimulatedGpus, simulated_gpus


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    """A GPU with two slices, read without privilege."""
    machine = simulated_gpus(tmp_path)
    for start in (0, 2):
        machine.driver.create_slice(machine.planned("2g.20gb", start))
    set_privileged(tmp_path, privileged=False)
    return machine


def unseen(machine: SimulatedGpus) -> dict[Sight, str]:
    return {one.what: one.text for one in machine.driver.survey().gpus[0].unseen}


def test_slices_out_of_sight_are_told_with_the_mig_devices_that_are_not(
    machine: SimulatedGpus,
) -> None:
    (gpu,) = machine.driver.survey().gpus
    assert not gpu.shows_slices
    assert gpu.slices == ()
    text = unseen(machine)[Sight.SLICES]
    assert "root" in text
    assert text.endswith("MIG devices in sight: 2 × 2g.20gb")


def test_mig_devices_out_of_sight_are_not_claimed_to_be_none(machine: SimulatedGpus) -> None:
    machine.nvml.fail("nvmlDeviceGetMigDeviceHandleByIndex", machine.nvml.NVML_ERROR_NO_PERMISSION)
    assert unseen(machine)[Sight.SLICES].endswith("in sight: none")
    assert not machine.driver.survey().gpus[0].shows_slices


def test_a_reading_for_a_change_takes_no_part_for_the_whole(machine: SimulatedGpus) -> None:
    with pytest.raises(PermissionDeniedError):
        machine.driver.read()


def test_with_privilege_a_survey_is_a_reading(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.driver.survey() == machine.driver.read()


def test_memory_that_nobody_tells_is_told_to_be_missing(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail("nvmlDeviceGetMemoryInfo", machine.nvml.NVML_ERROR_NO_PERMISSION)
    be_another_board(machine)
    assert Sight.MEMORY in unseen(machine)


@pytest.mark.parametrize("code", [3, 4, 13])  # not supported, no permission, no such function
def test_placements_that_nobody_tells_are_told_to_be_missing(tmp_path: Path, code: int) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail("nvmlDeviceGetGpuInstancePossiblePlacements", code)
    be_another_board(machine)
    assert "2g.20gb" in unseen(machine)[Sight.PLACEMENTS]


def test_placements_that_the_board_table_knows_are_not_missing(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail("nvmlDeviceGetGpuInstancePossiblePlacements", 13)
    assert unseen(machine) == {}


def be_another_board(machine: SimulatedGpus) -> None:
    """Let the GPU be one that the board table does not hold."""
    real = machine.nvml.original.nvmlDeviceGetPciInfo

    def of_another_board(handle: Any) -> Any:
        info = real(handle)
        info.pciDeviceId = 0xFFFF10DE
        return info

    machine.nvml.replace("nvmlDeviceGetName", lambda handle: "NVIDIA A900")
    machine.nvml.replace("nvmlDeviceGetPciInfo", of_another_board)


def test_a_gpu_that_has_fallen_off_the_bus_leaves_the_others_in_sight(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, "a100-80gb:3")
    before = machine.driver.read()
    set_lost(tmp_path, 1, lost=True)
    for observed in (machine.driver.read(), machine.driver.survey()):
        assert observed.lost == (1,)
        assert observed.gpus == (before.gpus[0], before.gpus[2])


def test_when_all_have_fallen_off_the_bus_nothing_can_be_read(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    set_lost(tmp_path, 0, lost=True)
    with pytest.raises(GpuLostError):
        machine.driver.survey()
