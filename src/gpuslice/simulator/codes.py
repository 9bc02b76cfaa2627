"""NVML's return codes and their texts, and how a simulated C function refuses.

The numbers are NVML's own (nvml.h, ``nvmlReturn_t``). They stand here, and not only in pynvml,
because the functions beneath pynvml cannot depend on which version of it is above them.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """``nvmlReturn_t``, as far as a simulated driver answers it."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    ALREADY_INITIALIZED = 5
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    INSUFFICIENT_POWER = 8
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    IRQ_ISSUE = 11
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    CORRUPTED_INFOROM = 14
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    OPERATING_SYSTEM = 17
    LIB_RM_VERSION_MISMATCH = 18
    IN_USE = 19
    MEMORY = 20
    NO_DATA = 21
    VGPU_ECC_NOT_SUPPORTED = 22
    INSUFFICIENT_RESOURCES = 23
    FREQ_NOT_SUPPORTED = 24
    ARGUMENT_VERSION_MISMATCH = 25
    DEPRECATED = 26
    NOT_READY = 27
    GPU_NOT_FOUND = 28
    INVALID_STATE = 29
    RESET_TYPE_NOT_SUPPORTED = 30
    UNKNOWN = 999


ERROR_STRINGS = {
    Code.SUCCESS: "The operation was successful",
    Code.UNINITIALIZED: "Uninitialized",
    Code.INVALID_ARGUMENT: "Invalid Argument",
    Code.NOT_SUPPORTED: "Not Supported",
    Code.NO_PERMISSION: "Insufficient Permissions",
    Code.ALREADY_INITIALIZED: "Already Initialized",
    Code.NOT_FOUND: "Not Found",
    Code.INSUFFICIENT_SIZE: "Insufficient Size",
    Code.INSUFFICIENT_POWER: "Insufficient External Power",
    Code.DRIVER_NOT_LOADED: "Driver Not Loaded",
    Code.TIMEOUT: "Timeout",
    Code.IRQ_ISSUE: "Interrupt Request Issue",
    Code.LIBRARY_NOT_FOUND: "NVML Shared Library Not Found",
    Code.FUNCTION_NOT_FOUND: "Function Not Found",
    Code.CORRUPTED_INFOROM: "Corrupted infoROM",
    Code.GPU_IS_LOST: "GPU is lost",
    Code.RESET_REQUIRED: "GPU requires reset",
    Code.OPERATING_SYSTEM: "GPU access blocked by the operating system",
    Code.LIB_RM_VERSION_MISMATCH: "Driver/library version mismatch",
    Code.IN_USE: "In use by another client",
    Code.MEMORY: "Insufficient Memory",
    Code.NO_DATA: "No data",
    Code.VGPU_ECC_NOT_SUPPORTED: "vGPU ECC not supported",
    Code.INSUFFICIENT_RESOURCES: "Insufficient Resources",
    Code.FREQ_NOT_SUPPORTED: "Invalid Frequency",
    Code.ARGUMENT_VERSION_MISMATCH: "Argument version mismatch",
    Code.DEPRECATED: "Requested functionality has been deprecated",
    Code.NOT_READY: "System is not in ready state",
    Code.GPU_NOT_FOUND: "No supported GPUs were found",
    Code.INVALID_STATE: "Resource not in correct state to perform requested operation",
    Code.RESET_TYPE_NOT_SUPPORTED: "Reset type is not supported for given device",
}
"""What ``nvmlErrorString`` answers, as a real driver does (580.159.04); pynvml's own words, for
where no driver answers, are others."""


class Refusal(Exception):  # noqa: N818 - not an error of ours: a driver's answer on its way out
    """A simulated C function answers with a code other than success."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code
