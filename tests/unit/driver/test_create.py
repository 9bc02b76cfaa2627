from __future__ import annotations

import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gpuslice.driver.nvml import NvmlDriver
from gpuslice.errors import DriverError, DriverHungError, GpuBusyError, ReadBackError
from simulated_gpus import SimulatedGpus, simulated_gpus

FILL = "nvmlGpuInstanceCreateComputeInstance"
CREATE = "nvmlDeviceCreateGpuInstanceWithPlacement"


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path)


def test_a_gpu_instance_that_cannot_be_filled_is_destroyed_again(machine: SimulatedGpus) -> None:
    machine.nvml.fail(FILL, machine.nvml.NVML_ERROR_UNKNOWN)
    with pytest.raises(DriverError, match=r"fill GPU instance \d+ \(2g\.20gb\)") as caught:
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert caught.value.details == ()
    assert machine.slices() == ()


def test_whichever_call_fails_nothing_is_left(machine: SimulatedGpus) -> None:
    planned = machine.planned("2g.20gb", 0)
    made, number = None, -1
    while made is None:
        assert machine.slices() == (), f"after call {number} failed"
        number += 1
        with machine.nvml.failing_call(number), suppress(DriverError):
            made = machine.driver.create_slice(planned)
    assert number > 20, "calls were counted"
    assert machine.slices() == (made,)


def test_ctrl_c_while_it_is_filled_leaves_nothing(machine: SimulatedGpus) -> None:
    def interrupted(*arguments: Any) -> NoReturn:
        raise KeyboardInterrupt

    machine.nvml.replace(FILL, interrupted)
    with pytest.raises(KeyboardInterrupt):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.slices() == ()


def test_ctrl_c_while_it_is_created_leaves_nothing(machine: SimulatedGpus) -> None:
    """The interrupt reaches the waiting thread before the call has made anything."""
    waiting = threading.main_thread().ident
    assert waiting is not None
    interrupted = threading.Event()

    def create(*arguments: Any) -> Any:
        signal.pthread_kill(waiting, signal.SIGINT)
        interrupted.wait()
        return getattr(machine.nvml.original, CREATE)(*arguments)

    machine.nvml.replace(CREATE, create)
    previous = signal.signal(signal.SIGINT, lambda *_: interrupt(interrupted))
    with pytest.raises(KeyboardInterrupt):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    signal.signal(signal.SIGINT, previous)
    assert machine.slices() == ()


def interrupt(told: threading.Event) -> NoReturn:
    told.set()
    raise KeyboardInterrupt


def test_a_driver_that_hangs_while_a_slice_is_made_is_said_to_have_left_something(
    machine: SimulatedGpus,
) -> None:
    planned, released = machine.planned("2g.20gb", 0), threading.Event()
    machine.nvml.replace(FILL, lambda *arguments: released.wait())
    hurried = NvmlDriver(
        machine.nvml,
        simulated=True,
        boot_id=lambda: "",
        limit_of=lambda name: 0.01 if name == FILL else 60.0,
    )
    with pytest.raises(DriverHungError, match="fill GPU instance") as caught:
        hurried.create_slice(planned)
    released.set()
    assert "may be left on GPU 0" in caught.value.details[0]
    assert "-dgi" in caught.value.details[1]


def test_what_cannot_be_undone_is_told_with_the_first_error(machine: SimulatedGpus) -> None:
    machine.nvml.fail(FILL, machine.nvml.NVML_ERROR_UNKNOWN)
    machine.nvml.fail("nvmlGpuInstanceDestroy", machine.nvml.NVML_ERROR_IN_USE)
    with pytest.raises(DriverError, match="fill GPU instance") as caught:
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert "half-made slice is left on GPU 0" in caught.value.details[0]
    assert "-dgi" in caught.value.details[1]
    assert [slice_.uuid for slice_ in machine.slices()] == [None]


def test_a_slice_at_another_place_than_asked_is_taken_down_again(machine: SimulatedGpus) -> None:
    def by_the_drivers_own_choice(device: Any, profile_id: int, placement: Any) -> Any:
        return machine.nvml.original.nvmlDeviceCreateGpuInstance(device, profile_id)

    machine.nvml.replace(CREATE, by_the_drivers_own_choice)
    with pytest.raises(ReadBackError, match=r"2g\.20gb at 0:2 was created .* at 4:2 is there"):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.slices() == ()


