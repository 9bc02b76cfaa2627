"""C functions about a device as such: handles, names, PCI, what it can do.

Most take the handle of a GPU or of a MIG device; NVML says for each which.
"""

from __future__ import annotations

from dataclasses import replace

from gpuslice.simulator.arguments import (
    Argument,
    number,
    text,
    view,
    view_array,
    write_handle,
    write_number,
    write_text,
)
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry, device_profile_name
from gpuslice.simulator.layout import device_uuid
from gpuslice.simulator.session import Session, Target, require_present
from gpuslice.simulator.state import MachineState, SimulatedGpu
from gpuslice.simulator.table import FunctionTable

FUNCTIONS = FunctionTable()

_NVIDIA = 0x10DE
_ARCHITECTURES = {(7, 5): 6, (8, 0): 7, (8, 9): 8, (9, 0): 9}
_BLACKWELL = 10
_UNSIGNED_INT = 1
_FIELD_RESETLESS_MIG = 184
_FIELD_MIG_QUERIES_ANYTIME = 199


@FUNCTIONS.answers("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount")
def get_count(session: Session, count: Argument) -> None:
    """Answer how many GPUs there are; MIG devices do not count."""
    write_number(count, len(session.state.gpus))


@FUNCTIONS.answers("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex")
def get_handle_by_index(session: Session, index: Argument, device: Argument) -> None:
    """Answer the handle of a GPU."""
    gpus = session.state.gpus
    wanted = number(index)
    if wanted >= len(gpus):
        raise Refusal(Code.INVALID_ARGUMENT)
    require_present(gpus[wanted])
    write_handle(device, session.gpu_handle(gpus[wanted]))


@FUNCTIONS.answers("nvmlDeviceGetHandleByUUID")
def get_handle_by_uuid(session: Session, uuid: Argument, device: Argument) -> None:
    """Answer the handle of a GPU or MIG device, also for ``MIG-GPU-…/GI/CI``."""
    write_handle(device, _handle_of_uuid(session, text(uuid)))


@FUNCTIONS.answers("nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetHandleByPciBusId")
def get_handle_by_pci_bus_id(session: Session, bus_id: Argument, device: Argument) -> None:
    """Answer the handle of the GPU at a PCI address, however long its domain is written."""
    domain, _, rest = text(bus_id).partition(":")
    for gpu in session.state.gpus:
        if rest.lower() == f"{gpu.pci_bus:02x}:00.0" and domain.strip("0") == "":
            require_present(gpu)
            return write_handle(device, session.gpu_handle(gpu))
    raise Refusal(Code.NOT_FOUND)


@FUNCTIONS.answers("nvmlDeviceGetIndex")
def get_index(session: Session, device: Argument, index: Argument) -> None:
    """Answer the index of a GPU, or that of a MIG device on its GPU."""
    target = session.device(device)
    if target.compute_instance is None:
        write_number(index, session.state.gpus.index(target.gpu))
    else:
        serials = [entry.ci.serial for entry in mig_devices_of(target.gpu)]
        write_number(index, serials.index(target.ci.serial))


@FUNCTIONS.answers("nvmlDeviceGetName")
def get_name(session: Session, device: Argument, name: Argument, length: Argument) -> None:
    """Answer the product's name, for a MIG device with its profile behind it."""
    write_text(name, length, device_name(session.device(device)))


@FUNCTIONS.answers("nvmlDeviceGetUUID")
def get_uuid(session: Session, device: Argument, uuid: Argument, length: Argument) -> None:
    """Answer the UUID of a GPU or MIG device."""
    write_text(uuid, length, session.device(device).uuid)


@FUNCTIONS.answers("nvmlDeviceGetMinorNumber")
def get_minor_number(session: Session, device: Argument, minor: Argument) -> None:
    """Answer the number of the device file, which is the index here."""
    target = session.gpu(device)
    write_number(minor, session.state.gpus.index(target.gpu))


@FUNCTIONS.answers("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2")
def get_pci_info(session: Session, device: Argument, info: Argument) -> None:
    """Answer the PCI address and ids of a GPU."""
    gpu = session.gpu(device).gpu
    seen = view(info, session.nvml.nvmlPciInfo_t)
    seen.busIdLegacy = f"0000:{gpu.pci_bus:02X}:00.0".encode()
    seen.domain, seen.bus, seen.device = 0, gpu.pci_bus, 0
    seen.pciDeviceId = gpu.board.pci_device_ids[0] << 16 | _NVIDIA
    seen.pciSubSystemId = _NVIDIA
    seen.busId = pci_bus_id(gpu).encode()


