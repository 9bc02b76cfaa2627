"""GPUs and MIG devices as devices: handles, names, PCI, and what an H200 says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpuslice.simulator.machine import set_privileged
from simulated import (
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    SimulatedMachine,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "h200" / "answers.json"
REAL_H200: dict[str, Any] = json.loads(GOLDEN.read_text())


def fields(structure: Any) -> dict[str, int]:
    return {name: getattr(structure, name) for name, _ in structure._fields_}


def test_an_h200_says_of_itself_what_the_real_one_did(a_machine: Any) -> None:
    machine = a_machine("h200", mig=False)
    nvml, gpu = machine.nvml, machine.gpu()

    found = {
        "driver": nvml.nvmlSystemGetDriverVersion(),
        "nvml": nvml.nvmlSystemGetNVMLVersion(),
        "cuda": nvml.nvmlSystemGetCudaDriverVersion(),
        "name": nvml.nvmlDeviceGetName(gpu),
        "mig_mode": nvml.nvmlDeviceGetMigMode(gpu),
        "max_mig_device_count": nvml.nvmlDeviceGetMaxMigDeviceCount(gpu),
        "memory_v1": fields(nvml.nvmlDeviceGetMemoryInfo(gpu)),
        "memory_v2": fields(nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)),
        "persistence_mode": nvml.nvmlDeviceGetPersistenceMode(gpu),
        "compute_mode": nvml.nvmlDeviceGetComputeMode(gpu),
        "compute_capability": list(nvml.nvmlDeviceGetCudaComputeCapability(gpu)),
        "architecture": nvml.nvmlDeviceGetArchitecture(gpu),
        "pci_device_id": nvml.nvmlDeviceGetPciInfo(gpu).pciDeviceId,
        "gpm_supported": nvml.nvmlGpmQueryDeviceSupport(gpu).isSupportedDevice,
        "utilization": fields(nvml.nvmlDeviceGetUtilizationRates(gpu)),
    }

    assert found == {key: REAL_H200[key] for key in found}


def test_an_h200_refuses_what_the_real_one_did(a_machine: Any) -> None:
    machine = a_machine("h200", mig=False)
    nvml = machine.nvml

    with pytest.raises(getattr(nvml, REAL_H200["mig_handle_0"])):
        nvml.nvmlDeviceGetMigDeviceHandleByIndex(machine.gpu(), 0)
    with pytest.raises(getattr(nvml, REAL_H200["attributes"])):
        nvml.nvmlDeviceGetAttributes_v2(machine.gpu())


def test_gpus_are_found_by_index_uuid_and_pci_address(a_machine: Any) -> None:
    machine = a_machine("a100-80gb:2,h200", mig=False)
    nvml = machine.nvml
    assert nvml.nvmlDeviceGetCount() == 3

    for index in range(3):
        gpu = machine.gpu(index)
        uuid, pci = nvml.nvmlDeviceGetUUID(gpu), nvml.nvmlDeviceGetPciInfo(gpu)
        for found in (
            nvml.nvmlDeviceGetHandleByUUID(uuid),
            nvml.nvmlDeviceGetHandleByPciBusId(pci.busId),
            nvml.nvmlDeviceGetHandleByPciBusId(pci.busIdLegacy),
        ):
            assert nvml.nvmlDeviceGetIndex(found) == index
            assert nvml.nvmlDeviceGetMinorNumber(found) == index


def test_gpus_that_are_not_there_are_not_found(machine: SimulatedMachine) -> None:
    nvml = machine.nvml

    assert machine.code(nvml.nvmlDeviceGetHandleByIndex, 1) == INVALID_ARGUMENT
    assert machine.code(nvml.nvmlDeviceGetHandleByUUID, "GPU-none") == NOT_FOUND
    assert machine.code(nvml.nvmlDeviceGetHandleByPciBusId, "0000:FF:00.0") == NOT_FOUND
    assert machine.code(nvml.nvmlDeviceGetHandleByPciBusId, "0001:10:00.0") == NOT_FOUND


def test_no_two_gpus_of_a_full_machine_share_an_address(a_machine: Any) -> None:
    machine = a_machine("a30:64", mig=False)

    addresses = {machine.nvml.nvmlDeviceGetPciInfo(machine.gpu(i)).busId for i in range(64)}

    assert len(addresses) == 64


def test_a_mig_device_is_found_by_either_form_of_its_uuid(machine: SimulatedMachine) -> None:
    _, compute = machine.create_slice(9, 4)
    nvml = machine.nvml
    uuid = machine.uuid(compute)
    older = f"MIG-{nvml.nvmlDeviceGetUUID(machine.gpu())}/2/0"

    for name in (uuid, older):
        assert nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByUUID(name)) == uuid
    assert machine.code(nvml.nvmlDeviceGetHandleByUUID, older[:-1] + "1") == NOT_FOUND


@pytest.mark.parametrize(
    ("profile_id", "compute", "name"),
    [
        (14, 1, "NVIDIA A100-SXM4-80GB MIG 2g.20gb"),
        (9, 0, "NVIDIA A100-SXM4-80GB MIG 1c.3g.40gb"),
        (20, 0, "NVIDIA A100-SXM4-80GB MIG 1g.10gb+me"),
    ],
)
def test_a_mig_device_is_named_after_its_gpu_and_profile(
    machine: SimulatedMachine, profile_id: int, compute: int, name: str
) -> None:
    _, made = machine.create_slice(profile_id, compute=compute)

    assert machine.nvml.nvmlDeviceGetName(machine.mig_device(made)) == name


@pytest.mark.parametrize(("board", "resetless"), [("a100-80gb", 0), ("h200", 1)])
def test_fields_tell_how_mig_behaves(a_machine: Any, board: str, resetless: int) -> None:
    machine = a_machine(board, mig=False)

    reset, anytime, other = machine.nvml.nvmlDeviceGetFieldValues(machine.gpu(), [184, 199, 1])

    assert (reset.nvmlReturn, reset.value.uiVal) == (SUCCESS, resetless)
    assert (anytime.nvmlReturn, anytime.value.uiVal) == (SUCCESS, 1)
    assert other.nvmlReturn == NOT_SUPPORTED


def test_persistence_mode_can_be_switched(machine: SimulatedMachine) -> None:
    nvml, gpu = machine.nvml, machine.gpu()

    nvml.nvmlDeviceSetPersistenceMode(gpu, 0)

    assert nvml.nvmlDeviceGetPersistenceMode(gpu) == 0
    assert machine.code(nvml.nvmlDeviceSetPersistenceMode, gpu, 2) == INVALID_ARGUMENT
    set_privileged(machine.directory, privileged=False)
    assert machine.code(nvml.nvmlDeviceSetPersistenceMode, gpu, 1) == NO_PERMISSION


@pytest.mark.parametrize(
    ("board", "capability", "architecture"),
    [("t4", (7, 5), 6), ("a30", (8, 0), 7), ("l4", (8, 9), 8), ("b200", (10, 0), 10)],
)
def test_generations_are_told_apart(
    a_machine: Any, board: str, capability: tuple[int, int], architecture: int
) -> None:
    machine = a_machine(board, mig=False)

    assert machine.nvml.nvmlDeviceGetCudaComputeCapability(machine.gpu()) == capability
    assert machine.nvml.nvmlDeviceGetArchitecture(machine.gpu()) == architecture


def test_what_belongs_to_a_whole_gpu_is_not_asked_of_a_slice(machine: SimulatedMachine) -> None:
    device = machine.mig_device(machine.create_slice(14)[1])
    nvml = machine.nvml

    for ask in (
        nvml.nvmlDeviceGetPciInfo,
        nvml.nvmlDeviceGetMigMode,
        nvml.nvmlDeviceGetMinorNumber,
        nvml.nvmlDeviceGetPersistenceMode,
        nvml.nvmlDeviceGetMaxMigDeviceCount,
    ):
        assert machine.code(ask, device) == INVALID_ARGUMENT


def test_a_simulated_card_has_no_sensors(machine: SimulatedMachine) -> None:
    nvml, gpu = machine.nvml, machine.gpu()

    assert machine.code(nvml.nvmlDeviceGetTemperature, gpu, 0) == NOT_SUPPORTED
    assert machine.code(nvml.nvmlDeviceGetPowerUsage, gpu) == NOT_SUPPORTED
    assert machine.code(nvml.nvmlDeviceGetClockInfo, gpu, 0) == NOT_SUPPORTED
    assert machine.code(nvml.nvmlDeviceGetPowerUsage, None) == INVALID_ARGUMENT
