"""What people write for calls and errors, and what they read of faults."""

from __future__ import annotations

import pytest

from gpuslice.errors import BadFaultError
from gpuslice.simulator.codes import Code
from gpuslice.simulator.fault_words import call_named, error_named, functions_named, in_words
from gpuslice.simulator.faults import (
    GPM,
    GPU_RESET,
    Fail,
    Fault,
    Hang,
    Hold,
    LoseGpu,
    ModePending,
    Reboot,
    reset_fails,
)


@pytest.mark.parametrize("text", ["IN_USE", "in_use", "NVML_ERROR_IN_USE", "19", " 19 "])
def test_an_error_is_named_in_any_of_its_forms(text: str) -> None:
    assert error_named(text) is Code.IN_USE


@pytest.mark.parametrize("text", ["SUCCESS", "0", "BUSY", "", "-1"])
def test_what_is_no_error_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(BadFaultError) as caught:
        error_named(text)

    assert "IN_USE" in (caught.value.hint or "")


def test_a_call_is_a_function_or_a_reset_or_any() -> None:
    assert call_named("nvmlDeviceGetName") == "nvmlDeviceGetName"
    assert call_named("reset") == GPU_RESET
    assert call_named("") == ""


@pytest.mark.parametrize("name", ["nvmlDeviceGetNam", "nvmlErrorString", "rm -rf"])
def test_a_call_that_is_never_made_is_refused(name: str) -> None:
    with pytest.raises(BadFaultError) as caught:
        call_named(name)

    assert caught.value.hint


def test_functions_are_missing_one_by_one_or_in_sets() -> None:
    assert functions_named("gpm") == GPM
    assert functions_named("nvmlDeviceGetName") == ("nvmlDeviceGetName",)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(effect=Fail(Code.IN_USE)), "answers IN_USE, at call 1 of any function"),
        (
            Fault(effect=Fail(Code.IN_USE, after=True), call="nvmlDeviceGetName", at=2, times=3),
            "does what was asked and then answers IN_USE, at calls 2 to 4 of nvmlDeviceGetName",
        ),
        (
            Fault(effect=Hang(seconds=2.5), gpu=1, times=None),
            "hangs for 2.5 s, from call 1 of any function on GPU 1 on",
        ),
        (
            Fault(effect=Hang()),
            "hangs until the faults are cleared, at call 1 of any function",
        ),
        (
            Fault(effect=LoseGpu(3), at=40),
            "GPU 3 falls off the bus, at call 40 of any function",
        ),
        (
            Fault(effect=Hold(gpu=0, pid=7)),
            "process 7 holds GPU 0, at call 1 of any function",
        ),
        (
            Fault(effect=Hold(gpu=0, start=4, pid=7)),
            "process 7 holds GPU 0 on the slice at 4, at call 1 of any function",
        ),
        (
            Fault(effect=ModePending(gpu=0)),
            "MIG mode of GPU 0 is left pending with NOT_SUPPORTED, at call 1 of any function",
        ),
        (Fault(effect=Reboot()), "the machine restarts, at call 1 of any function"),
        (reset_fails(), "answers UNKNOWN, from call 1 of nvidia-smi --gpu-reset on"),
    ],
)
def test_a_fault_is_told_in_one_line(fault: Fault, words: str) -> None:
    assert in_words(fault) == words
