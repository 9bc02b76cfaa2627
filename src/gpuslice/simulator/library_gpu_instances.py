"""C functions about GPU instances and their profiles.

Refusals come in the order a real driver checks: initialisation, privilege, MIG mode, the profile,
and only then whether there is room.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

from gpuslice.hardware import Board
from gpuslice.model.geometry import Placement, Profile
from gpuslice.simulator.arguments import (
    Argument,
    address,
    number,
    view,
    view_array,
    write_handle,
    write_number,
)
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.layout import add_gpu_instance, remove_gpu_instance
from gpuslice.simulator.library_mig_mode import is_held, mig_capable, mig_enabled
from gpuslice.simulator.session import Session, Target
from gpuslice.simulator.state import MachineState
from gpuslice.simulator.table import FunctionTable

FUNCTIONS = FunctionTable()

PROFILE_ENUMS = 17
"""``NVML_GPU_INSTANCE_PROFILE_COUNT`` of the simulated driver; asking from here on is invalid."""


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceProfileInfo")
def get_profile_info(session: Session, device: Argument, profile: Argument, info: Argument) -> None:
    """Answer a profile by its enum, in the first form, which has no name."""
    found = _profile_of_enum(session.gpu(device).board, number(profile))
    _fill_profile(view(info, session.nvml.c_nvmlGpuInstanceProfileInfo_t), found)


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceProfileInfoV")
def get_profile_info_versioned(
    session: Session, device: Argument, profile: Argument, info: Argument
) -> None:
    """Answer a profile by its enum, with its name."""
    found = _profile_of_enum(session.gpu(device).board, number(profile))
    _fill_named_profile(session, info, found)


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceProfileInfoByIdV")
def get_profile_info_by_id(
    session: Session, device: Argument, profile_id: Argument, info: Argument
) -> None:
    """Answer a profile by its id, with its name."""
    _fill_named_profile(session, info, _profile_of_id(session.gpu(device), profile_id))


@FUNCTIONS.answers("nvmlDeviceGetGpuInstancePossiblePlacements_v2")
def get_possible_placements(
    session: Session,
    device: Argument,
    profile_id: Argument,
    placements: Argument,
    count: Argument,
) -> None:
    """Answer all placements of a profile, whatever is occupied; only their number for NULL."""
    target = session.gpu(device)
    session.require_privilege()
    profile = _profile_of_id(target, profile_id)
    kind = session.nvml.c_nvmlGpuInstancePlacement_t
    write_placements(placements, count, kind, profile.placements)


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceRemainingCapacity")
def get_remaining_capacity(
    session: Session, device: Argument, profile_id: Argument, count: Argument
) -> None:
    """Answer how many more of a profile fit; with MIG off as on an empty GPU."""
    target = session.gpu(device)
    session.require_privilege()
    profile = _profile_of_id(target, profile_id)
    write_number(count, target.board.geometry.free(target.gpu.occupied, profile))


@FUNCTIONS.answers("nvmlDeviceCreateGpuInstance")
def create_gpu_instance(
    session: Session, device: Argument, profile_id: Argument, instance: Argument
) -> None:
    """Create a GPU instance where the driver likes."""
    _create(session, device, profile_id, None, instance)


@FUNCTIONS.answers("nvmlDeviceCreateGpuInstanceWithPlacement")
def create_gpu_instance_with_placement(
    session: Session,
    device: Argument,
    profile_id: Argument,
    placement: Argument,
    instance: Argument,
) -> None:
    """Create a GPU instance at a placement."""
    asked = view(placement, session.nvml.c_nvmlGpuInstancePlacement_t)
    _create(session, device, profile_id, Placement(asked.start, asked.size), instance)


@FUNCTIONS.answers("nvmlGpuInstanceDestroy")
def destroy_gpu_instance(session: Session, instance: Argument) -> None:
    """Destroy a GPU instance that has no compute instances."""
    session.gpu_instance(instance)
    session.require_privilege()

    def step(state: MachineState) -> tuple[MachineState, None]:
        target = session.gpu_instance(instance, state)
        return state.with_gpu(remove_gpu_instance(target.gpu, target.gi)), None

    session.store.change(step)


@FUNCTIONS.answers("nvmlDeviceGetGpuInstances")
def get_gpu_instances(
    session: Session,
    device: Argument,
    profile_id: Argument,
    instances: Argument,
    count: Argument,
) -> None:
    """Answer the GPU instances of one profile."""
    target = mig_enabled(session.gpu(device))
    session.require_privilege()
    profile = _profile_of_id(target, profile_id)
    gpu = target.gpu
    found = [
        session.gpu_instance_handle(gpu, gi) for gi in gpu.instances if gi.profile_id == profile.id
    ]
    write_handles(instances, count, found)


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceById")
def get_gpu_instance_by_id(
    session: Session, device: Argument, wanted: Argument, instance: Argument
) -> None:
    """Answer the GPU instance of an id."""
    gpu = mig_enabled(session.gpu(device)).gpu
    session.require_privilege()
    for gi in gpu.instances:
        if gi.id == number(wanted):
            return write_handle(instance, session.gpu_instance_handle(gpu, gi))
    raise Refusal(Code.NOT_FOUND)


@FUNCTIONS.answers("nvmlGpuInstanceGetInfo")
def get_gpu_instance_info(session: Session, instance: Argument, info: Argument) -> None:
    """Answer where a GPU instance lies and what it is."""
    target = session.gpu_instance(instance)
    session.require_privilege()
    seen = view(info, session.nvml.c_nvmlGpuInstanceInfo_t)
    seen.device = session.as_pointer(session.gpu_handle(target.gpu), "c_nvmlDevice_t")
    seen.id, seen.profileId = target.gi.id, target.gi.profile_id
    seen.placement.start = target.gi.placement.start
    seen.placement.size = target.gi.placement.size


def write_placements(
    placements: Argument, count: Argument, kind: type[Any], found: Iterable[Placement]
) -> None:
    """Write placements into a caller's array, or only how many there are for NULL."""
    listed = tuple(found)
    if address(placements):
        for seen, placement in zip(view_array(placements, kind, len(listed)), listed, strict=True):
            seen.start, seen.size = placement.start, placement.size
    write_number(count, len(listed))