def test_a_fill_that_succeeds_without_effect_is_noticed(machine: SimulatedGpus) -> None:
    machine.nvml.replace(FILL, lambda *arguments: None)
    with pytest.raises(ReadBackError, match="has no compute instance"):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.slices() == ()


def test_a_first_creation_refused_for_a_moment_is_repeated(machine: SimulatedGpus) -> None:
    machine.nvml.fail(CREATE, machine.nvml.NVML_ERROR_IN_USE, times=2)
    made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert machine.slices() == (made,)
    assert machine.slept_s == pytest.approx([0.1, 0.2])


def test_a_creation_refused_for_good_ends_as_busy(machine: SimulatedGpus) -> None:
    machine.nvml.fail(CREATE, machine.nvml.NVML_ERROR_IN_USE)
    with pytest.raises(GpuBusyError, match=r"create 2g\.20gb at 0:2 on GPU 0"):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    assert sum(machine.slept_s) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("board", "profile"),
    [("a100-80gb", "1g.20gb"), ("h100-80gb", "1g.20gb"), ("h100-80gb", "7g.80gb")],
)
def test_a_slice_is_filled_whole_whatever_the_id_of_the_filling_profile(
    tmp_path: Path, board: str, profile: str
) -> None:
    machine = simulated_gpus(tmp_path, board)
    made = machine.driver.create_slice(machine.planned(profile, 0))
    handle = machine.nvml.nvmlDeviceGetHandleByUUID(made.uuid)
    attributes = machine.nvml.nvmlDeviceGetAttributes_v2(handle)
    known = machine.geometry.named(profile)
    assert known is not None
    assert attributes.multiprocessorCount == known.sm_count
    assert attributes.computeInstanceSliceCount == known.compute_slices


def test_of_two_profiles_with_as_many_slices_the_one_with_more_sms_fills(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, "h100-80gb")
    real = machine.nvml.original.nvmlGpuInstanceGetComputeInstanceProfileInfo
    double_memory = 7  # NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE_REV1

    def with_a_smaller_twin(instance: Any, nvml_enum: int, engines: int) -> Any:
        info = real(instance, double_memory if nvml_enum == 0 else nvml_enum, engines)
        if nvml_enum == 0:
            info.id, info.multiprocessorCount = 0, 16
        return info

    machine.nvml.replace("nvmlGpuInstanceGetComputeInstanceProfileInfo", with_a_smaller_twin)
    filled_with: list[int] = []

    def remember(instance: Any, profile_id: int) -> Any:
        filled_with.append(profile_id)
        return machine.nvml.original.nvmlGpuInstanceCreateComputeInstance(instance, profile_id)

    machine.nvml.replace(FILL, remember)
    machine.driver.create_slice(machine.planned("1g.20gb", 0))
    assert filled_with == [double_memory]


def test_a_gpu_instance_that_nothing_fills_is_destroyed_again(machine: SimulatedGpus) -> None:
    machine.nvml.fail(
        "nvmlGpuInstanceGetComputeInstanceProfileInfo", machine.nvml.NVML_ERROR_INVALID_ARGUMENT
    )
    with pytest.raises(DriverError, match="No compute instance fills"):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))
    machine.nvml.restore("nvmlGpuInstanceGetComputeInstanceProfileInfo")
    assert machine.slices() == ()


def test_memory_is_that_of_the_slice_and_not_of_its_profile(machine: SimulatedGpus) -> None:
    real = machine.nvml.original.nvmlDeviceGetMemoryInfo

    def a_step_larger(handle: Any) -> Any:
        info = real(handle)
        if machine.nvml.nvmlDeviceIsMigDeviceHandle(handle).value:
            info.total += 128 << 20
        return info

    machine.nvml.replace("nvmlDeviceGetMemoryInfo", a_step_larger)
    planned = machine.planned("2g.20gb", 0)
    assert machine.driver.create_slice(planned).memory_mib == planned.memory_mib + 128
