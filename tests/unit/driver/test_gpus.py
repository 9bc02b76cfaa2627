from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuslice.errors import DriverError, NoGpuError
from gpuslice.model.gpu import Architecture
from simulated_gpus import simulated_gpus

PROFILE_INFO = "nvmlDeviceGetGpuInstanceProfileInfo"
COMPUTE_PROFILE_INFO = "nvmlGpuInstanceGetComputeInstanceProfileInfo"
PLACEMENTS = "nvmlDeviceGetGpuInstancePossiblePlacements"


@pytest.mark.parametrize("key", ["a100-80gb", "a30", "h200", "rtx-pro-6000"])
@pytest.mark.parametrize("refusal", ["FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH"])
def test_an_old_driver_without_named_profiles_gives_the_same_geometry(
    tmp_path: Path, key: str, refusal: str
) -> None:
    machine = simulated_gpus(tmp_path, key)
    old = simulated_gpus(tmp_path, key)

    def only_the_first_version(device: Any, nvml_enum: int, version: int = 2) -> Any:
        if version != 1:
            old.nvml.refuse(getattr(old.nvml, f"NVML_ERROR_{refusal}"))
        return old.nvml.original.nvmlDeviceGetGpuInstanceProfileInfo(device, nvml_enum, version)

    old.nvml.replace(PROFILE_INFO, only_the_first_version)
    assert old.geometry == machine.geometry


def test_a_driver_that_has_dropped_the_second_version_is_asked_for_the_third(
    tmp_path: Path,
) -> None:
    machine = simulated_gpus(tmp_path)
    new = simulated_gpus(tmp_path)

    def only_the_third_version(device: Any, nvml_enum: int, version: int = 2) -> Any:
        if version != 3:
            new.nvml.refuse(new.nvml.NVML_ERROR_DEPRECATED)
        return new.nvml.original.nvmlDeviceGetGpuInstanceProfileInfo(device, nvml_enum, 2)

    new.nvml.replace(PROFILE_INFO, only_the_third_version)
    assert new.geometry == machine.geometry


def test_an_old_driver_without_named_compute_profiles_makes_slices(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)

    def only_the_first_version(
        instance: Any, nvml_enum: int, engines: int, version: int = 2
    ) -> Any:
        if version != 1:
            machine.nvml.refuse(machine.nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        return machine.nvml.original.nvmlGpuInstanceGetComputeInstanceProfileInfo(
            instance, nvml_enum, engines, version
        )

    machine.nvml.replace(COMPUTE_PROFILE_INFO, only_the_first_version)
    made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.slices() == (made,)


@pytest.mark.parametrize("refusal", ["NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "NO_PERMISSION"])
def test_placements_a_driver_does_not_tell_come_from_the_board_table(
    tmp_path: Path, refusal: str
) -> None:
    told = simulated_gpus(tmp_path, mig=False)
    hiding = simulated_gpus(tmp_path, mig=False)
    hiding.nvml.fail(PLACEMENTS, getattr(hiding.nvml, f"NVML_ERROR_{refusal}"))
    assert hiding.geometry == told.geometry


def test_placements_of_a_board_nobody_knows_stay_unknown(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail(PLACEMENTS, machine.nvml.NVML_ERROR_NOT_SUPPORTED)
    machine.nvml.replace("nvmlDeviceGetName", lambda handle: "NVIDIA A900")
    real = machine.nvml.original.nvmlDeviceGetPciInfo

    def of_another_board(handle: Any) -> Any:
        info = real(handle)
        info.pciDeviceId = 0xFFFF10DE
        return info

    machine.nvml.replace("nvmlDeviceGetPciInfo", of_another_board)
    assert {profile.placements for profile in machine.geometry.profiles} == {()}


def test_a_geometry_read_with_mig_off_is_read_anew_with_mig_on(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    asked: list[int] = []

    def remember(device: Any, profile_id: int, *buffers: Any) -> Any:
        asked.append(profile_id)
        original = machine.nvml.original
        return original.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, *buffers)

    machine.nvml.replace(PLACEMENTS, remember)
    machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    asked.clear()
    assert machine.geometry.profiles
    assert {profile.id for profile in machine.geometry.profiles} == set(asked)


@pytest.mark.parametrize("moment", range(20))
def test_a_mode_change_of_another_in_the_middle_of_a_read_is_read_over(
    tmp_path: Path, moment: int
) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    other = simulated_gpus(tmp_path, mig=False)
    calls = iter(range(-moment, 1000))
    gpu_uuid, whole = other.gpu.uuid, other.geometry

    def change_then_answer(device: Any, *arguments: Any) -> Any:
        if next(calls) == 0:
            other.driver.set_mig_mode(gpu_uuid, enabled=True)
        return machine.nvml.original.nvmlDeviceGetGpuInstanceProfileInfo(device, *arguments)

    machine.nvml.replace(PROFILE_INFO, change_then_answer)
    assert machine.geometry == whole
    machine.driver.set_mig_mode(gpu_uuid, enabled=False)
    assert machine.geometry == whole, "nothing cut short was kept"


def test_a_handle_that_stays_dead_ends_as_an_error(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    machine.nvml.fail("nvmlDeviceGetName", machine.nvml.NVML_ERROR_INVALID_ARGUMENT)
    with pytest.raises(DriverError, match="read the name"):
        machine.driver.read()


def test_geometry_is_read_once_per_mode(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path)
    first = machine.geometry
    machine.nvml.fail(PROFILE_INFO, machine.nvml.NVML_ERROR_UNKNOWN)
    assert machine.geometry is first


@pytest.mark.parametrize(
    ("key", "architecture"),
    [
        ("a100-80gb", Architecture.AMPERE),
        ("h100-80gb", Architecture.HOPPER),
        ("b200", Architecture.BLACKWELL),
        ("rtx-pro-6000", Architecture.BLACKWELL),
        ("l4", Architecture.OTHER),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_the_generation_is_known_also_to_drivers_that_do_not_name_it(
    tmp_path: Path, key: str, architecture: Architecture, named: bool
) -> None:
    machine = simulated_gpus(tmp_path, key, mig=False)
    if not named:
        machine.nvml.fail("nvmlDeviceGetArchitecture", machine.nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    assert machine.gpu.architecture is architecture


def test_a_boards_memory_that_is_kept_secret_comes_from_the_board_table(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.fail("nvmlDeviceGetMemoryInfo", machine.nvml.NVML_ERROR_NO_PERMISSION)
    assert machine.gpu.memory_mib == 81920


def test_a_driver_without_gpus_is_an_error_that_says_what_to_try(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.replace("nvmlDeviceGetCount", lambda: 0)
    with pytest.raises(NoGpuError) as caught:
        machine.driver.read()
    assert "--simulate" in caught.value.hint


def test_the_pci_ids_are_those_that_device_filters_are_written_with(tmp_path: Path) -> None:
    gpu = simulated_gpus(tmp_path, "h100-80gb").gpu
    assert (gpu.pci_device_id, gpu.pci_subsystem_id) == (0x233010DE, 0x10DE)
