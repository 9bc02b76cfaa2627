"""Which errors each C function may answer with: what a test of every failure has to go through.

A table, apart from the functions, because most of these errors come from hardware and kernel and
never from the rules that are simulated.

Sources: nvml.h, the return lists of each function; for MIG also what real drivers were seen to
answer (IN_USE on creating the first GPU instance). UNKNOWN, GPU_IS_LOST and TIMEOUT may come from
any function that reaches a card, listed or not.
"""

from __future__ import annotations

from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import GPU_RESET, UNCOUNTED
from gpuslice.simulator.library import FUNCTIONS

_ALWAYS = (Code.UNINITIALIZED, Code.INVALID_ARGUMENT, Code.UNKNOWN, Code.TIMEOUT)
_ON_A_DEVICE = (*_ALWAYS, Code.GPU_IS_LOST)

_INIT = (Code.DRIVER_NOT_LOADED, Code.NO_PERMISSION, Code.UNKNOWN, Code.TIMEOUT)
_HANDLE = (Code.INSUFFICIENT_POWER, Code.NO_PERMISSION, Code.IRQ_ISSUE, Code.GPU_IS_LOST)
_TEXT = (Code.INSUFFICIENT_SIZE, Code.NOT_SUPPORTED)
_PROFILE = (Code.NOT_SUPPORTED,)
_NAMED_PROFILE = (Code.NOT_SUPPORTED, Code.ARGUMENT_VERSION_MISMATCH, Code.FUNCTION_NOT_FOUND)
_LISTING = (Code.NOT_SUPPORTED, Code.NO_PERMISSION)
_BY_ID = (Code.NOT_SUPPORTED, Code.NO_PERMISSION, Code.NOT_FOUND)
_CREATING = (
    Code.NOT_SUPPORTED,
    Code.NO_PERMISSION,
    Code.INSUFFICIENT_RESOURCES,
    Code.IN_USE,
)
_DESTROYING = (Code.NOT_SUPPORTED, Code.NO_PERMISSION, Code.IN_USE)
_PROCESSES = (Code.INSUFFICIENT_SIZE, Code.NO_PERMISSION, Code.NOT_SUPPORTED)
_GPM = (Code.NOT_SUPPORTED, Code.FUNCTION_NOT_FOUND)

_OF_THE_LIBRARY: dict[str, tuple[Code, ...]] = {
    "nvmlInit": _INIT,
    "nvmlInit_v2": _INIT,
    "nvmlInitWithFlags": _INIT,
    "nvmlShutdown": (Code.UNINITIALIZED, Code.UNKNOWN, Code.TIMEOUT),
    "nvmlDeviceGetCount": _ALWAYS,
    "nvmlDeviceGetCount_v2": _ALWAYS,
    "nvmlSystemGetDriverVersion": (*_ALWAYS, Code.INSUFFICIENT_SIZE),
    "nvmlSystemGetNVMLVersion": (*_ALWAYS, Code.INSUFFICIENT_SIZE),
    "nvmlSystemGetCudaDriverVersion": (*_ALWAYS, Code.LIBRARY_NOT_FOUND, Code.FUNCTION_NOT_FOUND),
    "nvmlSystemGetCudaDriverVersion_v2": (
        *_ALWAYS,
        Code.LIBRARY_NOT_FOUND,
        Code.FUNCTION_NOT_FOUND,
    ),
    "nvmlSystemGetProcessName": (*_ALWAYS, Code.NOT_FOUND, Code.NO_PERMISSION),
    GPU_RESET: (
        Code.IN_USE,
        Code.NO_PERMISSION,
        Code.NOT_SUPPORTED,
        Code.TIMEOUT,
        Code.UNKNOWN,
    ),
}
"""All there is for functions that reach no card."""

