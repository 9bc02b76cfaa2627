"""Reading GPUs: what they are, their MIG mode, and the slices on them."""

from __future__ import annotations

from typing import Any

from gpuslice.driver.calls import Device, NvmlCalls
from gpuslice.driver.geometry import read_geometry
from gpuslice.driver.instances import MIB, read_slices
from gpuslice.driver.mode import read_mode, require_mode
from gpuslice.driver.persistence import read_persistence
from gpuslice.driver.translation import NvmlCode
from gpuslice.driver.unseen import hidden_slices, unseen_of
from gpuslice.errors import NoGpuError, PermissionDeniedError
from gpuslice.hardware.boards import Board, board_for
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Architecture, Gpu, MigMode, Slice, Unseen

_ARCHITECTURES = {
    7: Architecture.AMPERE,
    9: Architecture.HOPPER,
    10: Architecture.BLACKWELL,
}  # NVML_DEVICE_ARCH_*; 8 (Ada) and those before Ampere have no MIG

# By major compute capability, for drivers that do not know the architecture by name. Ada is 8.9.
_CAPABILITIES = {
    8: Architecture.AMPERE,
    9: Architecture.HOPPER,
    10: Architecture.BLACKWELL,
    12: Architecture.BLACKWELL,
}
_ADA = (8, 9)
_UNANSWERED = (NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND, NvmlCode.NO_PERMISSION)


def count_gpus(nvml: NvmlCalls) -> int:
    """Count the GPUs the driver shows, those that have fallen off the bus included.

    Raises:
        NoGpuError: The driver has none.
    """
    count = nvml.call("nvmlDeviceGetCount", to="count the GPUs")
    if count == 0:
        raise NoGpuError(
            "The NVIDIA driver is there, but it shows no GPU.",
            hint="Check `nvidia-smi -L`, and in a container which GPUs it was given; "
            "without a GPU, try --simulate a100-80gb.",
        )
    return int(count)


def find_device(nvml: NvmlCalls, index: int) -> Device:
    """Look a GPU up by its index.

    Raises:
        GpuLostError: It has fallen off the bus.
    """
    to = f"find GPU {index}"
    handle = nvml.call("nvmlDeviceGetHandleByIndex", index, to=to)
    return Device(handle=handle, uuid=nvml.call("nvmlDeviceGetUUID", handle, to=to), index=index)


class GpuReader:
    """Reads whole GPUs, each one's geometry once per mode. Owned by `NvmlDriver`.

    Args:
        nvml: The calls.
    """

    def __init__(self, nvml: NvmlCalls) -> None:
        self._nvml = nvml
        self._geometries: dict[tuple[str, bool], Geometry] = {}

    def read(self, device: Device, *, survey: bool = False) -> Gpu:
        """Read one GPU.

        Args:
            device: The GPU.
            survey: True where what needs more privilege may be left out and told in ``unseen``.

        Raises:
            PermissionDeniedError: MIG is on, listing its instances needs privilege, and this is no
                survey.
        """
        mig = read_mode(self._nvml, device)
        name, board = self._identify(device)
        memory_mib = self._memory_mib(device, board)
        geometry = self._geometry(device, mig, board, memory_mib) if mig else None
        pci = self._pci(device)
        slices, hidden = self._slices(device, mig, geometry, survey=survey)
        return Gpu(
            index=device.index,
            uuid=device.uuid,
            name=name,
            architecture=self._architecture(device),
            memory_mib=memory_mib,
            pci_bus_id=pci.busId,
            mig=mig,
            geometry=geometry,
            slices=slices,
            unseen=(*hidden, *unseen_of(memory_mib, geometry)) if survey else (),
            persistence_mode=read_persistence(self._nvml, device),
            pci_device_id=int(pci.pciDeviceId),
            pci_subsystem_id=int(pci.pciSubSystemId),
        )

    def _slices(
        self, device: Device, mig: MigMode | None, geometry: Geometry | None, *, survey: bool
    ) -> tuple[tuple[Slice, ...], tuple[Unseen, ...]]:
        if geometry is None or mig is None or not mig.current:
            return (), ()
        try:
            return read_slices(self._nvml, device, geometry), ()
        except PermissionDeniedError:
            if not survey:
                raise
            return (), (hidden_slices(self._nvml, device),)

    def geometry(self, device: Device) -> Geometry:
        """Read one GPU's geometry.

        Raises:
            MigUnsupportedError: It has none.
        """
        mig = require_mode(self._nvml, device)
        _, board = self._identify(device)
        return self._geometry(device, mig, board, self._memory_mib(device, board))

    def _geometry(
        self, device: Device, mig: MigMode, board: Board | None, memory_mib: int
    ) -> Geometry:
        key = (device.uuid, mig.current)
        if key not in self._geometries:
            self._geometries[key] = read_geometry(
                self._nvml, device, board_mib=memory_mib, known=board.geometry if board else None
            )
        return self._geometries[key]

    def _identify(self, device: Device) -> tuple[str, Board | None]:
        name = self._nvml.call(
            "nvmlDeviceGetName", device.handle, to=f"read the name of {device.label}"
        )
        return name, board_for(name, self._pci(device).pciDeviceId)

    def _pci(self, device: Device) -> Any:
        to = f"read the PCI address of {device.label}"
        return self._nvml.call("nvmlDeviceGetPciInfo", device.handle, to=to)

    def _memory_mib(self, device: Device, board: Board | None) -> int:
        """Read the board's memory, MiB.

        With MIG on, ordinary users are refused; then the board table has it, or nobody (0).
        """
        answer = self._nvml.attempt(
            "nvmlDeviceGetMemoryInfo", device.handle, to=f"read the memory of {device.label}",
            expect=(NvmlCode.NO_PERMISSION,),
        )  # fmt: skip
        if answer.ok:
            return int(answer.value.total) // MIB
        return board.memory_mib if board else 0

    def _architecture(self, device: Device) -> Architecture:
        answer = self._nvml.attempt(
            "nvmlDeviceGetArchitecture", device.handle,
            to=f"read the architecture of {device.label}", expect=_UNANSWERED,
        )  # fmt: skip
        if answer.ok and answer.value in _ARCHITECTURES:
            return _ARCHITECTURES[answer.value]
        return self._by_capability(device)

    def _by_capability(self, device: Device) -> Architecture:
        answer = self._nvml.attempt(
            "nvmlDeviceGetCudaComputeCapability", device.handle,
            to=f"read the compute capability of {device.label}", expect=_UNANSWERED,
        )  # fmt: skip
        if not answer.ok or tuple(answer.value) == _ADA:
            return Architecture.OTHER
        return _CAPABILITIES.get(answer.value[0], Architecture.OTHER)
