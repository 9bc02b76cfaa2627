"""The aliasing traps of ctypes: what a handle names must not change when a buffer is used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuslice.driver.calls import Device, NvmlCalls, open_device
from gpuslice.driver.compute import list_compute_instances
from gpuslice.driver.instances import list_instances
from gpuslice.errors import DriverError
from simulated import INVALID_ARGUMENT, NOT_SUPPORTED
from simulated_gpus import SimulatedGpus, simulated_gpus


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    machine = simulated_gpus(tmp_path)
    for start in (0, 2, 4):
        machine.driver.create_slice(machine.planned("2g.20gb", start))
    machine.driver.create_slice(machine.planned("1g.10gb", 6))
    return machine


def device_of(machine: SimulatedGpus) -> tuple[NvmlCalls, Device]:
    nvml = NvmlCalls(machine.nvml)
    return nvml, open_device(nvml, machine.gpu.uuid)


def test_instances_are_listed_by_placement(machine: SimulatedGpus) -> None:
    nvml, device = device_of(machine)
    found = list_instances(nvml, device, machine.geometry)
    assert [str(one.placement) for one in found] == ["0:2", "2:2", "4:2", "6:1"]


def test_a_handle_is_a_copy_and_no_view_into_a_buffer(machine: SimulatedGpus) -> None:
    nvml, device = device_of(machine)
    for found in list_instances(nvml, device, machine.geometry):
        (compute,) = list_compute_instances(nvml, found)
        owners = [h._b_base_ for h in (found.handle, compute.handle, compute.mig_handle)]
        assert owners == [None, None, None]


def test_handles_of_a_list_stay_apart_and_outlive_the_next_list(machine: SimulatedGpus) -> None:
    nvml, device = device_of(machine)
    earlier = list_instances(nvml, device, machine.geometry)
    list_instances(nvml, device, machine.geometry)
    told = [machine.nvml.nvmlGpuInstanceGetInfo(one.handle).id for one in earlier]
    assert told == [one.id for one in earlier]
    assert len(set(told)) == 4


def test_a_mig_handle_still_names_its_slice_after_others_were_read(machine: SimulatedGpus) -> None:
    nvml, device = device_of(machine)
    found = list_instances(nvml, device, machine.geometry)
    computes = [list_compute_instances(nvml, one)[0] for one in found]
    uuids = [machine.nvml.nvmlDeviceGetUUID(one.mig_handle) for one in computes]
    assert uuids == [slice_.uuid for slice_ in machine.slices()]


def test_an_instance_that_vanishes_while_it_is_listed_is_looked_for_again(
    machine: SimulatedGpus,
) -> None:
    machine.nvml.fail("nvmlGpuInstanceGetInfo", machine.nvml.NVML_ERROR_INVALID_ARGUMENT, times=1)
    assert len(machine.slices()) == 4


@pytest.mark.parametrize(
    ("function", "code"),
    [("nvmlGpuInstanceGetInfo", INVALID_ARGUMENT), ("nvmlDeviceGetGpuInstances", NOT_SUPPORTED)],
)
def test_what_cannot_be_listed_whole_is_an_error_and_not_a_shorter_list(
    machine: SimulatedGpus, function: str, code: int
) -> None:
    machine.nvml.fail(function, code)
    with pytest.raises(DriverError, match=function):
        machine.slices()


def test_an_instance_destroyed_between_two_calls_is_not_taken_for_half_made(
    machine: SimulatedGpus,
) -> None:
    destroyed_at = machine.slices()[0]
    other = simulated_gpus(machine.directory)
    original = machine.nvml.original.nvmlGpuInstanceGetInfo

    def destroyed_right_after(handle: Any) -> Any:
        info = original(handle)
        if info.id == destroyed_at.gpu_instance_id:
            other.driver.destroy_slice(destroyed_at)
        return info

    machine.nvml.replace("nvmlGpuInstanceGetInfo", destroyed_right_after)
    assert [str(slice_.placement) for slice_ in machine.slices()] == ["2:2", "4:2", "6:1"]


def test_slices_of_one_profile_are_asked_once_what_they_offer(machine: SimulatedGpus) -> None:
    asked: list[int] = []
    real = machine.nvml.original.nvmlGpuInstanceGetComputeInstanceProfileInfo

    def remember(instance: Any, nvml_enum: int, *arguments: Any) -> Any:
        if nvml_enum == 0:
            asked.append(machine.nvml.nvmlGpuInstanceGetInfo(instance).profileId)
        return real(instance, nvml_enum, *arguments)

    machine.nvml.replace("nvmlGpuInstanceGetComputeInstanceProfileInfo", remember)
    assert len(machine.slices()) == 4
    assert len(asked) == len(set(asked)) == 2
