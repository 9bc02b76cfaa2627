"""Restarting a simulated machine, and what of it survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuslice import simulator
from gpuslice.errors import SimulatorStateError, UnknownGpuError
from gpuslice.simulator.machine import set_clients, set_mirrored
from simulated import INVALID_ARGUMENT


@pytest.mark.parametrize(("board", "kept"), [("a100-80gb", [1, 1]), ("h200", [0, 0])])
def test_only_an_ampere_keeps_its_mode_over_a_restart(
    a_machine: Any, board: str, kept: list[int]
) -> None:
    machine = a_machine(board)

    simulator.reboot(machine.directory)

    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == kept


def test_a_pending_mode_takes_effect_on_an_ampere(a_machine: Any) -> None:
    machine = a_machine("a100-80gb", mig=False)
    set_clients(machine.directory, 0, (1,))
    machine.nvml.nvmlDeviceSetMigMode(machine.gpu(), 1)

    simulator.reboot(machine.directory)

    assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [1, 1]


def test_instances_and_handles_never_survive(machine: Any) -> None:
    instance, compute = machine.create_slice(14)
    gpu, life = machine.gpu(), simulator.boot_id(machine.directory)

    simulator.reboot(machine.directory)

    assert machine.free(14) == 3
    assert machine.code(machine.nvml.nvmlDeviceGetName, gpu) == INVALID_ARGUMENT
    assert machine.code(machine.gi, instance) == INVALID_ARGUMENT
    assert machine.code(machine.uuid, compute) == INVALID_ARGUMENT
    assert simulator.boot_id(machine.directory) != life


def test_identities_survive(machine: Any) -> None:
    before = machine.nvml.nvmlDeviceGetUUID(machine.gpu())

    simulator.reboot(machine.directory)

    assert machine.nvml.nvmlDeviceGetUUID(machine.gpu()) == before


def test_the_life_of_a_machine_has_one_name(machine: Any) -> None:
    assert simulator.boot_id(machine.directory) == simulator.boot_id(machine.directory)


def test_there_is_no_life_without_a_machine(tmp_path: Path) -> None:
    with pytest.raises(SimulatorStateError):
        simulator.boot_id(tmp_path / "nowhere")


def test_a_mirrored_board_gives_other_ids_to_the_same_places(machine: Any) -> None:
    set_mirrored(machine.directory, 0, mirrored=True)

    assert machine.gi(machine.create(9)) == (1, 4, 4)


def test_a_gpu_that_is_not_there_cannot_be_held(machine: Any) -> None:
    with pytest.raises(UnknownGpuError, match="GPU 3"):
        set_clients(machine.directory, 3, (1,))
