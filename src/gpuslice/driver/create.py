"""Creating one slice, read back before it is called done.

A slice is a GPU instance at an explicit placement and one compute instance that fills it. Whatever
interrupts the making, Ctrl-C included, a GPU instance without its compute instance is taken down
again.

Source: nvml.h, MIG chapter; the clean-up rules are those of NVIDIA's DRA driver and mig-parted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref
from typing import Any

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.destroy import destroy_instance, name_holders
from gpuslice.driver.instances import (
    GpuInstance,
    describe_instance,
    find_instance,
    list_compute_profiles,
    read_slice,
    read_slices,
)
from gpuslice.driver.patience import Patience
from gpuslice.driver.translation import READ_AGAIN
from gpuslice.errors import (
    DriverError,
    GpuBusyError,
    GpusliceError,
    InsufficientResourcesError,
    ReadBackError,
)
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import PlannedSlice


def create_slice(
    nvml: NvmlCalls, device: Device, geometry: Geometry, planned: PlannedSlice, patience: Patience
) -> Slice:
    """Create a GPU instance at its placement, fill it, and read both back.

    Raises:
        InsufficientResourcesError: Something lies there already; names it.
        GpuBusyError: A client holds the GPU.
        ReadBackError: What exists afterwards is not what was asked for; it is destroyed again.
        DriverError: The GPU does not offer what the plan says.
    """
    profile = _check_planned(geometry, device, planned)
    try:
        handle = patience.retry(lambda: _create_instance(nvml, device, planned))
    except InsufficientResourcesError as error:
        error.details += _overlapping(nvml, device, geometry, planned.placement)
        raise
    except GpuBusyError as error:
        raise name_holders(error, nvml, device) from error.__cause__
    with _destroyed_on_failure(nvml, device, handle, patience):
        instance = describe_instance(nvml, device, handle)
        if instance is None:
            raise _gone(planned, device)
        _fill(nvml, instance, profile)
        return _read_back(nvml, device, geometry, instance, planned)


def _check_planned(geometry: Geometry, device: Device, planned: PlannedSlice) -> Profile:
    """Hold the plan against the GPU: an id means other hardware on another board."""
    profile = geometry.named(planned.profile)
    if profile is None or profile.id != planned.profile_id:
        offered = ", ".join(f"{p.name} (id {p.id})" for p in geometry.profiles)
        raise DriverError(
            f"{device.label} has no profile {planned.profile} with id {planned.profile_id}.",
            hint=f"Plan again for this GPU; it offers {offered}.",
        )
    if planned.placement not in profile.placements:
        legal = ", ".join(str(p) for p in profile.placements) or "none that the driver tells"
        raise DriverError(
            f"{planned.profile} cannot lie at {planned.placement} on {device.label}.",
            hint=f"Plan again for this GPU; legal placements are {legal}.",
        )
    return profile


def _create_instance(nvml: NvmlCalls, device: Device, planned: PlannedSlice) -> Handle:
    wanted = nvml.module.c_nvmlGpuInstancePlacement_t(
        start=planned.placement.start, size=planned.placement.size
    )
    to = f"create {planned.profile} at {planned.placement} on {device.label}"
    # By reference: a bare structure would be passed by value, and the driver read its bytes as an
    # address.
    function = "nvmlDeviceCreateGpuInstanceWithPlacement"
    return nvml.call(function, device.handle, planned.profile_id, byref(wanted), to=to)


def _fill(nvml: NvmlCalls, instance: GpuInstance, profile: Profile) -> None:
    """Create the compute instance that takes the whole GPU instance."""
    full = _full_compute_profile(nvml, instance, profile)
    to = f"fill GPU instance {instance.id} ({profile.name}) with a compute instance"
    nvml.call("nvmlGpuInstanceCreateComputeInstance", instance.handle, full.id, to=to)


def _full_compute_profile(nvml: NvmlCalls, instance: GpuInstance, profile: Profile) -> Any:
    """Find the compute-instance profile that fills an instance.

    Its id is no constant: the double-memory 1g of Hopper wants id 7 where others want 0. Of several
    with the right number of slices, the one with most SMs fills it.
    """
    offered = list(list_compute_profiles(nvml, instance))
    filling = [info for info in offered if info.sliceCount == profile.compute_slices]
    if not filling:
        raise DriverError(
            f"No compute instance fills GPU instance {instance.id} ({profile.name}): it offers "
            f"{[info.sliceCount for info in offered]} slices, {profile.compute_slices} are needed.",
            hint="Update the NVIDIA driver, or choose another profile.",
        )
    return max(filling, key=lambda info: info.multiprocessorCount)


def _read_back(
    nvml: NvmlCalls,
    device: Device,
    geometry: Geometry,
    instance: GpuInstance,
    planned: PlannedSlice,
) -> Slice:
    found = find_instance(nvml, device, instance.id)
    if found is None:
        raise _gone(planned, device)
    made = read_slice(nvml, device, geometry, found)
    wanted = f"{planned.profile} at {planned.placement}"
    there = f"{made.profile} at {made.placement}"
    if there != wanted:
        raise ReadBackError(
            f"{wanted} was created on {device.label}, but {there} is there.", hint=READ_AGAIN
        )
    if made.uuid is None:
        raise ReadBackError(
            f"{wanted} was created on {device.label}, but has no compute instance.",
            hint="Look for Xid lines in `dmesg`, then repeat.",
        )
    return made


def _gone(planned: PlannedSlice, device: Device) -> ReadBackError:
    return ReadBackError(
        f"{planned.profile} at {planned.placement} on {device.label} was created and is not there.",
        hint="Something else changes slices on this machine; stop it, then repeat.",
    )


@contextmanager
def _destroyed_on_failure(
    nvml: NvmlCalls, device: Device, handle: Handle, patience: Patience
) -> Iterator[None]:
    """Take a GPU instance down again when the block fails; what cannot be is told."""
    try:
        yield
    except BaseException as error:
        left = _try_destroy(nvml, device, handle, patience)
        if isinstance(error, GpusliceError):
            error.details += left
        raise


def _try_destroy(
    nvml: NvmlCalls, device: Device, handle: Handle, patience: Patience
) -> tuple[str, ...]:
    try:
        instance = describe_instance(nvml, device, handle)
        if instance is not None:
            patience.retry(lambda: destroy_instance(nvml, device, instance))
    except DriverError as error:
        return (
            f"A half-made slice is left on {device.label}: {error.message}",
            f"`nvidia-smi mig -i {device.index} -lgi` lists it, `-dgi -gi ID` destroys it.",
        )
    return ()


def _overlapping(
    nvml: NvmlCalls, device: Device, geometry: Geometry, at: Placement
) -> tuple[str, ...]:
    return tuple(
        f"{s.profile} lies at {s.placement} (GPU instance {s.gpu_instance_id})"
        for s in read_slices(nvml, device, geometry)
        if s.placement.overlaps(at)
    )
