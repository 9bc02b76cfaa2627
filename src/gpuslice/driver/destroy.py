"""Destroying one slice from inside out, and seeing that it is gone.

Whatever interrupts it, the next attempt finds what is left by its id: a GPU instance that has lost
its compute instance is still a slice. "Not found" on the way is what was wanted; "in use" is waited
out for a moment.

Source: nvml.h, MIG chapter; the clean-up rules are those of NVIDIA's DRA driver and mig-parted.
"""

from __future__ import annotations

from gpuslice.driver.calls import Device, NvmlCalls
from gpuslice.driver.compute import GONE, GpuInstance, list_compute_instances
from gpuslice.driver.instances import find_instance
from gpuslice.driver.patience import Patience
from gpuslice.driver.translation import READ_AGAIN
from gpuslice.errors import ReadBackError
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Slice


def destroy_slice(
    nvml: NvmlCalls, device: Device, geometry: Geometry, slice_: Slice, patience: Patience
) -> None:
    """Destroy a slice's compute instances, then its GPU instance, and see that it is gone.

    Raises:
        ReadBackError: Another slice lives under its id, or it is still there afterwards.
        GpuBusyError: A process holds it.
    """

    def attempt() -> None:
        instance = find_instance(nvml, device, slice_.gpu_instance_id)
        if instance is not None:
            _check_same(geometry, device, instance, slice_)
            destroy_instance(nvml, device, instance)

    patience.retry(attempt)
    if find_instance(nvml, device, slice_.gpu_instance_id) is not None:
        raise ReadBackError(
            f"{slice_.profile} at {slice_.placement} on {device.label} was destroyed and is still "
            "there.",
            hint="Something else changes slices on this machine; stop it, then repeat.",
        )


def _check_same(geometry: Geometry, device: Device, instance: GpuInstance, slice_: Slice) -> None:
    """Refuse when the id was re-used: ids are few, and a stale one names somebody else's slice."""
    profile = geometry.with_id(instance.profile_id)
    name = profile.name if profile else f"profile {instance.profile_id}"
    if (name, instance.placement) != (slice_.profile, slice_.placement):
        raise ReadBackError(
            f"GPU instance {instance.id} on {device.label} is {name} at {instance.placement} now, "
            f"not {slice_.profile} at {slice_.placement}; it was left alone.",
            hint=READ_AGAIN,
        )


def destroy_instance(nvml: NvmlCalls, device: Device, instance: GpuInstance) -> None:
    """Destroy an instance once, from inside out; what is gone already is fine."""
    what = f"GPU instance {instance.id} of {device.label}"
    for compute in list_compute_instances(nvml, instance):
        to = f"destroy compute instance {compute.id} of {what}"
        nvml.attempt("nvmlComputeInstanceDestroy", compute.handle, to=to, expect=GONE)
    nvml.attempt("nvmlGpuInstanceDestroy", instance.handle, to=f"destroy {what}", expect=GONE)
