"""How much of each slice is in use: memory of the MIG devices, and how busy their SMs are.

Utilisation comes from NVML's GPM counters, which Hopper and later have: the share is worked out
between two samples, so the first reading of a slice has none. Ampere tells only DCGM.

Source: nvml.h, chapter "GPM"; samples have to lie 100 ms apart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.compute import GONE
from gpuslice.driver.instances import MIB
from gpuslice.driver.processes import mig_handles
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.gpu import SliceUse

LEAST_INTERVAL_S = 0.1

_NO_GPM = (
    NvmlCode.NOT_SUPPORTED,
    NvmlCode.FUNCTION_NOT_FOUND,
    NvmlCode.NO_PERMISSION,
    NvmlCode.VERSION_MISMATCH,
    *GONE,
)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The last sample of one slice. Owned by `GpmMeter`."""

    sample: Handle
    taken_s: float
    share: float | None = None


class GpmMeter:
    """Keeps one GPM sample per slice and works out utilisation against it. Owned by `NvmlDriver`.

    Args:
        nvml: The calls.
        clock: Monotonic time, seconds.
    """

    def __init__(self, nvml: NvmlCalls, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml = nvml
        self._clock = clock
        self._readings: dict[tuple[str, int], _Reading] = {}

    def supports(self, device: Device) -> bool:
        """Tell whether the GPU has GPM counters."""
        to = f"ask {device.label} for GPM"
        answer = self._nvml.attempt(
            "nvmlGpmQueryDeviceSupport", device.handle, to=to, expect=_NO_GPM
        )
        return answer.ok and bool(answer.value.isSupportedDevice)

    def read(self, device: Device, instance_id: int) -> float | None:
        """Work out the share of a slice's SMs that were busy since the last reading.

        Returns:
            0 to 1; None at the first reading. Sooner than 100 ms after a reading, that one's share.
        """
        key = (device.uuid, instance_id)
        last = self._readings.get(key)
        now = self._clock()
        if last is not None and now - last.taken_s < LEAST_INTERVAL_S:
            return last.share
        sample = self._sample(device, instance_id)
        if sample is None:
            self._forget(key)
            return None
        share = self._share(last.sample, sample) if last else None
        self._forget(key)
        self._readings[key] = _Reading(sample=sample, taken_s=now, share=share)
        return share

    def forget(self, gpu_uuid: str) -> None:
        """Drop a GPU's samples: its slices have changed, so old counters mean nothing."""
        for key in [key for key in self._readings if key[0] == gpu_uuid]:
            self._forget(key)

    def forget_all(self) -> None:
        """Drop every sample, since the connection that they belong to ends."""
        for key in tuple(self._readings):
            self._forget(key)

    def _forget(self, key: tuple[str, int]) -> None:
        if (reading := self._readings.pop(key, None)) is not None:
            self._free(reading.sample)

    def _free(self, sample: Handle) -> None:
        self._nvml.attempt("nvmlGpmSampleFree", sample, to="free a GPM sample", expect=GONE)

    def _sample(self, device: Device, instance_id: int) -> Handle | None:
        to = f"sample GPU instance {instance_id} of {device.label}"
        sample = self._nvml.call("nvmlGpmSampleAlloc", to=to)
        answer = self._nvml.attempt(
            "nvmlGpmMigSampleGet", device.handle, instance_id, sample, to=to, expect=_NO_GPM
        )
        if answer.ok:
            return sample
        self._free(sample)
        return None

    def _share(self, earlier: Handle, later: Handle) -> float | None:
        module = self._nvml.module
        request = module.c_nvmlGpmMetricsGet_t()
        request.version = module.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = 1
        request.sample1, request.sample2 = earlier, later
        request.metrics[0].metricId = module.NVML_GPM_METRIC_SM_UTIL
        answer = self._nvml.attempt(
            "nvmlGpmMetricsGet", request, to="work out GPM metrics", expect=_NO_GPM
        )
        metric = request.metrics[0]
        if not answer.ok or metric.nvmlReturn != NvmlCode.SUCCESS or math.isnan(metric.value):
            return None
        share: float = metric.value / 100
        return min(1.0, max(0.0, share))


def read_use(nvml: NvmlCalls, device: Device, meter: GpmMeter) -> dict[int, SliceUse]:
    """Read memory and utilisation of a GPU's slices, by GPU instance id.

    A half-made slice has no MIG device to ask and is left out. Compute instances of one GPU
    instance share its memory, so the first one speaks for all.
    """
    measurable = meter.supports(device)
    use: dict[int, SliceUse] = {}
    for instance_id, handle in mig_handles(nvml, device):
        if instance_id in use:
            continue
        to = f"read the memory of GPU instance {instance_id} of {device.label}"
        answer = nvml.attempt("nvmlDeviceGetMemoryInfo", handle, to=to, expect=GONE)
        if answer.ok:
            use[instance_id] = SliceUse(
                used_mib=answer.value.used // MIB,
                total_mib=answer.value.total // MIB,
                sm_utilisation=meter.read(device, instance_id) if measurable else None,
            )
    return use
