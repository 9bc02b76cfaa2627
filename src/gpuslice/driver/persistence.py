"""Persistence mode: whether a GPU stays ready while nobody uses it.

Without it the driver takes the GPU down after its last client and brings it up again for the next.
Slices survive that, but every first call is slow, and NVIDIA's own tool warns when MIG is switched
on without it. So it is read and shown; it is changed only when that was asked for.

Source: facts, section 5.1; nvml.h, ``nvmlDeviceSetPersistenceMode``.
"""

from __future__ import annotations

from gpuslice.driver.calls import Device, NvmlCalls
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import ReadBackError

_UNANSWERED = (NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND, NvmlCode.NO_PERMISSION)


def read_persistence(nvml: NvmlCalls, device: Device) -> bool | None:
    """Read persistence mode, or None where the driver does not tell."""
    answer = nvml.attempt(
        "nvmlDeviceGetPersistenceMode", device.handle,
        to=f"read the persistence mode of {device.label}", expect=_UNANSWERED,
    )  # fmt: skip
    return bool(answer.value) if answer.ok else None


def set_persistence(nvml: NvmlCalls, device: Device, *, enabled: bool) -> None:
    """Switch persistence mode and read it back. Nothing happens when it is already so.

    Raises:
        PermissionDeniedError: Not root.
        ReadBackError: The driver reported success and the mode is another.
    """
    if read_persistence(nvml, device) is enabled:
        return
    verb = "enable" if enabled else "disable"
    to = f"{verb} persistence mode on {device.label}"
    nvml.call("nvmlDeviceSetPersistenceMode", device.handle, int(enabled), to=to)
    if read_persistence(nvml, device) is not enabled:
        raise ReadBackError(
            f"Could not {to}: the driver reported success, but it is as before.",
            hint="See what nvidia-persistenced does: `systemctl status nvidia-persistenced`.",
        )
