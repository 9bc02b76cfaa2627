from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import DriverError, GpuBusyError, ReadBackError
from gpuslice.model.gpu import Slice
from simulated_gpus import SimulatedGpus, simulated_gpus

DESTROY = "nvmlGpuInstanceDestroy"


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path)


@pytest.fixture
def made(machine: SimulatedGpus) -> Slice:
    return machine.driver.create_slice(machine.planned("2g.20gb", 0))


def test_in_use_for_a_moment_after_the_last_process_is_waited_out(
    machine: SimulatedGpus, made: Slice
) -> None:
    machine.nvml.fail(DESTROY, machine.nvml.NVML_ERROR_IN_USE, times=2)
    machine.driver.destroy_slice(made)
    assert machine.slices() == ()
    assert machine.slept_s == pytest.approx([0.1, 0.2])


def test_what_is_left_after_a_failure_is_half_made_and_goes_at_the_next_attempt(
    machine: SimulatedGpus, made: Slice
) -> None:
    machine.nvml.fail(DESTROY, machine.nvml.NVML_ERROR_IN_USE)
    with pytest.raises(GpuBusyError):
        machine.driver.destroy_slice(made)
    (half,) = machine.slices()
    assert (half.key, half.uuid) == (made.key, None)
    machine.nvml.restore(DESTROY)
    machine.driver.destroy_slice(half)
    assert machine.slices() == ()


def test_whichever_call_fails_the_next_attempt_finishes(machine: SimulatedGpus) -> None:
    failed, number = True, -1
    while failed:
        failed, number = False, number + 1
        made = machine.driver.create_slice(machine.planned("2g.20gb", 0))
        with machine.nvml.failing_call(number):
            try:
                machine.driver.destroy_slice(made)
            except DriverError:
                failed = True
        machine.driver.destroy_slice(made)
        assert machine.slices() == (), f"after call {number} failed"
    assert number > 10, "calls were counted"


def test_a_slice_that_someone_else_destroys_meanwhile_is_fine(
    machine: SimulatedGpus, made: Slice
) -> None:
    def someone_was_faster(handle: object) -> int:
        machine.nvml.original.nvmlGpuInstanceDestroy(handle)
        return int(machine.nvml.original.nvmlGpuInstanceDestroy(handle))

    machine.nvml.replace(DESTROY, someone_was_faster)
    machine.driver.destroy_slice(made)
    assert machine.slices() == ()


def test_a_compute_instance_that_someone_else_destroys_meanwhile_is_fine(
    machine: SimulatedGpus, made: Slice
) -> None:
    def someone_was_faster(handle: object) -> int:
        machine.nvml.original.nvmlComputeInstanceDestroy(handle)
        return int(machine.nvml.original.nvmlComputeInstanceDestroy(handle))

    machine.nvml.replace("nvmlComputeInstanceDestroy", someone_was_faster)
    machine.driver.destroy_slice(made)
    assert machine.slices() == ()


def test_success_without_effect_is_noticed(machine: SimulatedGpus, made: Slice) -> None:
    machine.nvml.replace(DESTROY, lambda handle: 0)
    with pytest.raises(ReadBackError, match="was destroyed and is still there"):
        machine.driver.destroy_slice(made)


def test_a_failure_of_another_kind_is_not_repeated(machine: SimulatedGpus, made: Slice) -> None:
    machine.nvml.fail(DESTROY, machine.nvml.NVML_ERROR_GPU_IS_LOST)
    with pytest.raises(DriverError, match="destroy GPU instance"):
        machine.driver.destroy_slice(made)
    assert machine.slept_s == []
