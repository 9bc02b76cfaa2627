"""GPU performance monitoring: samples and metrics of a slice."""

from __future__ import annotations

from typing import Any

import pytest

from simulated import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    SimulatedMachine,
    a_process,
)

GRAPHICS_UTIL, SM_UTIL, TENSOR = 1, 2, 5


@pytest.fixture
def hopper(a_machine: Any) -> SimulatedMachine:
    machine: SimulatedMachine = a_machine("h100-80gb")
    return machine


def metrics_between(machine: SimulatedMachine, first: Any, second: Any, *ids: int) -> Any:
    request = machine.nvml.c_nvmlGpmMetricsGet_t()
    request.version = 1
    request.numMetrics = len(ids)
    request.sample1, request.sample2 = first, second
    for place, metric in enumerate(ids):
        request.metrics[place].metricId = metric
    return machine.nvml.nvmlGpmMetricsGet(request).metrics[: len(ids)]


def two_samples(machine: SimulatedMachine, take: Any) -> tuple[Any, Any]:
    """Two samples ten seconds apart; process 7 worked through all of it."""
    readings = iter((0.0, 10.0))
    machine.session.clock = lambda: next(readings)
    samples = machine.nvml.nvmlGpmSampleAlloc(), machine.nvml.nvmlGpmSampleAlloc()
    (worker,) = machine.session.processes()
    for sample, cpu_s in zip(samples, (0.0, 1e6), strict=True):
        machine.holds(a_process(worker.pid, *worker.devices, cpu_s=cpu_s))
        take(sample)
    return samples


def test_a_busy_slice_is_told_from_an_idle_one(hopper: SimulatedMachine) -> None:
    nvml = hopper.nvml
    _, busy = hopper.create_slice(9, 0)
    hopper.create_slice(9, 4)
    hopper.holds(a_process(7, hopper.uuid(busy)))
    found = []
    for instance in (1, 2):
        first, second = two_samples(
            hopper, lambda sample, gi=instance: nvml.nvmlGpmMigSampleGet(hopper.gpu(), gi, sample)
        )
        graphics, sm = metrics_between(hopper, first, second, GRAPHICS_UTIL, SM_UTIL)
        assert graphics.nvmlReturn == sm.nvmlReturn == SUCCESS
        found.append((graphics.value, sm.value))

    assert found == [(100.0, 100.0), (0.0, 0.0)]


def test_a_sample_can_be_taken_through_the_device(hopper: SimulatedMachine) -> None:
    _, compute = hopper.create_slice(9)
    device = hopper.mig_device(compute)
    hopper.holds(a_process(7, hopper.uuid(compute)))

    samples = two_samples(hopper, lambda s: hopper.nvml.nvmlGpmSampleGet(device, s))

    assert metrics_between(hopper, *samples, SM_UTIL)[0].value == 100.0


def test_a_metric_that_is_not_measured_says_so_for_itself(hopper: SimulatedMachine) -> None:
    _, compute = hopper.create_slice(9)
    hopper.holds(a_process(7, hopper.uuid(compute)))
    device = hopper.mig_device(compute)
    samples = two_samples(hopper, lambda s: hopper.nvml.nvmlGpmSampleGet(device, s))

    sm, tensor = metrics_between(hopper, *samples, SM_UTIL, TENSOR)

    assert (sm.nvmlReturn, tensor.nvmlReturn) == (SUCCESS, NOT_SUPPORTED)


def test_an_ampere_has_none(machine: SimulatedMachine) -> None:
    nvml = machine.nvml
    machine.create_slice(9)
    sample = nvml.nvmlGpmSampleAlloc()

    assert nvml.nvmlGpmQueryDeviceSupport(machine.gpu()).isSupportedDevice == 0
    take = nvml.nvmlGpmMigSampleGet
    assert machine.code(take, machine.gpu(), 2, sample) == NOT_SUPPORTED
    assert machine.code(nvml.nvmlGpmSampleGet, machine.gpu(), sample) == NOT_SUPPORTED


def test_samples_that_do_not_exist_are_invalid(hopper: SimulatedMachine) -> None:
    nvml = hopper.nvml
    empty, freed = nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()
    nvml.nvmlGpmSampleFree(freed)

    assert hopper.code(nvml.nvmlGpmSampleFree, freed) == INVALID_ARGUMENT
    assert hopper.code(nvml.nvmlGpmSampleGet, hopper.gpu(), freed) == INVALID_ARGUMENT
    assert hopper.code(metrics_between, hopper, empty, empty, SM_UTIL) == INVALID_ARGUMENT


def test_a_slice_that_is_not_there_cannot_be_sampled(hopper: SimulatedMachine) -> None:
    sample = hopper.nvml.nvmlGpmSampleAlloc()
    take = hopper.nvml.nvmlGpmMigSampleGet

    assert hopper.code(take, hopper.gpu(), 2, sample) == NOT_FOUND


def test_another_version_of_the_request_is_refused(hopper: SimulatedMachine) -> None:
    request = hopper.nvml.c_nvmlGpmMetricsGet_t()
    request.version = 2

    code = hopper.code(hopper.nvml.nvmlGpmMetricsGet, request)

    assert code == ARGUMENT_VERSION_MISMATCH


def test_a_request_for_too_many_metrics_is_invalid(hopper: SimulatedMachine) -> None:
    request = hopper.nvml.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = 1, 100_000

    assert hopper.code(hopper.nvml.nvmlGpmMetricsGet, request) == INVALID_ARGUMENT


def test_slices_are_sampled_only_with_mig_on_and_gpus_also_without(a_machine: Any) -> None:
    machine = a_machine("h200", mig=False)
    nvml, gpu = machine.nvml, machine.gpu()
    machine.holds(a_process(7, nvml.nvmlDeviceGetUUID(gpu)))

    samples = two_samples(machine, lambda s: nvml.nvmlGpmSampleGet(gpu, s))

    assert metrics_between(machine, *samples, GRAPHICS_UTIL)[0].value == 100.0
    take = nvml.nvmlGpmMigSampleGet
    assert machine.code(take, gpu, 0, samples[0]) == NOT_SUPPORTED
