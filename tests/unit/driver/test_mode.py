from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpuslice.errors import GpuBusyError, ReadBackError, ResetRequiredError
from gpuslice.model.gpu import MigMode
from simulated_gpus import SimulatedGpus, simulated_gpus

OFF = MigMode(current=False, pending=False)
SUCCESS, RESET_REQUIRED, IN_USE = 0, 16, 19


@dataclass(slots=True, kw_only=True)
class StubbornMode:
    """A GPU whose mode is only ever pending; answers with one activation status."""

    status: int
    current: int = 0
    pending: int = 0
    can_be_set_back: bool = True

    def set(self, device: Any, mode: int) -> int:
        if self.can_be_set_back or mode != self.current:
            self.pending = mode
        return SUCCESS if mode == self.current else self.status

    def get(self, device: Any) -> list[int]:
        return [self.current, self.pending]


def stubborn(directory: Path, mode: StubbornMode, key: str = "a100-80gb") -> SimulatedGpus:
    machine = simulated_gpus(directory, key, mig=False)
    machine.nvml.replace("nvmlDeviceSetMigMode", mode.set)
    machine.nvml.replace("nvmlDeviceGetMigMode", mode.get)
    return machine


def test_success_with_an_activation_status_is_no_success(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=IN_USE))
    with pytest.raises(GpuBusyError, match="nothing was changed, at the next restart neither"):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert machine.gpu.mig == OFF


def test_ampere_that_wants_a_reset_is_told_how(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=RESET_REQUIRED))
    with pytest.raises(ResetRequiredError, match="wants a reset") as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert "nvidia-smi -i 0 -mig 1" in caught.value.hint
    assert "--gpu-reset -i 0" in caught.value.hint
    assert "keeps its MIG mode over restarts" in caught.value.hint
    assert machine.gpu.mig == OFF


def test_hopper_that_wants_a_reset_is_not_sent_into_a_restart(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=RESET_REQUIRED), "h100-80gb")
    with pytest.raises(ResetRequiredError) as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert "A restart alone does not help" in caught.value.hint


def test_a_success_that_is_only_pending_wants_a_reset(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=SUCCESS))
    with pytest.raises(ResetRequiredError):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert machine.gpu.mig == OFF


def test_a_success_without_any_effect_is_noticed(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=SUCCESS))
    machine.nvml.replace("nvmlDeviceSetMigMode", lambda device, mode: SUCCESS)
    with pytest.raises(ReadBackError, match="nothing was changed"):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)


def test_what_cannot_be_set_back_is_said(tmp_path: Path) -> None:
    machine = stubborn(tmp_path, StubbornMode(status=IN_USE, can_be_set_back=False))
    with pytest.raises(GpuBusyError, match="off now and on after the next reset") as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert "nvidia-smi -i 0 -mig 0" in caught.value.message


def test_a_refusal_by_return_code_reads_like_one_by_status(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail("nvmlDeviceSetMigMode", IN_USE)
    with pytest.raises(GpuBusyError, match="nothing was changed"):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)


def test_a_change_pending_since_before_is_left_as_it_was(tmp_path: Path) -> None:
    mode = StubbornMode(status=IN_USE, current=0, pending=1)
    machine = stubborn(tmp_path, mode)
    with pytest.raises(GpuBusyError):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert (mode.current, mode.pending) == (0, 1)
