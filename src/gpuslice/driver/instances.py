"""GPU instances as they are found on a GPU, and the slices that they and their parts make.

Slices are listed from GPU instances, never from MIG devices: an instance whose compute instance is
missing has no device, yet occupies its memory. Handles are copied out of NVML's arrays and
structures, because an element of a ctypes array is a view that changes when the array is re-used.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_uint, cast
from dataclasses import replace
from typing import Any, TypeAlias

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.compute import (
    GONE,
    ComputeInstance,
    ComputeProfile,
    GpuInstance,
    list_compute_instances,
    list_compute_profiles,
)
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Slice, SlicePart

MIB = 1 << 20

# Kinds of compute instances by the profile id of the GPU instances that offer them.
Kinds: TypeAlias = dict[int, tuple[ComputeProfile, ...]]


def list_instances(nvml: NvmlCalls, device: Device, geometry: Geometry) -> tuple[GpuInstance, ...]:
    """List every GPU instance of a GPU, by placement; MIG mode has to be on.

    Nothing is left out: an instance that is listed and cannot be described is an error, since who
    undoes a change takes what is not listed for gone.

    Raises:
        PermissionDeniedError: Listing needs privilege.
        DriverError: The driver would not list or describe them all.
    """
    found = [
        _describe_listed(nvml, device, handle)
        for profile in geometry.profiles
        for handle in _handles(nvml, device, profile.id, capacity=profile.max_instances)
    ]
    return tuple(sorted(found, key=lambda instance: instance.placement))


def _handles(
    nvml: NvmlCalls, device: Device, profile_id: int, *, capacity: int
) -> tuple[Handle, ...]:
    kind = nvml.module.c_nvmlGpuInstance_t
    found = (kind * max(1, capacity))()
    count = c_uint(capacity)
    nvml.call(
        "nvmlDeviceGetGpuInstances", device.handle, profile_id, found, byref(count),
        to=f"list the GPU instances of {device.label}",
    )  # fmt: skip
    return tuple(cast(found[i], kind) for i in range(count.value))


def describe_instance(nvml: NvmlCalls, device: Device, handle: Handle) -> GpuInstance | None:
    """Read what a GPU instance is, or None when it is gone."""
    to = f"read a GPU instance of {device.label}"
    answer = nvml.attempt("nvmlGpuInstanceGetInfo", handle, to=to, expect=GONE)
    if not answer.ok:
        return None
    return _as_instance(handle, answer.value)


def _describe_listed(nvml: NvmlCalls, device: Device, handle: Handle) -> GpuInstance:
    to = f"read a GPU instance of {device.label}"
    return _as_instance(handle, nvml.call("nvmlGpuInstanceGetInfo", handle, to=to))


def _as_instance(handle: Handle, info: Any) -> GpuInstance:
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


def read_slices(nvml: NvmlCalls, device: Device, geometry: Geometry) -> tuple[Slice, ...]:
    """Read every slice of a GPU, half-made ones included, by placement.

    An instance that is destroyed while it is read looks half made for a moment; only one that is
    still there afterwards is.
    """
    kinds: Kinds = {}
    read = (
        read_slice(nvml, device, geometry, instance, kinds)
        for instance in list_instances(nvml, device, geometry)
    )
    return tuple(
        slice_
        for slice_ in read
        if slice_.uuid is not None or find_instance(nvml, device, slice_.gpu_instance_id)
    )


def read_slice(
    nvml: NvmlCalls,
    device: Device,
    geometry: Geometry,
    instance: GpuInstance,
    kinds: Kinds | None = None,
) -> Slice:
    """Describe a GPU instance as a slice; without a compute instance it is a half-made one.

    Args:
        nvml: The calls.
        device: The GPU.
        geometry: Its geometry.
        instance: The GPU instance.
        kinds: What instances of each profile offer; filled in, so that equal ones are asked once.
    """
    profile = geometry.with_id(instance.profile_id)
    profile_mib = profile.memory_mib if profile else 0
    bare = Slice(
        gpu_uuid=device.uuid,
        gpu_instance_id=instance.id,
        profile=profile.name if profile else f"profile {instance.profile_id}",
        placement=instance.placement,
        memory_mib=profile_mib,
    )
    kinds = {} if kinds is None else kinds
    offered = kinds.get(instance.profile_id) or list_compute_profiles(nvml, instance)
    living = [
        (compute, uuid)
        for compute in list_compute_instances(nvml, instance, offered)
        if (uuid := _mig_uuid(nvml, compute)) is not None
    ]
    if not living:
        return bare
    kinds[instance.profile_id] = offered  # it lives, so the list was not cut short by its end
    first, first_uuid = living[0]
    filled = len(living) == 1 and first.compute_slices == max(o.compute_slices for o in offered)
    return replace(
        bare,
        memory_mib=_memory_mib(nvml, first.mig_handle) or profile_mib,
        compute_instance_id=first.id,
        uuid=first_uuid,
        parts=() if filled else _parts(living),
    )


def _parts(living: Sequence[tuple[ComputeInstance, str]]) -> tuple[SlicePart, ...]:
    parts = (
        SlicePart(
            compute_instance_id=compute.id,
            compute_slices=compute.compute_slices,
            start=compute.placement.start,
            uuid=uuid,
        )
        for compute, uuid in living
    )
    return tuple(sorted(parts, key=lambda part: part.start))


def _mig_uuid(nvml: NvmlCalls, compute: ComputeInstance) -> str | None:
    answer = nvml.attempt(
        "nvmlDeviceGetUUID", compute.mig_handle, to="read a MIG device's UUID", expect=GONE
    )
    return answer.value if answer.ok else None


def _memory_mib(nvml: NvmlCalls, mig_handle: Handle) -> int:
    """Read a MIG device's memory, MiB, or 0 where it is not ours to see.

    Two instances of one profile on one board may differ by a step, so the profile's is not exact.
    """
    answer = nvml.attempt(
        "nvmlDeviceGetMemoryInfo", mig_handle, to="read a MIG device's memory",
        expect=(*GONE, NvmlCode.NO_PERMISSION),
    )  # fmt: skip
    return int(answer.value.total) // MIB if answer.ok else 0
