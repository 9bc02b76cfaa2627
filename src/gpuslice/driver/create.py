"""Creating one slice, read back before it is called done.

A slice is a GPU instance at an explicit placement and the compute instances in it: one that fills
it, or the parts that a plan names. Whatever interrupts the making, Ctrl-C included, a GPU instance
without all of them is taken down again.

Source: nvml.h, MIG chapter; the clean-up rules are those of NVIDIA's DRA driver and mig-parted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref
from functools import partial

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.compute import GpuInstance
from gpuslice.driver.destroy import destroy_instance
from gpuslice.driver.instances import (
    describe_instance,
    find_instance,
    read_slice,
    read_slices,
)
from gpuslice.driver.parts import differs, fill, wanted_parts
from gpuslice.driver.patience import Patience
from gpuslice.driver.translation import READ_AGAIN
from gpuslice.errors import (
    DriverError,
    DriverHungError,
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
    parts = wanted_parts(profile, planned.parts)
    made: list[Handle] = []
    with _destroyed_on_failure(nvml, device, made, patience):
        _create_instance(nvml, device, geometry, planned, patience, made)
        instance = describe_instance(nvml, device, made[0])
        if instance is None:
            raise _gone(planned, device)
        seats = fill(nvml, instance, profile, parts)
        slice_ = _read_back(nvml, device, geometry, instance, planned)
        if differs(slice_.parts, parts, seats):
            raise _other_parts(slice_, device, parts)
        return slice_


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


def _create_instance(
    nvml: NvmlCalls,
    device: Device,
    geometry: Geometry,
    planned: PlannedSlice,
    patience: Patience,
    made: list[Handle],
) -> None:
    """Create the GPU instance; its handle is in ``made`` even when Ctrl-C ends the waiting."""
    wanted = nvml.module.c_nvmlGpuInstancePlacement_t(
        start=planned.placement.start, size=planned.placement.size
    )
    to = f"create {planned.profile} at {planned.placement} on {device.label}"
    # By reference: a bare structure would be passed by value, and the driver read its bytes as an
    # address.
    function = "nvmlDeviceCreateGpuInstanceWithPlacement"
    arguments = (device.handle, planned.profile_id, byref(wanted))
    try:
        patience.retry(lambda: nvml.call(function, *arguments, to=to, keep=made.append))
    except InsufficientResourcesError as error:
        error.details += _overlapping(nvml, device, geometry, planned.placement)
        raise


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


def _other_parts(slice_: Slice, device: Device, parts: tuple[int, ...]) -> ReadBackError:
    there = ", ".join(f"{p.compute_slices}c at {p.start}" for p in slice_.parts)
    wanted = ", ".join(f"{size}c" for size in parts)
    return ReadBackError(
        f"{slice_.profile} at {slice_.placement} on {device.label} was to have "
        f"{wanted or 'one compute instance that fills it'}, but has "
        f"{there or 'one that fills it'}.",
        hint=READ_AGAIN,
    )


@contextmanager
def _destroyed_on_failure(
    nvml: NvmlCalls, device: Device, made: list[Handle], patience: Patience
) -> Iterator[None]:
    """Take a GPU instance down again when the block fails; what cannot be is told."""
    try:
        yield
    except BaseException as error:
        left = _try_destroy(nvml, device, made, patience)
        if isinstance(error, GpusliceError):
            error.details += left
        raise


def _try_destroy(
    nvml: NvmlCalls, device: Device, made: list[Handle], patience: Patience
) -> tuple[str, ...]:
    lists = f"`nvidia-smi mig -i {device.index} -lgi` lists it, `-dgi -gi ID` destroys it."
    try:
        nvml.settle(to="see whether a half-made slice is left")
        for handle in made:
            instance = describe_instance(nvml, device, handle)
            if instance is not None:
                patience.retry(partial(destroy_instance, nvml, device, instance))
    except DriverHungError as error:
        return (f"A half-made slice may be left on {device.label}: {error.message}", lists)
    except DriverError as error:
        return (f"A half-made slice is left on {device.label}: {error.message}", lists)
    return ()


def _overlapping(
    nvml: NvmlCalls, device: Device, geometry: Geometry, at: Placement
) -> tuple[str, ...]:
    return tuple(
        f"{s.profile} lies at {s.placement} (GPU instance {s.gpu_instance_id})"
        for s in read_slices(nvml, device, geometry)
        if s.placement.overlaps(at)
    )
