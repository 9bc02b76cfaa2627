"""Compute instances, each answer with NVML's code."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from gpuslice.simulator.machine import set_privileged
from simulated import (
    IN_USE,
    INSUFFICIENT_RESOURCES,
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    SimulatedMachine,
    a_process,
)


def placements(machine: SimulatedMachine, instance: Any, profile_id: int) -> list[tuple[int, int]]:
    count = ctypes.c_uint(0)
    ask = machine.nvml.nvmlGpuInstanceGetComputeInstancePossiblePlacements
    ask(instance, profile_id, None, ctypes.byref(count))
    found = (machine.nvml.c_nvmlComputeInstancePlacement_t * count.value)()
    ask(instance, profile_id, found, ctypes.byref(count))
    return [(one.start, one.size) for one in found]


def test_profiles_are_those_of_the_instance(machine: SimulatedMachine) -> None:
    instance = machine.create(9)
    ask = machine.nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo

    names = [ask(instance, enum, 0).name for enum in (0, 1, 2)]

    assert names == ["MIG 1c.3g.40gb", "MIG 2c.3g.40gb", "MIG 3g.40gb"]
    assert machine.code(ask, instance, 3, 0) == NOT_SUPPORTED
    assert machine.code(ask, instance, 8, 0) == NOT_SUPPORTED
    assert machine.code(ask, instance, 9, 0) == INVALID_ARGUMENT
    assert machine.code(ask, instance, 0, 1) == INVALID_ARGUMENT


def test_a_profile_shows_the_engines_it_shares(machine: SimulatedMachine) -> None:
    instance = machine.create(9)
    ask = machine.nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo

    old, new = ask(instance, 0, 0, version=1), ask(instance, 0, 0)

    assert (old.sliceCount, old.instanceCount, old.multiprocessorCount) == (1, 3, 14)
    assert (old.sharedCopyEngineCount, old.sharedDecoderCount) == (3, 2)
    assert all(getattr(old, name) == getattr(new, name) for name, _ in old._fields_)


@pytest.mark.parametrize(("board", "span"), [("a100-80gb", 3), ("h100-80gb", 4)])
def test_placements_are_given_in_compute_units(a_machine: Any, board: str, span: int) -> None:
    machine = a_machine(board)
    instance = machine.create(9)

    assert placements(machine, instance, 0) == [(0, 1), (1, 1), (2, 1)]
    assert placements(machine, instance, 2) == [(0, span)]


def test_the_double_memory_instance_of_a_hopper_takes_profile_seven(a_machine: Any) -> None:
    machine = a_machine("h100-80gb")
    instance = machine.create(15)
    create = machine.nvml.nvmlGpuInstanceCreateComputeInstance

    assert machine.code(create, instance, 0) == NOT_SUPPORTED
    assert machine.code(create, instance, 7) == SUCCESS


def test_room_shrinks_with_every_compute_instance(machine: SimulatedMachine) -> None:
    instance = machine.create(9)
    free = machine.nvml.nvmlGpuInstanceGetComputeInstanceRemainingCapacity
    before = [free(instance, one) for one in (0, 1, 2)]

    machine.nvml.nvmlGpuInstanceCreateComputeInstance(instance, 1)

    assert before == [3, 1, 1]
    assert [free(instance, one) for one in (0, 1, 2)] == [1, 0, 0]


def test_a_full_instance_has_no_room(machine: SimulatedMachine) -> None:
    instance, _ = machine.create_slice(9)
    create = machine.nvml.nvmlGpuInstanceCreateComputeInstance

    assert machine.code(create, instance, 0) == INSUFFICIENT_RESOURCES


def test_a_place_can_be_chosen(machine: SimulatedMachine) -> None:
    instance = machine.create(9)
    create = machine.nvml.nvmlGpuInstanceCreateComputeInstanceWithPlacement
    at = machine.nvml.c_nvmlComputeInstancePlacement_t(start=1, size=1)

    made = create(instance, 0, ctypes.byref(at))

    assert machine.nvml.nvmlComputeInstanceGetInfo_v2(made).placement.start == 1
    assert machine.code(create, instance, 0, ctypes.byref(at)) == INSUFFICIENT_RESOURCES
    at.size = 2
    assert machine.code(create, instance, 0, ctypes.byref(at)) == INVALID_ARGUMENT


def test_info_leads_to_the_device_and_to_the_instance(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(14, 2)

    info = machine.nvml.nvmlComputeInstanceGetInfo_v2(compute)

    assert (info.id, info.profileId) == (0, 1)
    assert machine.gi(info.gpuInstance) == machine.gi(instance)
    assert machine.nvml.nvmlDeviceGetUUID(info.device).startswith("MIG-")


def test_compute_instances_are_listed_by_profile_and_id(machine: SimulatedMachine) -> None:
    instance = machine.create(9)
    for _ in range(2):
        machine.nvml.nvmlGpuInstanceCreateComputeInstance(instance, 0)
    count = ctypes.c_uint(3)
    found = (machine.nvml.c_nvmlComputeInstance_t * 3)()

    machine.nvml.nvmlGpuInstanceGetComputeInstances(instance, 0, found, ctypes.byref(count))

    ids = [machine.nvml.nvmlComputeInstanceGetInfo_v2(found[i]).id for i in range(count.value)]
    assert ids == [0, 1]


def test_a_compute_instance_is_found_by_id(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(9)
    ask = machine.nvml.nvmlGpuInstanceGetComputeInstanceById

    assert machine.uuid(ask(instance, 0)) == machine.uuid(compute)
    assert machine.code(ask, instance, 1) == NOT_FOUND


def test_a_process_keeps_its_compute_instance(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(14)
    machine.holds(a_process(7, machine.uuid(compute)))
    destroy = machine.nvml.nvmlComputeInstanceDestroy

    assert machine.code(destroy, compute) == IN_USE
    assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, instance) == IN_USE

    machine.holds()
    assert machine.code(destroy, compute) == SUCCESS


def test_a_process_on_another_slice_is_no_obstacle(machine: SimulatedMachine) -> None:
    _, compute = machine.create_slice(14)
    _, other = machine.create_slice(14)
    machine.holds(a_process(7, machine.uuid(other)))

    assert machine.code(machine.nvml.nvmlComputeInstanceDestroy, compute) == SUCCESS


def test_a_destroyed_compute_instance_takes_its_handles_along(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(14)
    device = machine.mig_device(compute)
    machine.nvml.nvmlComputeInstanceDestroy(compute)
    machine.nvml.nvmlGpuInstanceCreateComputeInstance(instance, 1)

    info = machine.nvml.nvmlComputeInstanceGetInfo_v2
    assert machine.code(info, compute) == INVALID_ARGUMENT
    assert machine.code(machine.nvml.nvmlDeviceGetUUID, device) == INVALID_ARGUMENT


def test_without_privilege_nothing_is_changed_or_listed(machine: SimulatedMachine) -> None:
    instance, compute = machine.create_slice(9, compute=0)
    set_privileged(machine.directory, privileged=False)
    nvml = machine.nvml

    create = nvml.nvmlGpuInstanceCreateComputeInstance
    assert machine.code(create, instance, 0) == NO_PERMISSION
    assert machine.code(nvml.nvmlComputeInstanceDestroy, compute) == NO_PERMISSION
    assert machine.code(nvml.nvmlComputeInstanceGetInfo_v2, compute) == NO_PERMISSION
    assert machine.code(placements, machine, instance, 0) == NO_PERMISSION
    by_id = nvml.nvmlGpuInstanceGetComputeInstanceById
    assert machine.code(by_id, instance, 0) == NO_PERMISSION
