"""C functions about MIG devices: what a pair of GPU instance and compute instance looks like."""

from __future__ import annotations

from gpuslice.simulator.arguments import Argument, number, view, write_handle, write_number
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry
from gpuslice.simulator.library_devices import mig_devices_of
from gpuslice.simulator.session import Session
from gpuslice.simulator.table import FunctionTable

FUNCTIONS = FunctionTable()


@FUNCTIONS.answers("nvmlDeviceIsMigDeviceHandle")
def is_mig_device_handle(session: Session, device: Argument, answer: Argument) -> None:
    """Answer whether a handle is a MIG device's."""
    write_number(answer, int(session.device(device).compute_instance is not None))


@FUNCTIONS.answers("nvmlDeviceGetGpuInstanceId")
def get_gpu_instance_id(session: Session, device: Argument, answer: Argument) -> None:
    """Answer the GI id of a MIG device."""
    write_number(answer, session.mig_device(device).gi.id)


@FUNCTIONS.answers("nvmlDeviceGetComputeInstanceId")
def get_compute_instance_id(session: Session, device: Argument, answer: Argument) -> None:
    """Answer the CI id of a MIG device."""
    write_number(answer, session.mig_device(device).ci.id)


@FUNCTIONS.answers("nvmlDeviceGetMaxMigDeviceCount")
def get_max_mig_device_count(session: Session, device: Argument, count: Argument) -> None:
    """Answer how many MIG devices there can be; none where MIG is off or missing."""
    target = session.gpu(device)
    most = target.board.geometry.compute_slices if target.gpu.mig_current else 0
    write_number(count, most)


@FUNCTIONS.answers("nvmlDeviceGetMigDeviceHandleByIndex")
def get_mig_device_handle(
    session: Session, device: Argument, index: Argument, answer: Argument
) -> None:
    """Answer the handle of a MIG device; indexes change whenever instances do."""
    gpu = session.gpu(device).gpu
    found = mig_devices_of(gpu)
    wanted = number(index)
    if wanted >= len(found):
        raise Refusal(Code.NOT_FOUND)
    write_handle(answer, session.mig_device_handle(gpu, found[wanted].ci))


@FUNCTIONS.answers("nvmlDeviceGetDeviceHandleFromMigDeviceHandle")
def get_parent_handle(session: Session, device: Argument, answer: Argument) -> None:
    """Answer the GPU a MIG device lies on."""
    write_handle(answer, session.gpu_handle(session.mig_device(device).gpu))


@FUNCTIONS.answers("nvmlDeviceGetAttributes_v2")
def get_attributes(session: Session, device: Argument, attributes: Argument) -> None:
    """Answer the shape of a MIG device; a whole GPU has none."""
    target = session.device(device)
    if target.compute_instance is None:
        raise Refusal(Code.NOT_SUPPORTED)
    profile = target.profile
    compute = compute_geometry(target.board.key, profile.id).with_id(target.ci.profile_id)
    assert compute is not None
    seen = view(attributes, session.nvml.c_nvmlDeviceAttributes)
    seen.multiprocessorCount = compute.sm_count
    seen.sharedCopyEngineCount = profile.copy_engines
    seen.sharedDecoderCount = profile.decoders
    seen.sharedEncoderCount = profile.encoders
    seen.sharedJpegCount = profile.jpeg_engines
    seen.sharedOfaCount = profile.ofa_engines
    seen.gpuInstanceSliceCount = profile.compute_slices
    seen.computeInstanceSliceCount = compute.compute_slices
    seen.memorySizeMB = target.gpu.memory_mib_of(target.gi)
