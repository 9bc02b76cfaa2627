"""Compute instances: which kinds a GPU instance offers, where they may lie, and which live now.

Ids of compute-instance profiles are no constants either (the double-memory 1g of Hopper is filled
by id 7 where others want 0), so every kind is found by asking the GPU instance for all of them.
"""

from __future__ import annotations

from ctypes import byref, c_uint, cast
from dataclasses import dataclass
from typing import Any

from gpuslice.driver.calls import Handle, NvmlCalls
from gpuslice.driver.geometry import LAST_ENUM, read_placements, read_versioned
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.geometry import Placement

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
class ComputeProfile:
    """A kind of compute instance, as one GPU instance offers it.

    Attributes:
        id: What the create and list calls take.
        compute_slices: Compute slices it has.
        sm_count: Streaming multiprocessors it has.
        max_instances: How many fit into the GPU instance while it is empty.
    """

    id: int
    compute_slices: int
    sm_count: int
    max_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeInstance:
    """One compute instance that lives now.

    Attributes:
        handle: Valid until it is destroyed.
        id: NVML's CI id within its GPU instance.
        mig_handle: The MIG device it makes.
        compute_slices: Compute slices it has.
        placement: Where it lies in the GPU instance, in units of NVML's compute tree.
    """

    handle: Handle
    id: int
    mig_handle: Handle
    compute_slices: int
    placement: Placement


def list_compute_profiles(nvml: NvmlCalls, instance: GpuInstance) -> tuple[ComputeProfile, ...]:
    """List every kind of compute instance that a GPU instance offers, each once; none if gone."""
    shared = nvml.module.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
    to = f"read the compute-instance profiles of GPU instance {instance.id}"
    function = "nvmlGpuInstanceGetComputeInstanceProfileInfo"
    found: dict[int, ComputeProfile] = {}
    for nvml_enum in range(LAST_ENUM):
        answer = read_versioned(nvml, function, instance.handle, nvml_enum, shared, to=to)
        if answer.code == NvmlCode.INVALID_ARGUMENT:
            break
        if answer.ok:
            found.setdefault(answer.value.id, _profile(answer.value))
    return tuple(found.values())


def _profile(info: Any) -> ComputeProfile:
    return ComputeProfile(
        id=info.id,
        compute_slices=info.sliceCount,
        sm_count=info.multiprocessorCount,
        max_instances=info.instanceCount,
    )


def read_compute_placements(
    nvml: NvmlCalls, instance: GpuInstance, profile: ComputeProfile
) -> tuple[Placement, ...] | None:
    """List every legal placement of a compute instance, or None where the driver does not tell."""
    return read_placements(
        nvml,
        "nvmlGpuInstanceGetComputeInstancePossiblePlacements",
        (instance.handle, profile.id),
        nvml.module.c_nvmlComputeInstancePlacement_t,
        to=f"read where {profile.compute_slices}c may lie in GPU instance {instance.id}",
    )


def list_compute_instances(
    nvml: NvmlCalls, instance: GpuInstance, profiles: tuple[ComputeProfile, ...] | None = None
) -> tuple[ComputeInstance, ...]:
    """List the compute instances of a GPU instance, by id; none when it is gone.

    Args:
        nvml: The calls.
        instance: The GPU instance.
        profiles: What it offers, where that was read already.
    """
    offered = list_compute_profiles(nvml, instance) if profiles is None else profiles
    found = [
        compute
        for profile in offered
        for handle in _handles(nvml, instance, profile)
        if (compute := _describe(nvml, handle, profile)) is not None
    ]
    return tuple(sorted(found, key=lambda compute: compute.id))


def _handles(nvml: NvmlCalls, instance: GpuInstance, profile: ComputeProfile) -> tuple[Handle, ...]:
    kind = nvml.module.c_nvmlComputeInstance_t
    found = (kind * max(1, profile.max_instances))()
    count = c_uint(profile.max_instances)
    answer = nvml.attempt(
        "nvmlGpuInstanceGetComputeInstances", instance.handle, profile.id, found, byref(count),
        to=f"list the compute instances of GPU instance {instance.id}",
        expect=(*GONE, NvmlCode.NOT_SUPPORTED),
    )  # fmt: skip
    return tuple(cast(found[i], kind) for i in range(count.value)) if answer.ok else ()


def _describe(nvml: NvmlCalls, handle: Handle, profile: ComputeProfile) -> ComputeInstance | None:
    """Read what a compute instance is, or None when it is gone.

    ``info.device`` is the MIG device, although nvml.h calls it the parent (NVIDIA/go-nvlib relies
    on it too).
    """
    answer = nvml.attempt(
        "nvmlComputeInstanceGetInfo_v2", handle, to="read a compute instance", expect=GONE
    )
    if not answer.ok:
        return None
    info = answer.value
    return ComputeInstance(
        handle=handle,
        id=info.id,
        mig_handle=cast(info.device, nvml.module.c_nvmlDevice_t),
        compute_slices=profile.compute_slices,
        placement=Placement(info.placement.start, info.placement.size),
    )
