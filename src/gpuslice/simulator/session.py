"""One process's connection to the simulated machine: what all C functions share.

Finds what handles stand for, gives new ones, and is the single point through which every call
goes (`Session.call`). A function answers by returning, or refuses by raising `Refusal`; here that
becomes NVML's return code. Faults on demand strike there, at the session's `FaultPoint`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from gpuslice.hardware import Board
from gpuslice.model.geometry import Profile
from gpuslice.simulator.arguments import Argument, address
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.fault_point import FaultPoint
from gpuslice.simulator.handles import HandleTable, Kind, Meaning
from gpuslice.simulator.layout import device_uuid
from gpuslice.simulator.processes import BoundProcess, bound_processes
from gpuslice.simulator.state import ComputeInstance, GpuInstance, MachineState, SimulatedGpu
from gpuslice.simulator.store import Store
from gpuslice.simulator.usage import UsageSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a handle stands for in the machine as it is now.

    Attributes:
        gpu: The GPU, or the GPU it lies on.
        gpu_instance: The GPU instance, unless it is a whole GPU.
        compute_instance: The compute instance, where it is one or a MIG device.
    """

    gpu: SimulatedGpu
    gpu_instance: GpuInstance | None = None
    compute_instance: ComputeInstance | None = None

    @property
    def board(self) -> Board:
        """The board of the GPU."""
        return self.gpu.board

    @property
    def gi(self) -> GpuInstance:
        """The GPU instance of a target that has one."""
        assert self.gpu_instance is not None
        return self.gpu_instance

    @property
    def ci(self) -> ComputeInstance:
        """The compute instance of a target that has one."""
        assert self.compute_instance is not None
        return self.compute_instance

    @property
    def profile(self) -> Profile:
        """The profile of its GPU instance."""
        profile = self.board.geometry.with_id(self.gi.profile_id)
        assert profile is not None
        return profile

    @property
    def uuid(self) -> str:
        """UUID of the GPU, or of the MIG device."""
        if self.compute_instance is None:
            return self.gpu.uuid
        return device_uuid(self.gpu, self.gi, self.compute_instance)