_OF_A_DEVICE: dict[str, tuple[Code, ...]] = {
    "nvmlDeviceGetHandleByIndex": _HANDLE,
    "nvmlDeviceGetHandleByIndex_v2": _HANDLE,
    "nvmlDeviceGetHandleByUUID": (*_HANDLE, Code.NOT_FOUND),
    "nvmlDeviceGetHandleByPciBusId": (*_HANDLE, Code.NOT_FOUND),
    "nvmlDeviceGetHandleByPciBusId_v2": (*_HANDLE, Code.NOT_FOUND),
    "nvmlDeviceGetName": _TEXT,
    "nvmlDeviceGetUUID": _TEXT,
    "nvmlDeviceGetMemoryInfo": (Code.NO_PERMISSION, Code.NOT_SUPPORTED),
    "nvmlDeviceGetMemoryInfo_v2": (
        Code.NO_PERMISSION,
        Code.NOT_SUPPORTED,
        Code.ARGUMENT_VERSION_MISMATCH,
        Code.FUNCTION_NOT_FOUND,
    ),
    "nvmlDeviceGetComputeRunningProcesses_v2": _PROCESSES,
    "nvmlDeviceGetComputeRunningProcesses_v3": (*_PROCESSES, Code.FUNCTION_NOT_FOUND),
    "nvmlDeviceSetPersistenceMode": (Code.NOT_SUPPORTED, Code.NO_PERMISSION),
    "nvmlDeviceSetMigMode": (Code.NOT_SUPPORTED, Code.NO_PERMISSION),
    "nvmlDeviceGetGpuInstanceProfileInfo": _PROFILE,
    "nvmlDeviceGetGpuInstanceProfileInfoV": _NAMED_PROFILE,
    "nvmlDeviceGetGpuInstanceProfileInfoByIdV": _NAMED_PROFILE,
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2": (
        *_LISTING,
        Code.INSUFFICIENT_SIZE,
        Code.FUNCTION_NOT_FOUND,
    ),
    "nvmlDeviceGetGpuInstanceRemainingCapacity": _LISTING,
    "nvmlDeviceCreateGpuInstance": _CREATING,
    "nvmlDeviceCreateGpuInstanceWithPlacement": (*_CREATING, Code.FUNCTION_NOT_FOUND),
    "nvmlGpuInstanceDestroy": _DESTROYING,
    "nvmlDeviceGetGpuInstances": (*_LISTING, Code.INSUFFICIENT_SIZE),
    "nvmlDeviceGetGpuInstanceById": _BY_ID,
    "nvmlGpuInstanceGetInfo": (Code.NO_PERMISSION,),
    "nvmlGpuInstanceGetComputeInstanceProfileInfo": _PROFILE,
    "nvmlGpuInstanceGetComputeInstanceProfileInfoV": _NAMED_PROFILE,
    "nvmlGpuInstanceGetComputeInstanceRemainingCapacity": _LISTING,
    "nvmlGpuInstanceGetComputeInstancePossiblePlacements": (
        *_LISTING,
        Code.INSUFFICIENT_SIZE,
        Code.FUNCTION_NOT_FOUND,
    ),
    "nvmlGpuInstanceCreateComputeInstance": _CREATING,
    "nvmlGpuInstanceCreateComputeInstanceWithPlacement": (*_CREATING, Code.FUNCTION_NOT_FOUND),
    "nvmlComputeInstanceDestroy": _DESTROYING,
    "nvmlGpuInstanceGetComputeInstances": (*_LISTING, Code.INSUFFICIENT_SIZE),
    "nvmlGpuInstanceGetComputeInstanceById": _BY_ID,
    "nvmlComputeInstanceGetInfo_v2": (Code.NO_PERMISSION, Code.FUNCTION_NOT_FOUND),
    "nvmlDeviceGetMigDeviceHandleByIndex": (Code.NOT_SUPPORTED, Code.NOT_FOUND),
    "nvmlDeviceGetMaxMigDeviceCount": (),
    "nvmlDeviceIsMigDeviceHandle": (Code.NOT_SUPPORTED,),
    **{name: _GPM for name in FUNCTIONS if name.startswith("nvmlGpm")},
}
"""What they add to the errors that any function on a card may answer with."""

_OTHERWISE = (Code.NOT_SUPPORTED,)


def possible_errors(function: str) -> tuple[Code, ...]:
    """Return every error a C function may answer with, each once.

    Args:
        function: Its name, or `gpuslice.simulator.faults.GPU_RESET`. For a function whose errors
            are not listed NOT_SUPPORTED is taken, besides what any function may answer.

    Returns:
        Codes other than success; none for ``nvmlErrorString``, which answers a text.

    Raises:
        KeyError: The simulated driver has no such function.
    """
    if function in UNCOUNTED:
        return ()
    if function in _OF_THE_LIBRARY:
        return _OF_THE_LIBRARY[function]
    if function not in FUNCTIONS:
        raise KeyError(function)
    return (*_ON_A_DEVICE, *_without_repeats(_OF_A_DEVICE.get(function, _OTHERWISE)))


def _without_repeats(codes: tuple[Code, ...]) -> tuple[Code, ...]:
    return tuple(code for code in codes if code not in _ON_A_DEVICE)
