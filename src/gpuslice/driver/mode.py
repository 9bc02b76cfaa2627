"""Switching MIG mode, and telling whether it really switched.

NVML has two answers to a change: the return code, and an activation status that says "in use" or
"reset required" *while the return code says success*. And even then only current and pending mode,
read back, say what is. A change that did not take effect leaves the new mode pending, so that the
next restart would bring it when nobody expects it; it is therefore set back.

Source: nvml.h, ``nvmlDeviceSetMigMode``; MIG User Guide, "Enable MIG Mode".
"""

from __future__ import annotations

from collections.abc import Callable

from gpuslice.driver.calls import Device, NvmlCalls, open_device
from gpuslice.driver.holders import Holders
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import (
    DriverError,
    DriverHungError,
    GpuBusyError,
    MigUnsupportedError,
    ReadBackError,
    ResetRequiredError,
)
from gpuslice.hardware.boards import MIG_PRODUCTS
from gpuslice.model.gpu import Gpu, MigMode


def read_mode(nvml: NvmlCalls, device: Device) -> MigMode | None:
    """Read current and pending MIG mode, or None where the GPU has no MIG."""
    answer = nvml.attempt(
        "nvmlDeviceGetMigMode", device.handle, to=f"read the MIG mode of {device.label}",
        expect=(NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND),
    )  # fmt: skip
    if not answer.ok:
        return None
    current, pending = answer.value
    return MigMode(current=bool(current), pending=bool(pending))


def require_mode(nvml: NvmlCalls, device: Device) -> MigMode:
    """Read the MIG mode of a GPU that has to have one.

    Raises:
        MigUnsupportedError: It has none.
    """
    mode = read_mode(nvml, device)
    if mode is None:
        name = nvml.call("nvmlDeviceGetName", device.handle, to=f"read the name of {device.label}")
        raise MigUnsupportedError(
            f"{device.label} ({name}) has no MIG.", hint=f"MIG is in: {MIG_PRODUCTS}"
        )
    return mode


def change_mode(
    nvml: NvmlCalls,
    gpu: Gpu,
    before: MigMode,
    *,
    enabled: bool,
    find_holders: Callable[[Device], Holders],
    reset: Callable[[], None] | None = None,
) -> None:
    """Switch MIG mode and read it back.

    Args:
        nvml: The calls.
        gpu: The GPU as just read.
        before: Its mode as just read.
        enabled: The mode asked for.
        find_holders: Finds who holds the GPU.
        reset: Resets the GPU, where that was allowed; called only when the mode changes no other
            way.

    Raises:
        GpuBusyError: Slices or processes hold the GPU.
        ResetRequiredError: The mode only changes with a reset or a restart.
        ReadBackError: The driver reported success and the mode is another.
        PermissionDeniedError: Not root.
    """
    asked = MigMode(current=enabled, pending=enabled)
    if before == asked:
        return
    if not enabled and gpu.slices:
        raise slices_in_the_way(gpu, "MIG mode of GPU {index} cannot be disabled")
    status = _set_mode(nvml, gpu, enabled=enabled)
    # The call may have unbound and reset the device: handles from before mean nothing now.
    after = require_mode(nvml, open_device(nvml, gpu.uuid))
    if reset is not None and _waits_for_reset(status, asked=asked, after=after):
        _reset(nvml, gpu, reset, before=before)
        after = require_mode(nvml, open_device(nvml, gpu.uuid))
        status = NvmlCode.SUCCESS
    if status == NvmlCode.SUCCESS and after == asked:
        return
    holders = find_holders(open_device(nvml, gpu.uuid))
    left = _set_pending_back(nvml, gpu, before=before, after=after)
    raise _refusal(gpu, status, asked=asked, after=after, left=left, holders=holders)


def _waits_for_reset(status: int, *, asked: MigMode, after: MigMode) -> bool:
    """Tell whether the wish is noted and only a reset is missing; clients would prevent that."""
    pending = after.pending == asked.pending and after.current != asked.current
    return pending and status != NvmlCode.IN_USE


def _reset(nvml: NvmlCalls, gpu: Gpu, reset: Callable[[], None], *, before: MigMode) -> None:
    """Reset the GPU so that the pending mode comes into force; else nothing stays pending."""
    try:
        reset()
    except DriverError as error:
        if not isinstance(error, DriverHungError):
            now = require_mode(nvml, open_device(nvml, gpu.uuid))
            left = _set_pending_back(nvml, gpu, before=before, after=now)
            error.details += (f"MIG mode of GPU {gpu.index}: {left}.",)
        raise


