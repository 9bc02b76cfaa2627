"""GPU instances and compute instances as they are found on a GPU, and the slices they make.

Slices are listed from GPU instances, never from MIG devices: an instance whose compute instance is
missing has no device, yet occupies its memory. Handles are copied out of NVML's arrays and
structures, because an element of a ctypes array is a view that changes when the array is re-used.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import byref, c_uint, cast
from dataclasses import dataclass, replace
from typing import Any

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.geometry import LAST_ENUM, read_versioned
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Slice

MIB = 1 << 20

# What a call on a handle says when its instance was destroyed meanwhile, by us or by others.
GONE = (NvmlCode.NOT_FOUND, NvmlCode.INVALID_ARGUMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInstance:
    """One GPU instance that lives now.

    Attributes:
        handle: Valid until the instance is destroyed or the mode changes.
        id: NVML's GI id.
        profile_id: Profile id on this GPU.
        placement: Where it lies.
    """

    handle: Handle
    id: int
    profile_id: int
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeInstance:
    """One compute instance that lives now.

    Attributes:
        handle: Valid until it is destroyed.
        id: NVML's CI id within its GPU instance.
        mig_handle: The MIG device it makes.
    """

    handle: Handle
    id: int
    mig_handle: Handle


def list_instances(nvml: NvmlCalls, device: Device, geometry: Geometry) -> tuple[GpuInstance, ...]:
    """List every GPU instance of a GPU, by placement.

    Raises:
        PermissionDeniedError: Listing needs privilege.
    """
    found = [
        instance
        for profile in geometry.profiles
        for handle in _handles(nvml, device, profile.id, capacity=profile.max_instances)
        if (instance := describe_instance(nvml, device, handle)) is not None
    ]
    return tuple(sorted(found, key=lambda instance: instance.placement))


def _handles(
    nvml: NvmlCalls, device: Device, profile_id: int, *, capacity: int
) -> tuple[Handle, ...]:
    kind = nvml.module.c_nvmlGpuInstance_t
    found = (kind * max(1, capacity))()
    count = c_uint(capacity)
    answer = nvml.attempt(
        "nvmlDeviceGetGpuInstances", device.handle, profile_id, found, byref(count),
        to=f"list the GPU instances of {device.label}", expect=(NvmlCode.NOT_SUPPORTED,),
    )  # fmt: skip
    return tuple(cast(found[i], kind) for i in range(count.value)) if answer.ok else ()


def describe_instance(nvml: NvmlCalls, device: Device, handle: Handle) -> GpuInstance | None:
    """Read what a GPU instance is, or None when it is gone."""
    to = f"read a GPU instance of {device.label}"
    answer = nvml.attempt("nvmlGpuInstanceGetInfo", handle, to=to, expect=GONE)
    if not answer.ok:
        return None
    info = answer.value
    return GpuInstance(
        handle=handle,
        id=info.id,
        profile_id=info.profileId,
        placement=Placement(info.placement.start, info.placement.size),
    )


def find_instance(nvml: NvmlCalls, device: Device, instance_id: int) -> GpuInstance | None:
    """Look a GPU instance up by id, or None when there is none."""
    to = f"find GPU instance {instance_id} of {device.label}"
    answer = nvml.attempt(
        "nvmlDeviceGetGpuInstanceById", device.handle, instance_id, to=to, expect=GONE
    )
    return describe_instance(nvml, device, answer.value) if answer.ok else None


def list_compute_profiles(nvml: NvmlCalls, instance: GpuInstance) -> Iterator[Any]:
    """Yield NVML's description of every compute-instance profile a GPU instance offers."""
    shared = nvml.module.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
    to = f"read the compute-instance profiles of GPU instance {instance.id}"
    function = "nvmlGpuInstanceGetComputeInstanceProfileInfo"
    for nvml_enum in range(LAST_ENUM):
        answer = read_versioned(nvml, function, instance.handle, nvml_enum, shared, to=to)
        if answer.code == NvmlCode.INVALID_ARGUMENT:
            return
        if answer.ok:
            yield answer.value