@FUNCTIONS.answers("nvmlDeviceGetCudaComputeCapability")
def get_compute_capability(
    session: Session, device: Argument, major: Argument, minor: Argument
) -> None:
    """Answer the CUDA compute capability."""
    capability = session.device(device).board.compute_capability
    write_number(major, capability[0])
    write_number(minor, capability[1])


@FUNCTIONS.answers("nvmlDeviceGetArchitecture")
def get_architecture(session: Session, device: Argument, architecture: Argument) -> None:
    """Answer the generation of the chip."""
    capability = session.device(device).board.compute_capability
    write_number(architecture, _ARCHITECTURES.get(capability, _BLACKWELL))


@FUNCTIONS.answers("nvmlDeviceGetPersistenceMode")
def get_persistence_mode(session: Session, device: Argument, mode: Argument) -> None:
    """Answer persistence mode of a GPU."""
    write_number(mode, int(session.gpu(device).gpu.persistence))


@FUNCTIONS.answers("nvmlDeviceSetPersistenceMode")
def set_persistence_mode(session: Session, device: Argument, mode: Argument) -> None:
    """Switch persistence mode of a GPU."""
    wanted = number(mode)
    session.require_privilege()
    if wanted not in (0, 1):
        raise Refusal(Code.INVALID_ARGUMENT)

    def step(state: MachineState) -> tuple[MachineState, None]:
        gpu = session.gpu(device, state).gpu
        return state.with_gpu(replace(gpu, persistence=bool(wanted))), None

    session.store.change(step)


@FUNCTIONS.answers("nvmlDeviceGetComputeMode")
def get_compute_mode(session: Session, device: Argument, mode: Argument) -> None:
    """Answer compute mode: always the default."""
    session.device(device)
    write_number(mode, 0)


@FUNCTIONS.answers("nvmlDeviceGetFieldValues")
def get_field_values(session: Session, device: Argument, count: Argument, values: Argument) -> None:
    """Answer field values; those a simulated card lacks are marked as not supported each."""
    target = session.device(device)
    known = {
        _FIELD_RESETLESS_MIG: int(target.board.resetless_mig),
        _FIELD_MIG_QUERIES_ANYTIME: int(target.board.has_mig),
    }
    for value in view_array(values, session.nvml.c_nvmlFieldValue_t, number(count)):
        answer = known.get(value.fieldId)
        if answer is None:
            value.nvmlReturn = int(Code.NOT_SUPPORTED)
        else:
            value.nvmlReturn = int(Code.SUCCESS)
            value.valueType = _UNSIGNED_INT
            value.value.uiVal = answer


def mig_devices_of(gpu: SimulatedGpu) -> list[Target]:
    """Return the MIG devices of a GPU in the order of their indexes: by GI id, then CI id."""
    return [
        Target(gpu=gpu, gpu_instance=gi, compute_instance=ci)
        for gi in gpu.instances
        for ci in gi.compute_instances
    ]


def device_name(target: Target) -> str:
    """Return the name of a GPU or MIG device: ``NVIDIA A100-SXM4-80GB MIG 2g.20gb``."""
    name = target.board.names[0]
    if target.compute_instance is None:
        return name
    compute = compute_geometry(target.board.key, target.profile.id).with_id(target.ci.profile_id)
    assert compute is not None
    return f"{name} MIG {device_profile_name(target.profile, compute)}"


def pci_bus_id(gpu: SimulatedGpu) -> str:
    """Return a GPU's PCI address as NVML writes it."""
    return f"00000000:{gpu.pci_bus:02X}:00.0"


def _handle_of_uuid(session: Session, wanted: str) -> int:
    for gpu in session.state.gpus:
        if wanted == gpu.uuid:
            require_present(gpu)
            return session.gpu_handle(gpu)
        for entry in mig_devices_of(gpu):
            older = f"MIG-{gpu.uuid}/{entry.gi.id}/{entry.ci.id}"
            if wanted in (older, device_uuid(gpu, entry.gi, entry.ci)):
                require_present(gpu)
                return session.mig_device_handle(gpu, entry.ci)
    raise Refusal(Code.NOT_FOUND)
