"""Memory, processes and utilisation of GPUs and slices."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from gpuslice.simulator.machine import set_privileged
from simulated import (
    ARGUMENT_VERSION_MISMATCH,
    INSUFFICIENT_SIZE,
    NO_PERMISSION,
    NOT_SUPPORTED,
    SUCCESS,
    SimulatedMachine,
    a_process,
)

MIB = 1024 * 1024
NO_INSTANCE = 0xFFFFFFFF


def used_mib(machine: SimulatedMachine, device: Any) -> float:
    used: int = machine.nvml.nvmlDeviceGetMemoryInfo(device).used
    return used / MIB


def test_an_idle_slice_holds_only_the_drivers_share(machine: SimulatedMachine) -> None:
    device = machine.mig_device(machine.create_slice(14)[1])

    memory = machine.nvml.nvmlDeviceGetMemoryInfo(device)

    assert memory.total == 19968 * MIB
    assert memory.used == 13 * MIB
    assert memory.free == memory.total - memory.used


@pytest.mark.parametrize("variable_names", ["uuid", "older form"])
def test_memory_of_a_slice_is_that_of_its_processes(
    machine: SimulatedMachine, variable_names: str
) -> None:
    _, compute = machine.create_slice(14, 0)
    device = machine.mig_device(compute)
    gpu_uuid = machine.nvml.nvmlDeviceGetUUID(machine.gpu())
    name = machine.uuid(compute) if variable_names == "uuid" else f"MIG-{gpu_uuid}/3/0"
    machine.holds(
        a_process(7, name, resident_mib=100),
        a_process(8, name, "MIG-another", resident_mib=50),
        a_process(9, "MIG-another", resident_mib=1000),
    )

    assert used_mib(machine, device) == 163


def test_compute_instances_share_the_memory_of_their_slice(machine: SimulatedMachine) -> None:
    instance, first = machine.create_slice(9, compute=0)
    second = machine.nvml.nvmlGpuInstanceCreateComputeInstance(instance, 0)
    both = (machine.uuid(first), machine.uuid(second))
    machine.holds(a_process(7, *both, resident_mib=100), a_process(8, both[1], resident_mib=1))

    assert used_mib(machine, machine.mig_device(first)) == 114
    assert used_mib(machine, machine.mig_device(second)) == 114


def test_a_slice_never_uses_more_than_it_has(machine: SimulatedMachine) -> None:
    _, compute = machine.create_slice(19)
    machine.holds(a_process(7, machine.uuid(compute), resident_mib=20_000))

    memory = machine.nvml.nvmlDeviceGetMemoryInfo(machine.mig_device(compute))

    assert (memory.used, memory.free) == (9728 * MIB, 0)


def test_a_gpu_with_mig_uses_what_its_slices_use(machine: SimulatedMachine) -> None:
    machine.create_slice(14)
    _, compute = machine.create_slice(14)
    machine.holds(a_process(7, machine.uuid(compute), resident_mib=100))

    assert used_mib(machine, machine.gpu()) == 2 * 13 + 100


def test_a_gpu_without_mig_uses_what_its_processes_use(a_machine: Any) -> None:
    machine = a_machine(mig=False)
    nvml, gpu = machine.nvml, machine.gpu()
    machine.holds(a_process(7, nvml.nvmlDeviceGetUUID(gpu), resident_mib=100))

    split = nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)

    assert split.used == 100 * MIB
    assert split.total == split.used + split.reserved + split.free == 81920 * MIB
    assert nvml.nvmlDeviceGetMemoryInfo(gpu).used == split.used + split.reserved


def test_another_version_of_the_memory_structure_is_refused(machine: SimulatedMachine) -> None:
    ask = machine.nvml.nvmlDeviceGetMemoryInfo

    assert machine.code(ask, machine.gpu(), 0x03000028) == ARGUMENT_VERSION_MISMATCH


def test_processes_are_listed_with_their_slices(machine: SimulatedMachine) -> None:
    _, low = machine.create_slice(14, 0)
    _, high = machine.create_slice(9, 4)
    machine.holds(
        a_process(7, machine.uuid(low), resident_mib=1),
        a_process(8, machine.uuid(high), resident_mib=2),
    )
    listed = machine.nvml.nvmlDeviceGetComputeRunningProcesses

    on_gpu = [
        (one.pid, one.usedGpuMemory // MIB, one.gpuInstanceId, one.computeInstanceId)
        for one in listed(machine.gpu())
    ]

    assert sorted(on_gpu) == [(7, 1, 3, 0), (8, 2, 2, 0)]
    assert [one.pid for one in listed(machine.mig_device(high))] == [8]


def test_processes_of_a_whole_gpu_are_on_no_slice(a_machine: Any) -> None:
    machine = a_machine(mig=False)
    machine.holds(a_process(7, machine.nvml.nvmlDeviceGetUUID(machine.gpu())))

    (process,) = machine.nvml.nvmlDeviceGetComputeRunningProcesses(machine.gpu())

    assert (process.gpuInstanceId, process.computeInstanceId) == (NO_INSTANCE, NO_INSTANCE)


def test_a_list_too_short_is_answered_with_the_length_needed(machine: SimulatedMachine) -> None:
    _, compute = machine.create_slice(14)
    machine.holds(*(a_process(pid, machine.uuid(compute)) for pid in (7, 8, 9)))
    ask = machine.nvml._nvmlGetFunctionPointer("nvmlDeviceGetComputeRunningProcesses_v3")
    count = ctypes.c_uint(2)
    room = (machine.nvml.c_nvmlProcessInfo_v3_t * 2)()

    assert ask(machine.gpu(), ctypes.byref(count), room) == INSUFFICIENT_SIZE
    assert count.value == 3
    assert ask(machine.gpu(), ctypes.byref(count), None) == INSUFFICIENT_SIZE


def test_nothing_draws_and_nothing_shares(machine: SimulatedMachine) -> None:
    _, compute = machine.create_slice(14)
    machine.holds(a_process(7, machine.uuid(compute)))

    assert machine.nvml.nvmlDeviceGetGraphicsRunningProcesses(machine.gpu()) == []
    assert machine.nvml.nvmlDeviceGetMPSComputeRunningProcesses(machine.gpu()) == []


def test_without_privilege_only_slices_show_their_use(machine: SimulatedMachine) -> None:
    device = machine.mig_device(machine.create_slice(14)[1])
    set_privileged(machine.directory, privileged=False)
    nvml = machine.nvml

    processes = nvml.nvmlDeviceGetComputeRunningProcesses
    assert machine.code(nvml.nvmlDeviceGetMemoryInfo, machine.gpu()) == NO_PERMISSION
    assert machine.code(processes, machine.gpu()) == NO_PERMISSION
    assert machine.code(nvml.nvmlDeviceGetMemoryInfo, device) == SUCCESS
    assert machine.code(processes, device) == SUCCESS


def test_utilisation_is_not_told_with_mig_on(machine: SimulatedMachine) -> None:
    device = machine.mig_device(machine.create_slice(14)[1])
    ask = machine.nvml.nvmlDeviceGetUtilizationRates

    assert machine.code(ask, machine.gpu()) == NOT_SUPPORTED
    assert machine.code(ask, device) == NOT_SUPPORTED


def test_utilisation_of_a_whole_gpu_is_measured_between_two_calls(a_machine: Any) -> None:
    machine = a_machine(mig=False)
    nvml, gpu = machine.nvml, machine.gpu()
    uuid = nvml.nvmlDeviceGetUUID(gpu)
    readings = iter((10.0, 20.0))
    machine.session.clock = lambda: next(readings)

    machine.holds(a_process(7, uuid, cpu_s=1.0))
    first = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    machine.holds(a_process(7, uuid, cpu_s=10_000.0))
    second = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu

    assert (first, second) == (0, 100)


def test_the_aperture_is_shared_out_by_memory_slices(machine: SimulatedMachine) -> None:
    device = machine.mig_device(machine.create_slice(9)[1])
    ask = machine.nvml.nvmlDeviceGetBAR1MemoryInfo

    assert ask(machine.gpu()).bar1Total == 131072 * MIB
    assert ask(device).bar1Total == 65535 * MIB
