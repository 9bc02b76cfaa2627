"""Initialisation, versions and texts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpuslice.simulator import library_system
from gpuslice.simulator.library import FUNCTIONS
from simulated import (
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_FOUND,
    SUCCESS,
    UNINITIALIZED,
    SimulatedMachine,
)

WORK_UNINITIALISED = {"nvmlInitWithFlags", "nvmlInit", "nvmlInit_v2", "nvmlErrorString"}


def test_nothing_answers_before_initialisation(machine: SimulatedMachine) -> None:
    gpu = machine.gpu()
    machine.nvml.nvmlShutdown()

    assert machine.code(machine.nvml.nvmlDeviceGetCount) == UNINITIALIZED
    assert machine.code(machine.nvml.nvmlDeviceGetName, gpu) == UNINITIALIZED
    assert machine.code(machine.nvml.nvmlSystemGetDriverVersion) == UNINITIALIZED
    assert machine.code(machine.nvml.nvmlShutdown) == UNINITIALIZED


def test_no_function_does_anything_uninitialised(machine: SimulatedMachine) -> None:
    """With nothing useful passed, too: no answer may come before the check."""
    machine.nvml.nvmlShutdown()
    answers = {}
    for name in sorted(set(FUNCTIONS) - WORK_UNINITIALISED):
        taken = FUNCTIONS[name].__code__.co_argcount - 1
        answers[name] = machine.session.call(name, FUNCTIONS[name], (0,) * taken)

    wrong = {
        name for name, code in answers.items() if code not in (UNINITIALIZED, INVALID_ARGUMENT)
    }
    assert not wrong
    assert len(answers) > 80


def test_initialisation_is_counted(machine: SimulatedMachine) -> None:
    gpu = machine.gpu()
    machine.nvml.nvmlInit()
    machine.nvml.nvmlShutdown()

    assert machine.code(machine.nvml.nvmlDeviceGetName, gpu) == SUCCESS


def test_a_shutdown_makes_handles_invalid_for_good(machine: SimulatedMachine) -> None:
    gpu = machine.gpu()
    machine.nvml.nvmlShutdown()
    machine.nvml.nvmlInit()
    machine.gpu()

    assert machine.code(machine.nvml.nvmlDeviceGetName, gpu) == INVALID_ARGUMENT


def test_errors_have_nvmls_words_and_classes(machine: SimulatedMachine) -> None:
    machine.create(0)

    with pytest.raises(machine.nvml.NVMLError_InsufficientResources) as caught:
        machine.create(19)

    assert str(caught.value) == "Insufficient Resources"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "Not Supported"),
        (19, "In use by another client"),
        (999, "Unknown Error"),
        (77, "Unknown Error"),
    ],
)
def test_codes_have_texts(machine: SimulatedMachine, code: int, text: str) -> None:
    assert machine.nvml.nvmlErrorString(code) == text


def test_a_function_the_driver_lacks_is_not_found(machine: SimulatedMachine) -> None:
    assert machine.code(machine.nvml.nvmlUnitGetCount) == FUNCTION_NOT_FOUND


def test_a_process_is_named_by_its_program(machine: SimulatedMachine) -> None:
    name = machine.nvml.nvmlSystemGetProcessName(os.getpid())

    assert name == Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    assert machine.code(machine.nvml.nvmlSystemGetProcessName, 2**22 + 1) == NOT_FOUND


def test_two_loads_know_nothing_of_each_others_handles(a_machine: Any) -> None:
    one, other = a_machine(), a_machine()
    one.create(19)
    gpu = other.gpu()

    one.nvml.nvmlShutdown()

    assert other.code(other.nvml.nvmlDeviceGetName, gpu) == SUCCESS
    assert other.free(19) == 6


def test_initialisation_works_without_flags_too(machine: SimulatedMachine) -> None:
    machine.nvml.nvmlShutdown()

    assert machine.nvml._nvmlGetFunctionPointer("nvmlInit_v2")() == SUCCESS

    assert machine.nvml.nvmlDeviceGetCount() == 1


def test_a_process_that_may_not_be_looked_at_is_not_named(
    machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> str:
        raise PermissionError(pid)

    monkeypatch.setattr(library_system, "process_name", refuse)

    assert machine.code(machine.nvml.nvmlSystemGetProcessName, 1) == NO_PERMISSION