def list_compute_instances(nvml: NvmlCalls, instance: GpuInstance) -> tuple[ComputeInstance, ...]:
    """List the compute instances of a GPU instance, by id; none when it is gone."""
    found = [
        compute
        for info in list_compute_profiles(nvml, instance)
        for handle in _compute_handles(nvml, instance, info)
        if (compute := describe_compute(nvml, handle)) is not None
    ]
    return tuple(sorted(found, key=lambda compute: compute.id))


def _compute_handles(nvml: NvmlCalls, instance: GpuInstance, info: Any) -> tuple[Handle, ...]:
    kind = nvml.module.c_nvmlComputeInstance_t
    found = (kind * max(1, info.instanceCount))()
    count = c_uint(info.instanceCount)
    answer = nvml.attempt(
        "nvmlGpuInstanceGetComputeInstances", instance.handle, info.id, found, byref(count),
        to=f"list the compute instances of GPU instance {instance.id}",
        expect=(*GONE, NvmlCode.NOT_SUPPORTED),
    )  # fmt: skip
    return tuple(cast(found[i], kind) for i in range(count.value)) if answer.ok else ()


def describe_compute(nvml: NvmlCalls, handle: Handle) -> ComputeInstance | None:
    """Read what a compute instance is, or None when it is gone.

    ``info.device`` is the MIG device, although nvml.h calls it the parent (NVIDIA/go-nvlib relies
    on it too).
    """
    answer = nvml.attempt(
        "nvmlComputeInstanceGetInfo_v2", handle, to="read a compute instance", expect=GONE
    )
    if not answer.ok:
        return None
    mig_handle = cast(answer.value.device, nvml.module.c_nvmlDevice_t)
    return ComputeInstance(handle=handle, id=answer.value.id, mig_handle=mig_handle)


def read_slices(nvml: NvmlCalls, device: Device, geometry: Geometry) -> tuple[Slice, ...]:
    """Read every slice of a GPU, half-made ones included, by placement.

    An instance that is destroyed while it is read looks half made for a moment; only one that is
    still there afterwards is.
    """
    read = (
        read_slice(nvml, device, geometry, instance)
        for instance in list_instances(nvml, device, geometry)
    )
    return tuple(
        slice_
        for slice_ in read
        if slice_.uuid is not None or find_instance(nvml, device, slice_.gpu_instance_id)
    )


def read_slice(nvml: NvmlCalls, device: Device, geometry: Geometry, instance: GpuInstance) -> Slice:
    """Describe a GPU instance as a slice; without a compute instance it is a half-made one."""
    profile = geometry.with_id(instance.profile_id)
    profile_mib = profile.memory_mib if profile else 0
    bare = Slice(
        gpu_uuid=device.uuid,
        gpu_instance_id=instance.id,
        profile=profile.name if profile else f"profile {instance.profile_id}",
        placement=instance.placement,
        memory_mib=profile_mib,
    )
    for compute in list_compute_instances(nvml, instance):
        uuid = nvml.attempt(
            "nvmlDeviceGetUUID", compute.mig_handle, to="read a MIG device's UUID", expect=GONE
        )
        if uuid.ok:
            return replace(
                bare,
                memory_mib=_memory_mib(nvml, compute.mig_handle) or profile_mib,
                compute_instance_id=compute.id,
                uuid=uuid.value,
            )
    return bare


def _memory_mib(nvml: NvmlCalls, mig_handle: Handle) -> int:
    """Read a MIG device's memory, MiB, or 0 where it is not ours to see.

    Two instances of one profile on one board may differ by a step, so the profile's is not exact.
    """
    answer = nvml.attempt(
        "nvmlDeviceGetMemoryInfo", mig_handle, to="read a MIG device's memory",
        expect=(*GONE, NvmlCode.NO_PERMISSION),
    )  # fmt: skip
    return int(answer.value.total) // MIB if answer.ok else 0