def refuse_reset(gpu: Gpu, holders: Holders) -> None:
    """Refuse to reset a GPU that somebody uses: a reset ends everything on it.

    Args:
        gpu: The GPU as just read.
        holders: Who holds it.

    Raises:
        GpuBusyError: Slices or processes hold it; names them.
    """
    if gpu.slices:
        raise slices_in_the_way(gpu, "GPU {index} cannot be reset")
    if holders.processes:
        raise GpuBusyError(
            f"GPU {gpu.index} cannot be reset while it is held by {holders.text}.",
            hint=holders.hint,
            details=holders.details,
        )


def _set_mode(nvml: NvmlCalls, gpu: Gpu, *, enabled: bool) -> int:
    """Ask for a mode and return the activation status; a refusal by return code reads the same."""
    device = open_device(nvml, gpu.uuid)
    answer = nvml.attempt(
        "nvmlDeviceSetMigMode", device.handle, int(enabled),
        to=f"{_verb(enabled)} MIG mode on {device.label}",
        expect=(NvmlCode.IN_USE, NvmlCode.RESET_REQUIRED),
    )  # fmt: skip
    return int(answer.value) if answer.ok else answer.code


def _set_pending_back(nvml: NvmlCalls, gpu: Gpu, *, before: MigMode, after: MigMode) -> str:
    """Undo what is pending and say in words what is left of the attempt."""
    undone = "nothing was changed"
    if after == before:
        return undone
    if after.pending != before.pending:
        _set_mode(nvml, gpu, enabled=before.pending)
    now = require_mode(nvml, open_device(nvml, gpu.uuid))
    if now == before:
        return f"{undone}, at the next restart neither"
    return (
        f"MIG is {_state(now.current)} now and {_state(now.pending)} after the next reset or "
        f"restart; `nvidia-smi -i {gpu.index} -mig {int(before.pending)}` takes that back"
    )


def slices_in_the_way(gpu: Gpu, what: str) -> GpuBusyError:
    """Say which slices keep a GPU from being changed as a whole.

    Args:
        gpu: The GPU.
        what: What cannot be done, with ``{index}`` for the GPU's.
    """
    return GpuBusyError(
        f"{what.format(index=gpu.index)} while slices lie on it.",
        hint="Remove them first, with `gpuslice down --slices` if they are of a stack.",
        details=tuple(
            f"{s.profile} at {s.placement} (GPU instance {s.gpu_instance_id})" for s in gpu.slices
        ),
    )


def _refusal(
    gpu: Gpu,
    status: int,
    *,
    asked: MigMode,
    after: MigMode,
    left: str,
    holders: Holders,
) -> DriverError:
    what = f"Could not {_verb(asked.current)} MIG mode on GPU {gpu.index} ({gpu.name})"
    if status == NvmlCode.IN_USE:
        return GpuBusyError(
            f"{what}: in use by {holders.text}; {left}.",
            hint=holders.hint,
            details=holders.details,
        )
    if after.current != asked.current and after.pending == asked.pending:
        return ResetRequiredError(
            f"{what}: the driver wants a reset first (status {status}); {left}.",
            hint=_reset_remedy(gpu, enabled=asked.current),
        )
    return ReadBackError(
        f"{what}: the driver answered with status {status}, but MIG is {_state(after.current)} and "
        f"{_state(after.pending)} after the next restart; {left}.",
        hint="Look for Xid lines in `dmesg`, then repeat.",
    )


def _reset_remedy(gpu: Gpu, *, enabled: bool) -> str:
    index = gpu.index
    if gpu.architecture.changes_mode_at_once:
        return (
            f"Stop everything on the GPU, run `nvidia-smi --gpu-reset -i {index}` as root, then "
            "repeat. A restart alone does not help: this generation forgets MIG mode at a restart."
        )
    return (
        f"As root run `nvidia-smi -i {index} -mig {int(enabled)}` and then `nvidia-smi --gpu-reset "
        f"-i {index}`; in a virtual machine, restart it instead: this generation keeps its "
        "MIG mode over restarts."
    )


def _verb(enabled: bool) -> str:
    return "enable" if enabled else "disable"


def _state(on: bool) -> str:
    return "on" if on else "off"
