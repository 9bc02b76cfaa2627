"""C functions about compute instances inside a GPU instance."""

from __future__ import annotations

from typing import Any

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.simulator.arguments import Argument, number, view, write_handle, write_number
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry, compute_profile_name
from gpuslice.simulator.layout import add_compute_instance, occupied_in, remove_compute_instance
from gpuslice.simulator.library_gpu_instances import write_handles, write_placements
from gpuslice.simulator.session import Session, Target
from gpuslice.simulator.state import MachineState
from gpuslice.simulator.table import FunctionTable
from gpuslice.simulator.usage import users_of_device

FUNCTIONS = FunctionTable()

PROFILE_ENUMS = 9
"""``NVML_COMPUTE_INSTANCE_PROFILE_COUNT`` of the simulated driver."""


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstanceProfileInfo")
def get_profile_info(
    session: Session, instance: Argument, profile: Argument, engine: Argument, info: Argument
) -> None:
    """Answer a compute instance profile, in the first form, which has no name."""
    target = session.gpu_instance(instance)
    found = _profile(target, profile, engine)
    _fill_profile(view(info, session.nvml.c_nvmlComputeInstanceProfileInfo_t), found)


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstanceProfileInfoV")
def get_profile_info_versioned(
    session: Session, instance: Argument, profile: Argument, engine: Argument, info: Argument
) -> None:
    """Answer a compute instance profile with its name."""
    target = session.gpu_instance(instance)
    found = _profile(target, profile, engine)
    seen = view(info, session.nvml.c_nvmlComputeInstanceProfileInfo_v2_t)
    if seen.version != session.nvml.nvmlComputeInstanceProfileInfo_v2:
        raise Refusal(Code.ARGUMENT_VERSION_MISMATCH)
    _fill_profile(seen, found)
    seen.name = f"MIG {compute_profile_name(target.profile, found)}".encode()


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstanceRemainingCapacity")
def get_remaining_capacity(
    session: Session, instance: Argument, profile_id: Argument, count: Argument
) -> None:
    """Answer how many more compute instances of a profile fit."""
    target = session.gpu_instance(instance)
    session.require_privilege()
    profile = _profile(target, profile_id)
    geometry = _geometry(target)
    write_number(count, geometry.free(occupied_in(geometry, target.gi), profile))


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstancePossiblePlacements")
def get_possible_placements(
    session: Session,
    instance: Argument,
    profile_id: Argument,
    placements: Argument,
    count: Argument,
) -> None:
    """Answer all placements of a profile, whatever is occupied; only their number for NULL."""
    target = session.gpu_instance(instance)
    session.require_privilege()
    kind = session.nvml.c_nvmlComputeInstancePlacement_t
    write_placements(placements, count, kind, _profile(target, profile_id).placements)


@FUNCTIONS.answers("nvmlGpuInstanceCreateComputeInstance")
def create_compute_instance(
    session: Session, instance: Argument, profile_id: Argument, made: Argument
) -> None:
    """Create a compute instance where it leaves most room."""
    _create(session, instance, profile_id, None, made)


@FUNCTIONS.answers("nvmlGpuInstanceCreateComputeInstanceWithPlacement")
def create_compute_instance_with_placement(
    session: Session,
    instance: Argument,
    profile_id: Argument,
    placement: Argument,
    made: Argument,
) -> None:
    """Create a compute instance at a placement."""
    asked = view(placement, session.nvml.c_nvmlComputeInstancePlacement_t)
    _create(session, instance, profile_id, Placement(asked.start, asked.size), made)


