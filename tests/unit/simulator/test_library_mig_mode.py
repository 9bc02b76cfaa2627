"""MIG mode: what changes it at once, what leaves it pending, and why."""

from __future__ import annotations

from typing import Any

import pytest

from gpuslice.simulator.machine import set_clients, set_passthrough
from simulated import (
    IN_USE,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    SUCCESS,
    SimulatedMachine,
    a_process,
)


@pytest.mark.parametrize("board", ["a100-80gb", "h200"])
def test_an_idle_gpu_changes_mode_at_once(a_machine: Any, board: str) -> None:
    machine = a_machine(board, mig=False)
    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [0, 0]

    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 1) == SUCCESS

    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [1, 1]


def test_a_mode_change_makes_earlier_handles_invalid(a_machine: Any) -> None:
    machine = a_machine("a100-80gb", mig=False)
    before = machine.gpu()

    machine.enable_mig()

    assert machine.code(machine.nvml.nvmlDeviceGetName, before) == INVALID_ARGUMENT


def test_the_same_mode_again_changes_nothing(machine: SimulatedMachine) -> None:
    handle = machine.gpu()
    machine.create(19)

    assert machine.nvml.nvmlDeviceSetMigMode(handle, 1) == SUCCESS

    assert machine.nvml.nvmlDeviceGetMigMode(handle) == [1, 1]


@pytest.mark.parametrize("board", ["a100-80gb", "h200"])
def test_a_client_leaves_the_change_pending(a_machine: Any, board: str) -> None:
    machine = a_machine(board, mig=False)
    gpu = machine.gpu()
    machine.holds(a_process(7, machine.nvml.nvmlDeviceGetUUID(gpu)))

    assert machine.nvml.nvmlDeviceSetMigMode(gpu, 1) == IN_USE
    assert machine.nvml.nvmlDeviceGetMigMode(gpu) == [0, 1]

    machine.holds()
    assert machine.nvml.nvmlDeviceSetMigMode(gpu, 1) == SUCCESS


def test_a_pending_change_can_be_taken_back(a_machine: Any) -> None:
    machine = a_machine("a100-80gb", mig=False)
    set_clients(machine.directory, 0, (1,))
    machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 1)

    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 0) == SUCCESS

    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [0, 0]


def test_instances_keep_mig_from_being_switched_off(machine: SimulatedMachine) -> None:
    instance = machine.create(19)

    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 0) == IN_USE
    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [1, 0]

    machine.nvml.nvmlGpuInstanceDestroy(instance)
    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 0) == SUCCESS


def test_a_virtual_machine_cannot_reset_an_ampere(a_machine: Any) -> None:
    machine = a_machine("a100-80gb,h200", mig=False)
    set_passthrough(machine.directory, passthrough=True)

    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(0), 1) == RESET_REQUIRED
    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu(0)) == [0, 1]
    assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(1), 1) == SUCCESS


def test_a_gpu_without_mig_has_no_mode(a_machine: Any) -> None:
    machine = a_machine("t4", mig=False)

    assert machine.code(machine.nvml.nvmlDeviceGetMigMode, machine.gpu()) == NOT_SUPPORTED
    assert machine.code(machine.nvml.nvmlDeviceSetMigMode, machine.gpu(), 1) == NOT_SUPPORTED


def test_a_mode_that_is_none_is_invalid(machine: SimulatedMachine) -> None:
    set_mode = machine.nvml.nvmlDeviceSetMigMode

    assert machine.code(set_mode, machine.gpu(), 2) == INVALID_ARGUMENT
