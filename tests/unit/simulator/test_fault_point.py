"""Faults strike the calls they are told to strike, and no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpuslice import simulator
from gpuslice.simulator.codes import Code
from gpuslice.simulator.fault_file import FaultFile
from gpuslice.simulator.faults import (
    GPU_RESET,
    NAMED_PROFILES,
    Effect,
    Fail,
    Fault,
    Hang,
    Hold,
    LoseGpu,
    ModePending,
    Reboot,
    lacking,
    reset_fails,
    slow_destroy,
)
from gpuslice.simulator.injector import Injector
from simulated import (
    FUNCTION_NOT_FOUND,
    IN_USE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    SUCCESS,
    SimulatedMachine,
    a_process,
)

GPU_IS_LOST = 15
UNKNOWN = 999
IMPATIENT_S = 30.0
"""How long a test waits for what is to happen at once, before it fails."""

Adder = Callable[..., object]


@pytest.fixture
def injector() -> Injector:
    return Injector()


@pytest.fixture
def machine(tmp_path: Path, injector: Injector) -> SimulatedMachine:
    """Two A100 with MIG on, over an injector that has nothing to do yet."""
    machine = SimulatedMachine(tmp_path / "machine", "a100-80gb:2", faults=injector)
    machine.holds()
    machine.enable_mig(0)
    machine.enable_mig(1)
    return machine


@pytest.fixture(params=["in the process", "in the machine's directory"])
def add(request: pytest.FixtureRequest, machine: SimulatedMachine, injector: Injector) -> Adder:
    """Adds faults, one way or the other; both have to do the same."""
    if request.param == "in the process":
        return injector.add
    return FaultFile(machine.directory).add


def modes(machine: SimulatedMachine, count: int) -> list[int]:
    """The codes of so many equal calls."""
    gpu = machine.gpu()
    return [machine.code(machine.nvml.nvmlDeviceGetMigMode, gpu) for _ in range(count)]


@pytest.mark.parametrize(
    ("at", "times", "expected"),
    [
        pytest.param(1, 1, [UNKNOWN, 0, 0, 0], id="the next call"),
        pytest.param(3, 1, [0, 0, UNKNOWN, 0], id="a later call once"),
        pytest.param(2, 2, [0, UNKNOWN, UNKNOWN, 0], id="for a while"),
        pytest.param(2, None, [0, UNKNOWN, UNKNOWN, UNKNOWN], id="for ever"),
    ],
)
def test_an_error_strikes_the_calls_it_names(
    machine: SimulatedMachine, add: Adder, at: int, times: int | None, expected: list[int]
) -> None:
    add(Fault(effect=Fail(Code.UNKNOWN), call="nvmlDeviceGetMigMode", at=at, times=times))

    assert modes(machine, 4) == expected


def test_calls_are_counted_over_all_functions_where_none_is_named(
    machine: SimulatedMachine, add: Adder
) -> None:
    gpu = machine.gpu()
    add(Fault(effect=Fail(Code.TIMEOUT), at=3))

    answers = [
        machine.code(machine.nvml.nvmlDeviceGetName, gpu),
        machine.code(machine.nvml.nvmlDeviceGetMigMode, gpu),
        machine.code(machine.nvml.nvmlDeviceGetUUID, gpu),
        machine.code(machine.nvml.nvmlDeviceGetName, gpu),
    ]

    assert answers == [SUCCESS, SUCCESS, Code.TIMEOUT, SUCCESS]


def test_a_fault_of_one_gpu_leaves_the_other_alone(machine: SimulatedMachine, add: Adder) -> None:
    first, second = machine.gpu(0), machine.gpu(1)
    add(Fault(effect=Fail(Code.UNKNOWN), call="nvmlDeviceGetMigMode", gpu=1, at=2, times=None))

    ask = machine.nvml.nvmlDeviceGetMigMode
    answers = [machine.code(ask, gpu) for gpu in (first, second, first, second, first)]

    assert answers == [SUCCESS, SUCCESS, SUCCESS, UNKNOWN, SUCCESS]


def test_an_error_beforehand_leaves_everything_as_it_was(
    machine: SimulatedMachine, add: Adder
) -> None:
    add(Fault(effect=Fail(Code.UNKNOWN), call="nvmlDeviceCreateGpuInstance"))

    assert machine.code(machine.create, 14) == UNKNOWN
    assert machine.session.state.gpus[0].instances == ()


def test_an_error_afterwards_reports_failure_of_what_was_done(
    machine: SimulatedMachine, add: Adder
) -> None:
    add(Fault(effect=Fail(Code.UNKNOWN, after=True), call="nvmlDeviceCreateGpuInstance"))

    assert machine.code(machine.create, 14) == UNKNOWN
    assert len(machine.session.state.gpus[0].instances) == 1


def test_a_refusal_is_not_overlaid_by_an_error_afterwards(
    machine: SimulatedMachine, add: Adder
) -> None:
    add(Fault(effect=Fail(Code.UNKNOWN, after=True), call="nvmlDeviceGetGpuInstanceById"))

    ask = machine.nvml.nvmlDeviceGetGpuInstanceById
    assert machine.code(ask, machine.gpu(), 5) == NOT_FOUND


def test_a_slow_destroy_works_in_the_end(machine: SimulatedMachine, add: Adder) -> None:
    gi = machine.create(14)
    add(slow_destroy(2))

    destroy = machine.nvml.nvmlGpuInstanceDestroy
    assert [machine.code(destroy, gi) for _ in range(3)] == [IN_USE, IN_USE, SUCCESS]


def test_an_older_driver_lacks_functions(machine: SimulatedMachine, add: Adder) -> None:
    gpu = machine.gpu()
    add(*lacking(NAMED_PROFILES))

    ask = machine.nvml.nvmlDeviceGetGpuInstanceProfileInfo
    assert machine.code(ask, gpu, 0) == FUNCTION_NOT_FOUND
    assert ask(gpu, 0, version=1).sliceCount == 1


class TestClients:
    def test_a_stranger_holds_a_gpu_for_some_calls(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        gpu = machine.gpu()
        add(Fault(effect=Hold(gpu=0), call="nvmlDeviceSetMigMode", times=2))

        switch = machine.nvml.nvmlDeviceSetMigMode
        assert [switch(gpu, 0) for _ in range(3)] == [IN_USE, IN_USE, SUCCESS]

    def test_a_stranger_on_a_slice_keeps_it_from_being_destroyed(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        _, at_four = machine.create_slice(14, 4)
        _, at_two = machine.create_slice(14, 2)
        destroy = machine.nvml.nvmlComputeInstanceDestroy
        add(Fault(effect=Hold(gpu=0, start=4), call="nvmlComputeInstanceDestroy", times=2))

        answers = [machine.code(destroy, ci) for ci in (at_four, at_two, at_four)]

        assert answers == [IN_USE, SUCCESS, SUCCESS]

    def test_a_stranger_on_a_slice_is_listed_with_its_pid(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        _, ci = machine.create_slice(14, 4)
        add(Fault(effect=Hold(gpu=0, start=4, pid=77), times=None))

        found = machine.nvml.nvmlDeviceGetComputeRunningProcesses(machine.mig_device(ci))

        assert [process.pid for process in found] == [77]

    def test_nobody_holds_a_slice_that_is_not_there(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        add(Fault(effect=Hold(gpu=0, start=4), times=None))

        machine.create(14, 4)

        assert machine.nvml.nvmlDeviceSetMigMode(machine.gpu(1), 0) == SUCCESS

    def test_only_the_stranger_goes_again(self, machine: SimulatedMachine, add: Adder) -> None:
        simulator.machine.set_clients(machine.directory, 0, (5,))
        add(Fault(effect=Hold(gpu=0, pid=77), times=1))

        machine.gpu()
        with_stranger = machine.session.state.gpus[0].clients
        machine.gpu()
        without = machine.session.state.gpus[0].clients

        assert (with_stranger, without) == ((5, 77), (5,))


@pytest.mark.parametrize("code", [Code.NOT_SUPPORTED, Code.RESET_REQUIRED, Code.IN_USE])
def test_a_mode_change_is_left_pending_for_a_reason_of_the_driver_s(
    machine: SimulatedMachine, add: Adder, code: Code
) -> None:
    gpu, nvml = machine.gpu(), machine.nvml
    add(Fault(effect=ModePending(gpu=0, code=code), call="nvmlDeviceSetMigMode", times=2))

    assert [nvml.nvmlDeviceSetMigMode(gpu, 0) for _ in range(2)] == [code, code]
    assert nvml.nvmlDeviceGetMigMode(gpu) == [1, 0]
    assert nvml.nvmlDeviceSetMigMode(gpu, 0) == SUCCESS
    assert nvml.nvmlDeviceGetMigMode(machine.gpu()) == [0, 0]


def test_a_mended_machine_has_no_strangers_and_even_slices(machine: SimulatedMachine) -> None:
    directory, nvml = machine.directory, machine.nvml
    devices = [machine.mig_device(machine.create_slice(14, start)[1]) for start in (0, 2)]
    equal = [nvml.nvmlDeviceGetMemoryInfo(device).total for device in devices]
    simulator.machine.set_clients(directory, 0, (5,))
    simulator.machine.set_clients(directory, 0, (6,), start=2)
    simulator.machine.set_memory_step(directory, 0, step_mib=-64)
    simulator.machine.set_lost(directory, 1, lost=True)
    totals = [nvml.nvmlDeviceGetMemoryInfo(device).total for device in devices]
    attributes = [nvml.nvmlDeviceGetAttributes(device).memorySizeMB for device in devices]
    assert totals[0] - totals[1] == 64 << 20
    assert attributes == [total >> 20 for total in totals]

    simulator.machine.mend(directory)

    assert [nvml.nvmlDeviceGetMemoryInfo(device).total for device in devices] == equal
    assert nvml.nvmlDeviceGetComputeRunningProcesses(devices[1]) == []
    assert machine.session.state.gpus[0].clients == ()
    assert machine.code(machine.gpu, 1) == SUCCESS


class TestLosses:
    def test_a_lost_gpu_answers_nothing_and_the_other_goes_on(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        gi = machine.create(14)
        lost, other = machine.gpu(0), machine.gpu(1)
        uuid = machine.nvml.nvmlDeviceGetUUID(lost)
        add(Fault(effect=LoseGpu(0), call="nvmlDeviceGetName"))

        assert machine.code(machine.nvml.nvmlDeviceGetName, other) == SUCCESS
        assert machine.code(machine.nvml.nvmlDeviceGetName, lost) == GPU_IS_LOST
        assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, gi) == GPU_IS_LOST
        assert machine.code(machine.gpu, 0) == GPU_IS_LOST
        assert machine.code(machine.nvml.nvmlDeviceGetHandleByUUID, uuid) == GPU_IS_LOST
        assert machine.code(machine.nvml.nvmlDeviceGetHandleByPciBusId, "0:10:00.0") == GPU_IS_LOST
        assert machine.code(machine.nvml.nvmlDeviceGetName, other) == SUCCESS
        assert machine.nvml.nvmlDeviceGetCount() == 2

    @pytest.mark.parametrize(
        "rescue",
        [
            pytest.param(simulator.reboot, id="restart"),
            pytest.param(lambda directory: simulator.reset_gpu(directory, 0), id="reset"),
        ],
    )
    def test_a_lost_gpu_comes_back(
        self, machine: SimulatedMachine, add: Adder, rescue: Callable[[Path], Any]
    ) -> None:
        add(Fault(effect=LoseGpu(0)))
        assert machine.code(machine.gpu, 0) == GPU_IS_LOST

        rescue(machine.directory)

        assert machine.code(machine.gpu, 0) == SUCCESS

    def test_a_restart_between_two_calls_takes_everything(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        gi = machine.create(14)
        before = simulator.boot_id(machine.directory)
        add(Fault(effect=Reboot(), call="nvmlGpuInstanceDestroy"))

        assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, gi) == INVALID_ARGUMENT
        assert machine.session.state.gpus[0].instances == ()
        assert simulator.boot_id(machine.directory) != before


class TestHanging:
    def test_a_call_hangs_until_it_is_released_and_then_works(
        self, machine: SimulatedMachine, injector: Injector
    ) -> None:
        injector.add(Fault(effect=Hang(), call="nvmlDeviceGetCount_v2"))
        counted: list[int] = []
        caller = threading.Thread(
            target=lambda: counted.append(machine.nvml.nvmlDeviceGetCount()), daemon=True
        )

        caller.start()
        assert injector.hanging.wait(IMPATIENT_S)
        assert counted == []
        injector.release()
        caller.join(IMPATIENT_S)

        assert counted == [2]
        injector.add(Fault(effect=Hang()))
        assert machine.nvml.nvmlDeviceGetCount() == 2, "released for good"

    def test_a_call_hangs_until_the_fault_is_cleared_from_the_machine(
        self, machine: SimulatedMachine
    ) -> None:
        file = FaultFile(machine.directory)
        file.add(Fault(effect=Hang(), call="nvmlDeviceGetCount_v2"))
        counted: list[int] = []
        caller = threading.Thread(
            target=lambda: counted.append(machine.nvml.nvmlDeviceGetCount()), daemon=True
        )

        caller.start()
        while not file.list()[0].struck:
            pass
        assert counted == []
        file.clear()
        caller.join(IMPATIENT_S)

        assert counted == [2]

    def test_a_call_hangs_no_longer_than_it_was_told_to(
        self, machine: SimulatedMachine, add: Adder
    ) -> None:
        add(Fault(effect=Hang(seconds=0.01)))

        assert machine.nvml.nvmlDeviceGetCount() == 2


class TestObservers:
    def test_observers_see_every_call_with_its_number(
        self, machine: SimulatedMachine, injector: Injector
    ) -> None:
        gpu = machine.gpu()
        seen: list[tuple[str, str, int]] = []
        first = len(injector.calls) + 1
        injector.before = lambda call, number: seen.append(("before", call, number))
        injector.after = lambda call, number: seen.append(("after", call, number))

        machine.nvml.nvmlDeviceGetName(gpu)
        assert machine.code(machine.nvml.nvmlDeviceGetGpuInstanceById, gpu, 5) == NOT_FOUND

        assert seen == [
            ("before", "nvmlDeviceGetName", first),
            ("after", "nvmlDeviceGetName", first),
            ("before", "nvmlDeviceGetGpuInstanceById", first + 1),
            ("after", "nvmlDeviceGetGpuInstanceById", first + 1),
        ]

    @pytest.mark.parametrize(("hook", "left"), [("before", 0), ("after", 1)])
    def test_a_process_can_die_on_either_side_of_a_call(
        self, machine: SimulatedMachine, injector: Injector, hook: str, left: int
    ) -> None:
        def die(call: str, number: int) -> None:
            if call == "nvmlDeviceCreateGpuInstance":
                raise KeyboardInterrupt

        setattr(injector, hook, die)
        with pytest.raises(KeyboardInterrupt):
            machine.create(14)

        assert len(machine.session.state.gpus[0].instances) == left

    def test_wording_an_error_is_not_a_call(
        self, machine: SimulatedMachine, injector: Injector
    ) -> None:
        before = injector.calls

        assert str(machine.nvml.NVMLError(IN_USE)) == "In use by another client"

        assert injector.calls == before

    def test_cleared_faults_strike_no_more(
        self, machine: SimulatedMachine, injector: Injector
    ) -> None:
        injector.add(Fault(effect=Fail(Code.UNKNOWN), times=None))
        assert machine.code(machine.gpu) == UNKNOWN

        injector.clear()

        assert machine.code(machine.gpu) == SUCCESS


class TestReset:
    def test_a_reset_empties_the_gpu_and_lets_the_pending_mode_in(
        self, machine: SimulatedMachine
    ) -> None:
        gpu = machine.gpu()
        machine.create(14)
        assert machine.nvml.nvmlDeviceSetMigMode(gpu, 0) == IN_USE

        assert simulator.reset_gpu(machine.directory, 0) == Code.SUCCESS

        assert machine.code(machine.nvml.nvmlDeviceGetMigMode, gpu) == INVALID_ARGUMENT
        assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu()) == [0, 0]
        assert machine.session.state.gpus[0].instances == ()
        assert machine.nvml.nvmlDeviceGetMigMode(machine.gpu(1)) == [1, 1]

    def test_a_reset_waits_for_processes_on_the_gpu_and_on_its_slices(
        self, machine: SimulatedMachine
    ) -> None:
        _, ci = machine.create_slice(14)
        on_slice = a_process(7, machine.uuid(ci))
        on_gpu = a_process(8, machine.session.state.gpus[0].uuid)

        for process in (on_slice, on_gpu):
            machine.holds(process)
            listed = machine.session.processes
            assert simulator.reset_gpu(machine.directory, 0, processes=listed) == Code.IN_USE
        simulator.machine.set_clients(machine.directory, 0, (9,))
        assert simulator.reset_gpu(machine.directory, 0) == Code.IN_USE
        assert len(machine.session.state.gpus[0].instances) == 1

    def test_a_virtual_machine_cannot_reset(self, machine: SimulatedMachine) -> None:
        simulator.machine.set_passthrough(machine.directory, passthrough=True)

        assert simulator.reset_gpu(machine.directory, 0) == Code.NOT_SUPPORTED

    def test_a_reset_needs_privilege(self, machine: SimulatedMachine) -> None:
        simulator.machine.set_privileged(machine.directory, privileged=False)

        assert simulator.reset_gpu(machine.directory, 0) == Code.NO_PERMISSION

    def test_a_reset_fails_on_demand(
        self, machine: SimulatedMachine, injector: Injector, add: Adder
    ) -> None:
        add(reset_fails(times=1))
        machine.create(14)

        answers = [simulator.reset_gpu(machine.directory, 0, faults=injector) for _ in range(2)]

        assert answers == [Code.UNKNOWN, Code.SUCCESS]
        assert injector.calls[-1] == GPU_RESET


@pytest.mark.parametrize(("at", "times"), [(0, 1), (1, 0), (-1, None)])
def test_calls_are_counted_from_one(at: int, times: int | None) -> None:
    effect: Effect = Reboot()
    with pytest.raises(ValueError, match="counted from 1"):
        Fault(effect=effect, at=at, times=times)
