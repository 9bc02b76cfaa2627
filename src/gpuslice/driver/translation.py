"""NVML's return codes in our words: which error each one is, and what to do about it.

Separate from the calls, so that the whole table can be read, and tested against every constant the
binding has, without a driver.

Source of the codes: nvml.h, ``nvmlReturn_t``; what they mean to MIG calls: MIG User Guide and the
"Return" lists of the MIG functions in nvml.h.
"""

from __future__ import annotations

from enum import IntEnum

from gpuslice.errors import (
    DriverError,
    GpuBusyError,
    GpuLostError,
    InsufficientResourcesError,
    NoDriverError,
    NoGpuError,
    PermissionDeniedError,
    ResetRequiredError,
)


class NvmlCode(IntEnum):
    """The return codes the driver acts on; all others only ever become errors."""

    SUCCESS = 0
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    FUNCTION_NOT_FOUND = 13
    RESET_REQUIRED = 16
    IN_USE = 19
    VERSION_MISMATCH = 25
    DEPRECATED = 26


TRY_SIMULATED = "without a GPU, try --simulate a100-80gb"
READ_AGAIN = "What it refers to has changed or is gone; look again with `gpuslice ps`, then repeat."
UPDATE_DRIVER = "Install an NVIDIA driver of branch 525 or newer and the current nvidia-ml-py."
CHECK_HARDWARE = (
    "Look for Xid lines in `dmesg`, then restart the machine; check the card if it stays."
)
REPEAT = "Repeat the command; if it stays, look for Xid lines in `dmesg`."
STOP_CLIENTS = (
    "Stop what uses the GPU (CUDA programs, and on Ampere also dcgm, nvsm and other monitors), "
    "then repeat; `fuser -v /dev/nvidia*` names them."
)
NEEDS_ROOT = (
    "Run it as root, or be given access to /proc/driver/nvidia/capabilities/mig/config (to change "
    "slices) and mig/monitor (to list them); switching MIG mode always needs root."
)

_TABLE: dict[int, tuple[type[DriverError], str]] = {
    1: (DriverError, "The connection to the driver is closed; start the command again."),
    NvmlCode.INVALID_ARGUMENT: (DriverError, READ_AGAIN),
    NvmlCode.NOT_SUPPORTED: (
        DriverError,
        "This GPU, driver or mode has no such function; `gpuslice doctor` says what there is.",
    ),
    NvmlCode.NO_PERMISSION: (PermissionDeniedError, NEEDS_ROOT),
    5: (DriverError, "Start the command again."),
    NvmlCode.NOT_FOUND: (DriverError, READ_AGAIN),
    7: (DriverError, "The number of instances changed while they were listed; repeat the command."),
    8: (DriverError, "Check the power cables of the card."),
    9: (NoDriverError, f"Load the driver with `modprobe nvidia`; {TRY_SIMULATED}."),
    10: (DriverError, REPEAT),
    11: (DriverError, CHECK_HARDWARE),
    12: (NoDriverError, f"Install the NVIDIA driver (libnvidia-ml.so.1); {TRY_SIMULATED}."),
    NvmlCode.FUNCTION_NOT_FOUND: (DriverError, UPDATE_DRIVER),
    14: (DriverError, CHECK_HARDWARE),
    15: (GpuLostError, CHECK_HARDWARE),
    NvmlCode.RESET_REQUIRED: (
        ResetRequiredError,
        "Reset the GPU with `nvidia-smi --gpu-reset -i INDEX` when it is idle, or restart.",
    ),
    17: (
        PermissionDeniedError,
        "The system (cgroups, container, SELinux) keeps /dev/nvidia* away: allow it.",
    ),
    18: (
        DriverError,
        "The driver was updated while it was loaded: restart, or reload its kernel modules.",
    ),
    NvmlCode.IN_USE: (GpuBusyError, STOP_CLIENTS),
    20: (DriverError, "The machine is short of memory: free some, then repeat."),
    21: (DriverError, REPEAT),
    22: (DriverError, "vGPU hosts are not supported; use the card itself or pass it through."),
    23: (
        InsufficientResourcesError,
        "Something lies there, or the profile's limit is reached; see `gpuslice profiles`.",
    ),
    24: (DriverError, REPEAT),
    NvmlCode.VERSION_MISMATCH: (DriverError, UPDATE_DRIVER),
    NvmlCode.DEPRECATED: (
        DriverError,
        "This driver dropped the function: update nvidia-ml-py and gpuslice.",
    ),
    27: (DriverError, "The GPU is not ready yet; wait a moment, then repeat."),
    28: (NoGpuError, f"Check `lspci -d 10de:`; {TRY_SIMULATED}."),
    29: (DriverError, "The GPU is in a state that forbids it; `gpuslice doctor` shows which."),
    30: (DriverError, "Restart the machine instead of resetting the GPU."),
    999: (DriverError, REPEAT),
}


def translate(code: int, *, to: str, function: str, words: str) -> DriverError:
    """Turn a return code into our error; a code nobody has seen yet becomes a `DriverError`.

    Args:
        code: NVML's return code.
        to: What the call was for, as it follows "Could not".
        function: NVML's name of the function.
        words: NVML's own words for the code.
    """
    error, hint = _TABLE.get(code, (DriverError, REPEAT))
    return error(f"Could not {to}: NVML says {words!r} (code {code}, {function}).", hint=hint)