def write_handles(instances: Argument, count: Argument, handles: list[int]) -> None:
    """Write handles into a caller's array, and how many there are."""
    if handles:
        view_array(instances, ctypes.c_void_p, len(handles))[:] = handles
    write_number(count, len(handles))


def _create(
    session: Session,
    device: Argument,
    profile_id: Argument,
    placement: Placement | None,
    instance: Argument,
) -> None:
    session.gpu(device)
    session.require_privilege()

    def step(state: MachineState) -> tuple[MachineState, int]:
        target = mig_enabled(session.gpu(device, state))
        profile = _profile_of_id(target, profile_id)
        if not target.gpu.instances and is_held(session, target.gpu):
            raise Refusal(Code.IN_USE)
        gpu, made = add_gpu_instance(target.gpu, profile, placement, state.next_serial)
        return state.with_gpu(gpu, serials=1), session.gpu_instance_handle(gpu, made)

    write_handle(instance, session.store.change(step))


def _profile_of_enum(board: Board, enum: int) -> Profile:
    if enum >= PROFILE_ENUMS:
        raise Refusal(Code.INVALID_ARGUMENT)
    for profile in board.geometry.profiles:
        if profile.nvml_enum == enum:
            return profile
    raise Refusal(Code.NOT_SUPPORTED)


def _profile_of_id(target: Target, profile_id: Argument) -> Profile:
    profile = mig_capable(target).board.geometry.with_id(number(profile_id))
    if profile is None:
        raise Refusal(Code.INVALID_ARGUMENT)
    return profile


def _fill_named_profile(session: Session, info: Argument, profile: Profile) -> None:
    seen = view(info, session.nvml.c_nvmlGpuInstanceProfileInfo_v2_t)
    if seen.version != session.nvml.nvmlGpuInstanceProfileInfo_v2:
        raise Refusal(Code.ARGUMENT_VERSION_MISMATCH)
    _fill_profile(seen, profile)
    seen.version = 0  # a real H200 under driver 580.159.04 clears it, too
    seen.name = f"MIG {profile.name}".encode()


def _fill_profile(seen: Any, profile: Profile) -> None:
    seen.id = profile.id
    seen.isP2pSupported = 0
    seen.sliceCount = profile.compute_slices
    seen.instanceCount = profile.max_instances
    seen.multiprocessorCount = profile.sm_count
    seen.copyEngineCount = profile.copy_engines
    seen.decoderCount = profile.decoders
    seen.encoderCount = profile.encoders
    seen.jpegCount = profile.jpeg_engines
    seen.ofaCount = profile.ofa_engines
    seen.memorySizeMB = profile.memory_mib
