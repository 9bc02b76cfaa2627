"""MIG devices: indexes, ids, shape."""

from __future__ import annotations

from typing import Any

import pytest

from simulated import INVALID_ARGUMENT, NOT_FOUND, SimulatedMachine


def test_devices_are_indexed_by_instance_then_compute_instance(machine: SimulatedMachine) -> None:
    nvml = machine.nvml
    machine.create_slice(19, 0)
    instance, _ = machine.create_slice(9, 4, compute=0)
    nvml.nvmlGpuInstanceCreateComputeInstance(instance, 0)
    machine.create(19, 1)  # without a compute instance it is no device

    devices = [nvml.nvmlDeviceGetMigDeviceHandleByIndex(machine.gpu(), i) for i in range(3)]

    ids = [
        (nvml.nvmlDeviceGetGpuInstanceId(one), nvml.nvmlDeviceGetComputeInstanceId(one))
        for one in devices
    ]
    assert ids == [(2, 0), (2, 1), (7, 0)]
    assert [nvml.nvmlDeviceGetIndex(one) for one in devices] == [0, 1, 2]
    ask = nvml.nvmlDeviceGetMigDeviceHandleByIndex
    assert machine.code(ask, machine.gpu(), 3) == NOT_FOUND


def test_every_device_of_a_full_gpu_has_a_uuid_of_its_own(machine: SimulatedMachine) -> None:
    uuids = {machine.uuid(machine.create_slice(19)[1]) for _ in range(7)}

    assert len(uuids) == 7
    assert all(uuid[14 + 4] == "5" for uuid in uuids)


def test_a_slice_made_again_in_its_place_has_the_same_uuid(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(14, 2)
    before = machine.uuid(compute)
    machine.nvml.nvmlComputeInstanceDestroy(compute)
    machine.nvml.nvmlGpuInstanceDestroy(instance)

    assert machine.uuid(machine.create_slice(14, 2)[1]) == before


@pytest.mark.parametrize(
    ("board", "most"), [("a100-80gb", 7), ("h200", 7), ("a30", 4), ("rtx-pro-6000", 4)]
)
def test_the_most_devices_follow_from_the_board(a_machine: Any, board: str, most: int) -> None:
    machine = a_machine(board)

    assert machine.nvml.nvmlDeviceGetMaxMigDeviceCount(machine.gpu()) == most


def test_a_gpu_without_mig_holds_no_devices(a_machine: Any) -> None:
    machine = a_machine("t4", mig=False)

    assert machine.nvml.nvmlDeviceGetMaxMigDeviceCount(machine.gpu()) == 0


def test_handles_tell_what_they_are(machine: SimulatedMachine) -> None:
    nvml = machine.nvml
    device = machine.mig_device(machine.create_slice(14)[1])

    assert nvml.nvmlDeviceIsMigDeviceHandle(device).value == 1
    assert nvml.nvmlDeviceIsMigDeviceHandle(machine.gpu()).value == 0


def test_the_parent_is_found_from_the_device(machine: SimulatedMachine) -> None:
    nvml = machine.nvml
    device = machine.mig_device(machine.create_slice(14)[1])

    parent = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device)

    assert nvml.nvmlDeviceGetUUID(parent) == nvml.nvmlDeviceGetUUID(machine.gpu())


def test_questions_about_devices_are_not_for_gpus(machine: SimulatedMachine) -> None:
    nvml, gpu = machine.nvml, machine.gpu()

    for ask in (
        nvml.nvmlDeviceGetGpuInstanceId,
        nvml.nvmlDeviceGetComputeInstanceId,
        nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle,
    ):
        assert machine.code(ask, gpu) == INVALID_ARGUMENT


def test_attributes_are_those_of_slice_and_part(machine: SimulatedMachine) -> None:
    _, part = machine.create_slice(9, compute=1)

    seen = machine.nvml.nvmlDeviceGetAttributes_v2(machine.mig_device(part))

    assert seen.multiprocessorCount == 28
    assert (seen.gpuInstanceSliceCount, seen.computeInstanceSliceCount) == (3, 2)
    assert (seen.sharedCopyEngineCount, seen.sharedDecoderCount) == (3, 2)
    assert seen.memorySizeMB == 40192
