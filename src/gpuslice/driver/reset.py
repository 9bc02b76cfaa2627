"""Resetting one GPU. NVML has no public call for it, so NVIDIA's own tool does it.

The tool gets its arguments as a vector, never through a shell, and a limited time. It runs in a
session of its own: Ctrl-C at the terminal ends gpuslice's waiting, but not a reset half-way.

Source: facts on nvidia-smi's texts, section 5.3.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from gpuslice.driver.limits import MODE_S
from gpuslice.driver.translation import NEEDS_ROOT, STOP_CLIENTS, NvmlCode, translate
from gpuslice.driver.worker import StuckError, Worker
from gpuslice.errors import (
    DriverError,
    DriverHungError,
    GpuBusyError,
    PermissionDeniedError,
    ResetRequiredError,
)
from gpuslice.model.gpu import Gpu

Resetter: TypeAlias = Callable[[Gpu], None]
"""Resets one GPU and returns when it is back; raises a `DriverError`."""

PROGRAM = "nvidia-smi"
GRACE_S = 5.0

RESTART_VM = (
    "Restart the virtual machine: what is passed through to it can often not be reset from inside."
)

# NVML's words, which nvidia-smi prints, and what they mean here.
_TOLD: tuple[tuple[str, type[DriverError], str], ...] = (
    ("in use by", GpuBusyError, STOP_CLIENTS),
    ("being used by", GpuBusyError, STOP_CLIENTS),
    ("insufficient permissions", PermissionDeniedError, NEEDS_ROOT),
    ("not supported", ResetRequiredError, RESTART_VM),
)
_CODES: dict[int, str] = {
    NvmlCode.IN_USE: "In use by another client",
    NvmlCode.NO_PERMISSION: "Insufficient Permissions",
    NvmlCode.NOT_SUPPORTED: "Not Supported",
}
_LOOK = "Look for Xid lines in `dmesg`; restart the machine if the GPU does not come back."


def smi_resetter(*, program: str = PROGRAM, limit_s: float = MODE_S) -> Resetter:
    """Return what resets a real GPU: ``nvidia-smi --gpu-reset -i UUID``.

    Args:
        program: The tool.
        limit_s: How long it may take, seconds.
    """

    def reset(gpu: Gpu) -> None:
        found = shutil.which(program)
        if found is None:
            raise DriverError(
                f"GPU {gpu.index} cannot be reset: {program} is not installed here.",
                hint="Install NVIDIA's utilities for this driver, or restart the machine.",
            )
        status, output = _run([found, "--gpu-reset", "-i", gpu.uuid], gpu, limit_s)
        if status != 0:
            raise _refusal(gpu, f"{program} ended with status {status}", output)

    return reset


def code_resetter(reset: Callable[[int], int], *, limit_s: float = MODE_S) -> Resetter:
    """Return a resetter over a function that takes an NVML index and answers with an NVML code.

    Args:
        reset: The simulator's reset of one of its GPUs.
        limit_s: How long it may take, seconds.
    """

    def carry_out(gpu: Gpu) -> None:
        try:
            code = Worker().run("the reset", partial(reset, gpu.index), limit_s)
        except StuckError as stuck:
            raise DriverHungError(
                f"GPU {gpu.index} was to be reset: {stuck}.", hint=_LOOK
            ) from stuck
        if code in _CODES:
            raise _refusal(gpu, f"the driver answered with code {code}", _CODES[code])
        if code != NvmlCode.SUCCESS:
            raise translate(
                code, to=f"reset GPU {gpu.index}", function="reset", words=f"code {code}"
            )

    return carry_out


def no_resetter(gpu: Gpu) -> None:
    """Refuse: this driver was opened without a way to reset GPUs."""
    raise DriverError(
        f"GPU {gpu.index} cannot be reset from here.", hint="Restart the machine instead."
    )


def _run(command: Sequence[str], gpu: Gpu, limit_s: float) -> tuple[int, str]:
    """Run a command and return its status and what it printed.

    Raises:
        DriverHungError: It did not end in time.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _give_up(process)
        raise DriverHungError(
            f"GPU {gpu.index} was to be reset, but `{' '.join(command)}` did not end within "
            f"{limit_s:g} s.",
            hint=_LOOK,
        ) from None
    return process.returncode, output


def _give_up(process: subprocess.Popen[str]) -> None:
    """End a tool that hangs; one that sleeps in the kernel cannot be ended and is left behind."""
    process.kill()
    try:
        process.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        return


def _refusal(gpu: Gpu, how: str, output: str) -> DriverError:
    kind, hint = next(
        ((kind, hint) for words, kind, hint in _TOLD if words in output.lower()),
        (DriverError, _LOOK),
    )
    lines = tuple(line.strip() for line in output.splitlines() if line.strip())
    return kind(f"GPU {gpu.index} ({gpu.name}) was not reset: {how}.", hint=hint, details=lines)
