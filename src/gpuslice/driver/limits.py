"""How long the driver may take over a call before it counts as hung.

Generous, because giving a call up is final: a driver under load has been seen to take ten seconds
over a call that usually takes a millisecond.

Source: facts on NVML under load, section 5.1; GPU resets on Ampere take up to half a minute.
"""

from __future__ import annotations

USUAL_S = 30.0
CHANGE_S = 90.0
MODE_S = 240.0

_LIMITS_S = {
    "nvmlDeviceSetMigMode": MODE_S,  # on Ampere it resets the GPU
    "nvmlDeviceSetPersistenceMode": CHANGE_S,  # brings a GPU up that nobody uses
    "nvmlDeviceCreateGpuInstance": CHANGE_S,
    "nvmlDeviceCreateGpuInstanceWithPlacement": CHANGE_S,
    "nvmlGpuInstanceDestroy": CHANGE_S,
    "nvmlGpuInstanceCreateComputeInstance": CHANGE_S,
    "nvmlGpuInstanceCreateComputeInstanceWithPlacement": CHANGE_S,
    "nvmlComputeInstanceDestroy": CHANGE_S,
}


def limit_s(function: str) -> float:
    """Say how long to wait for an NVML function, seconds."""
    return _LIMITS_S.get(function, USUAL_S)
