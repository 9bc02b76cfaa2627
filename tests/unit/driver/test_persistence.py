from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import PermissionDeniedError, ReadBackError
from gpuslice.simulator.machine import set_privileged
from simulated_gpus import SimulatedGpus, simulated_gpus

SET = "nvmlDeviceSetPersistenceMode"


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path, mig=False)


def test_persistence_mode_is_switched_and_read_back(machine: SimulatedGpus) -> None:
    for enabled in (False, True):
        machine.driver.set_persistence_mode(machine.gpu.uuid, enabled=enabled)
        assert machine.gpu.persistence_mode is enabled


def test_switching_to_what_is_there_calls_nothing(machine: SimulatedGpus) -> None:
    machine.nvml.fail(SET, machine.nvml.NVML_ERROR_UNKNOWN)
    machine.driver.set_persistence_mode(machine.gpu.uuid, enabled=True)


def test_success_without_effect_is_noticed(machine: SimulatedGpus) -> None:
    machine.nvml.replace(SET, lambda handle, mode: None)
    with pytest.raises(ReadBackError, match="disable persistence mode on GPU 0"):
        machine.driver.set_persistence_mode(machine.gpu.uuid, enabled=False)


def test_only_root_switches_it(machine: SimulatedGpus) -> None:
    set_privileged(machine.directory, privileged=False)
    with pytest.raises(PermissionDeniedError):
        machine.driver.set_persistence_mode(machine.gpu.uuid, enabled=False)
    assert machine.gpu.persistence_mode is True


def test_a_driver_that_does_not_tell_is_not_taken_for_off(machine: SimulatedGpus) -> None:
    machine.nvml.fail("nvmlDeviceGetPersistenceMode", machine.nvml.NVML_ERROR_NOT_SUPPORTED)
    assert machine.gpu.persistence_mode is None