@dataclass(kw_only=True)
class Session:
    """One process's connection; owned by the `Library` that made it.

    Attributes:
        store: The machine.
        nvml: The binding above, for its structures.
        faults: What may go wrong with a call.
        clock: Seconds that never go back.
        processes: Lists the processes that name a device.
    """

    store: Store
    nvml: ModuleType
    faults: FaultPoint
    clock: Callable[[], float] = time.monotonic
    processes: Callable[[], tuple[BoundProcess, ...]] = bound_processes
    handles: HandleTable = field(default_factory=HandleTable)
    users: int = 0
    gpm_samples: dict[int, UsageSample | None] = field(default_factory=dict)
    last_usage: dict[str, UsageSample] = field(default_factory=dict)

    def call(self, name: str, function: Callable[..., Any], arguments: tuple[Argument, ...]) -> Any:
        """Carry out one C function and return what NVML would."""
        try:
            if self.faults.is_quiet():
                answer = function(self, *arguments)
            else:
                answer = self.faults.pass_through(
                    name, lambda: self._gpu_of(arguments), lambda: function(self, *arguments)
                )
        except Refusal as refusal:
            return int(refusal.code)
        return int(Code.SUCCESS) if answer is None else answer

    @property
    def state(self) -> MachineState:
        """The machine as it is now.

        Raises:
            Refusal: UNINITIALIZED before ``nvmlInit`` and after ``nvmlShutdown``.
        """
        self.require_initialised()
        return self.store.read()

    def require_initialised(self) -> None:
        """Refuse with UNINITIALIZED before ``nvmlInit`` and after ``nvmlShutdown``."""
        if not self.users:
            raise Refusal(Code.UNINITIALIZED)

    def require_privilege(self) -> None:
        """Refuse with NO_PERMISSION where the caller is not to change or list instances."""
        if not self.state.privileged:
            raise Refusal(Code.NO_PERMISSION)

    def gpu(self, handle: Argument, state: MachineState | None = None) -> Target:
        """Return the whole GPU of a handle.

        Args:
            handle: What pynvml passes.
            state: The machine to look in, where it is not the one now.

        Raises:
            Refusal: INVALID_ARGUMENT for a stale handle, and for one of something else.
        """
        return self._find(handle, state, Kind.GPU)

    def device(self, handle: Argument) -> Target:
        """Return the GPU or MIG device of a handle; raises as `gpu`."""
        return self._find(handle, None, Kind.GPU, Kind.MIG_DEVICE)

    def mig_device(self, handle: Argument) -> Target:
        """Return the MIG device of a handle; raises as `gpu`."""
        return self._find(handle, None, Kind.MIG_DEVICE)

    def gpu_instance(self, handle: Argument, state: MachineState | None = None) -> Target:
        """Return the GPU instance of a handle; takes and raises as `gpu`."""
        return self._find(handle, state, Kind.GPU_INSTANCE)

    def compute_instance(self, handle: Argument, state: MachineState | None = None) -> Target:
        """Return the compute instance of a handle; takes and raises as `gpu`."""
        return self._find(handle, state, Kind.COMPUTE_INSTANCE)

    def gpu_handle(self, gpu: SimulatedGpu) -> int:
        """Return the handle of a GPU."""
        return self._give(Kind.GPU, gpu)

    def gpu_instance_handle(self, gpu: SimulatedGpu, gi: GpuInstance) -> int:
        """Return the handle of a GPU instance."""
        return self._give(Kind.GPU_INSTANCE, gpu, gi.serial)

    def compute_instance_handle(self, gpu: SimulatedGpu, ci: ComputeInstance) -> int:
        """Return the handle of a compute instance."""
        return self._give(Kind.COMPUTE_INSTANCE, gpu, ci.serial)

    def mig_device_handle(self, gpu: SimulatedGpu, ci: ComputeInstance) -> int:
        """Return the device handle of a compute instance."""
        return self._give(Kind.MIG_DEVICE, gpu, ci.serial)

    def as_pointer(self, handle: int, kind: str) -> Any:
        """Turn a handle into a pointer of the binding, for a field of a structure."""
        return ctypes.cast(handle, getattr(self.nvml, kind))

    def _gpu_of(self, arguments: tuple[Argument, ...]) -> int | None:
        """Return the index of the GPU a call is about: that of its first argument, a handle."""
        try:
            meaning = self.handles.meaning(address(arguments[0])) if arguments else None
        except Refusal:
            return None
        uuids = [gpu.uuid for gpu in self.store.read().gpus] if meaning else []
        return uuids.index(meaning.gpu_uuid) if meaning and meaning.gpu_uuid in uuids else None

    def _give(self, kind: Kind, gpu: SimulatedGpu, serial: int = 0) -> int:
        meaning = Meaning(kind=kind, gpu_uuid=gpu.uuid, epoch=gpu.epoch, serial=serial)
        return self.handles.give(meaning)

    def _find(self, handle: Argument, state: MachineState | None, *kinds: Kind) -> Target:
        machine = self.state if state is None else state
        meaning = self.handles.meaning(address(handle))
        if meaning is None or meaning.kind not in kinds:
            raise Refusal(Code.INVALID_ARGUMENT)
        gpu = machine.gpu(meaning.gpu_uuid)
        if gpu is None or gpu.epoch != meaning.epoch:
            raise Refusal(Code.INVALID_ARGUMENT)
        require_present(gpu)
        return _locate(gpu, meaning)


def require_present(gpu: SimulatedGpu) -> None:
    """Refuse with GPU_IS_LOST where a GPU has fallen off the bus."""
    if gpu.lost:
        raise Refusal(Code.GPU_IS_LOST)


def _locate(gpu: SimulatedGpu, meaning: Meaning) -> Target:
    if meaning.kind is Kind.GPU:
        return Target(gpu=gpu)
    for gi in gpu.instances:
        if meaning.kind is Kind.GPU_INSTANCE:
            if gi.serial == meaning.serial:
                return Target(gpu=gpu, gpu_instance=gi)
            continue
        for ci in gi.compute_instances:
            if ci.serial == meaning.serial:
                return Target(gpu=gpu, gpu_instance=gi, compute_instance=ci)
    raise Refusal(Code.INVALID_ARGUMENT)