@FUNCTIONS.answers("nvmlComputeInstanceDestroy")
def destroy_compute_instance(session: Session, compute: Argument) -> None:
    """Destroy a compute instance that no process holds."""
    session.compute_instance(compute)
    session.require_privilege()

    def step(state: MachineState) -> tuple[MachineState, None]:
        target = session.compute_instance(compute, state)
        if users_of_device(target.gpu, target.gi, target.ci, session.processes()):
            raise Refusal(Code.IN_USE)
        return state.with_gpu(remove_compute_instance(target.gpu, target.gi, target.ci)), None

    session.store.change(step)


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstances")
def get_compute_instances(
    session: Session,
    instance: Argument,
    profile_id: Argument,
    compute_instances: Argument,
    count: Argument,
) -> None:
    """Answer the compute instances of one profile."""
    target = session.gpu_instance(instance)
    session.require_privilege()
    profile = _profile(target, profile_id)
    found = [
        session.compute_instance_handle(target.gpu, ci)
        for ci in target.gi.compute_instances
        if ci.profile_id == profile.id
    ]
    write_handles(compute_instances, count, found)


@FUNCTIONS.answers("nvmlGpuInstanceGetComputeInstanceById")
def get_compute_instance_by_id(
    session: Session, instance: Argument, wanted: Argument, compute: Argument
) -> None:
    """Answer the compute instance of an id."""
    target = session.gpu_instance(instance)
    session.require_privilege()
    for ci in target.gi.compute_instances:
        if ci.id == number(wanted):
            return write_handle(compute, session.compute_instance_handle(target.gpu, ci))
    raise Refusal(Code.NOT_FOUND)


@FUNCTIONS.answers("nvmlComputeInstanceGetInfo_v2")
def get_compute_instance_info(session: Session, compute: Argument, info: Argument) -> None:
    """Answer what a compute instance is.

    nvml.h calls ``device`` the parent; real drivers give the MIG device, and go-nvlib and the DRA
    driver rely on it.
    """
    target = session.compute_instance(compute)
    session.require_privilege()
    seen = view(info, session.nvml.c_nvmlComputeInstanceInfo_t)
    device = session.mig_device_handle(target.gpu, target.ci)
    seen.device = session.as_pointer(device, "c_nvmlDevice_t")
    parent = session.gpu_instance_handle(target.gpu, target.gi)
    seen.gpuInstance = session.as_pointer(parent, "c_nvmlGpuInstance_t")
    seen.id, seen.profileId = target.ci.id, target.ci.profile_id
    seen.placement.start = target.ci.placement.start
    seen.placement.size = target.ci.placement.size


def _create(
    session: Session,
    instance: Argument,
    profile_id: Argument,
    placement: Placement | None,
    made: Argument,
) -> None:
    session.gpu_instance(instance)
    session.require_privilege()

    def step(state: MachineState) -> tuple[MachineState, int]:
        target = session.gpu_instance(instance, state)
        profile = _profile(target, profile_id)
        gpu, ci = add_compute_instance(target.gpu, target.gi, profile, placement, state.next_serial)
        return state.with_gpu(gpu, serials=1), session.compute_instance_handle(gpu, ci)

    write_handle(made, session.store.change(step))


def _geometry(target: Target) -> Geometry:
    return compute_geometry(target.board.key, target.gi.profile_id)


def _profile(target: Target, profile_id: Argument, engine: Argument = 0) -> Profile:
    """Return the profile of an id, which on compute instances is also its enum."""
    if number(engine) != 0 or number(profile_id) >= PROFILE_ENUMS:
        raise Refusal(Code.INVALID_ARGUMENT)
    profile = _geometry(target).with_id(number(profile_id))
    if profile is None:
        raise Refusal(Code.NOT_SUPPORTED)
    return profile


def _fill_profile(seen: Any, profile: Profile) -> None:
    seen.id = profile.id
    seen.sliceCount = profile.compute_slices
    seen.instanceCount = profile.max_instances
    seen.multiprocessorCount = profile.sm_count
    seen.sharedCopyEngineCount = profile.copy_engines
    seen.sharedDecoderCount = profile.decoders
    seen.sharedEncoderCount = profile.encoders
    seen.sharedJpegCount = profile.jpeg_engines
    seen.sharedOfaCount = profile.ofa_engines
