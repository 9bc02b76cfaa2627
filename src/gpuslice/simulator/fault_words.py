"""Faults in plain words, and the names that people give to calls, errors and missing functions.

For the command line; apart from it because the names are those of the simulator's own tables.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import assert_never

from gpuslice.errors import BadFaultError
from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import (
    ANY_CALL,
    FUNCTION_SETS,
    GPU_RESET,
    UNCOUNTED,
    Effect,
    Fail,
    Fault,
    Hang,
    Hold,
    LoseGpu,
    ModePending,
    Reboot,
)
from gpuslice.simulator.library import FUNCTIONS

RESET_WORD = "reset"
"""What people write for `GPU_RESET`."""


def call_named(name: str) -> str:
    """Return the call that a person means: a C function, ``reset``, or nothing for any.

    Raises:
        BadFaultError: The simulated driver has no such function; says which come near.
    """
    if name in (ANY_CALL, *FUNCTIONS) and name not in UNCOUNTED:
        return name
    if name in (RESET_WORD, GPU_RESET):
        return GPU_RESET
    near = get_close_matches(name, FUNCTIONS, n=3, cutoff=0.4)
    raise BadFaultError(
        f"The simulated driver is never called by the name {name!r}.",
        hint=f"Did you mean {', '.join(near)}?"
        if near
        else "Write a C function of NVML, or reset.",
    )


def error_named(text: str) -> Code:
    """Return the error of a name or number: ``IN_USE``, ``NVML_ERROR_IN_USE`` or ``19``.

    Raises:
        BadFaultError: NVML has no such error; lists those there are.
    """
    plain = text.strip().upper().removeprefix("NVML_ERROR_")
    for code in Code:
        if code and plain in (code.name, str(int(code))):
            return code
    raise BadFaultError(
        f"NVML has no error {text!r}.",
        hint=f"Write one of {', '.join(code.name for code in Code if code)}.",
    )


def functions_named(name: str) -> tuple[str, ...]:
    """Return the functions of a set such as ``gpm``, or the one function of a name.

    Raises:
        BadFaultError: There is neither.
    """
    return FUNCTION_SETS[name] if name in FUNCTION_SETS else (call_named(name),)


def in_words(fault: Fault) -> str:
    """Say what a fault does and at which calls, in one line."""
    return f"{_effect_in_words(fault.effect)}, {_calls_in_words(fault)}"


def _effect_in_words(effect: Effect) -> str:
    match effect:
        case Fail(code=code, after=after):
            return f"{'does what was asked and then ' * after}answers {code.name}"
        case Hang(seconds=seconds):
            limit = "until the faults are cleared" if seconds is None else f"for {seconds:g} s"
            return f"hangs {limit}"
        case LoseGpu(gpu=gpu):
            return f"GPU {gpu} falls off the bus"
        case Hold(gpu=gpu, start=start, pid=pid):
            where = "" if start is None else f" on the slice at {start}"
            return f"process {pid} holds GPU {gpu}{where}"
        case ModePending(gpu=gpu, code=code):
            return f"MIG mode of GPU {gpu} is left pending with {code.name}"
        case Reboot():
            return "the machine restarts"
        case unknown:
            assert_never(unknown)


def _calls_in_words(fault: Fault) -> str:
    what = fault.call or "any function"
    where = "" if fault.gpu is None else f" on GPU {fault.gpu}"
    if fault.times is None:
        return f"from call {fault.at} of {what}{where} on"
    if fault.times == 1:
        return f"at call {fault.at} of {what}{where}"
    return f"at calls {fault.at} to {fault.at + fault.times - 1} of {what}{where}"
