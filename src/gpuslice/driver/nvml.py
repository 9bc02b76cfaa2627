"""The driver of MIG slices: `gpuslice.driver.api.Driver` over a pynvml module.

It runs over the real binding and over the simulator's alike, and is all that ever touches either.
The work is done in the modules beside this one; here every operation looks its GPU up afresh,
because NVML's handles die silently.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType, TracebackType
from typing import Self, TypeVar

from gpuslice.driver.calls import NvmlCalls, open_device
from gpuslice.driver.gpus import GpuReader, count_gpus, find_device
from gpuslice.driver.holders import HolderSearch, explained
from gpuslice.driver.limits import limit_s
from gpuslice.driver.mode import change_mode, refuse_reset, require_mode
from gpuslice.driver.patience import Patience
from gpuslice.driver.persistence import set_persistence
from gpuslice.driver.processes import read_processes
from gpuslice.driver.reset import Resetter, no_resetter
from gpuslice.driver.translation import NvmlCode
from gpuslice.driver.use import GpmMeter, read_use
from gpuslice.errors import DriverError, GpuBusyError, GpuLostError
from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice, SliceUse
from gpuslice.model.plan import PlannedSlice

T = TypeVar("T")

# Each repetition needs another mode change at just the wrong moment: four in a row is no accident.
READS = 4


class NvmlDriver:
    """Reads GPUs and changes their slices through NVML.

    Owned by whoever opened it; `close` ends it. Threads may share it: calls of NVML are made one
    at a time.

    Args:
        nvml: The real ``pynvml``, or the simulator's module.
        simulated: True when it is the simulator's.
        boot_id: Names the life of the driver.
        patience: How long transient "in use" is waited out.
        limit_of: How long one NVML function is waited for, seconds.
        resetter: Resets one GPU.

    Raises:
        NoDriverError: There is no driver on this machine.
        DriverHungError: The driver does not answer.
    """

    def __init__(
        self,
        nvml: ModuleType,
        *,
        simulated: bool,
        boot_id: Callable[[], str],
        patience: Patience | None = None,
        limit_of: Callable[[str], float] = limit_s,
        resetter: Resetter = no_resetter,
    ) -> None:
        self._calls = NvmlCalls(nvml, limit_of=limit_of)
        self._cut_off = False
        self._simulated = simulated
        self._boot_id = boot_id
        self._patience = patience or Patience()
        self._resetter = resetter
        self._reader = GpuReader(self._calls)
        self._meter = GpmMeter(self._calls)
        self._search = HolderSearch(nvml=self._calls, device_files=not simulated)
        self._connect()

    @property
    def _nvml(self) -> NvmlCalls:
        """The calls, connected: where connecting anew after a reset failed, it is tried again."""
        if self._cut_off:
            self._connect()
        return self._calls

    def _connect(self) -> None:
        self._calls.call("nvmlInit", to="reach the NVIDIA driver")
        self._cut_off = False

    def close(self) -> None:
        """End the connection; samples that are held go with it.

        A driver that hangs is left as it is: it would not answer this either.
        """
        if not (self._calls.hung or self._cut_off):
            self._calls.call("nvmlShutdown", to="leave the NVIDIA driver")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def boot_id(self) -> str:
        """Name the life of the driver; slices never survive into the next one."""
        return self._boot_id()

    def read(self) -> Observed:
        """Read every GPU, its mode, its geometry and its slices, half-made ones included.

        A GPU that has fallen off the bus tells nothing; others go on serving beside it.

        Raises:
            NoGpuError: The driver shows no GPU.
            GpuLostError: All of them have fallen off the bus.
            PermissionDeniedError: MIG is on, and listing its instances needs privilege.
        """
        return self._steadily(self._read)

    def survey(self) -> Observed:
        """Read what the caller may read; what is out of sight is told in each GPU's ``unseen``.

        For looking only: a GPU whose slices are out of sight shows none, and is not empty.

        Raises:
            NoGpuError: The driver shows no GPU.
        """
        return self._steadily(lambda: self._read(survey=True))

    def _read(self, *, survey: bool = False) -> Observed:
        version = self._nvml.call("nvmlSystemGetDriverVersion", to="read the driver's version")
        gpus: list[Gpu] = []
        lost: dict[int, GpuLostError] = {}
        for index in range(count_gpus(self._nvml)):
            try:
                device = find_device(self._nvml, index)
                gpus.append(self._reader.read(device, survey=survey))
            except GpuLostError as error:
                lost[index] = error
        if not gpus:
            raise next(iter(lost.values()))
        return Observed(
            gpus=tuple(gpus),
            driver_version=version,
            simulated=self._simulated,
            lost=tuple(lost),
        )

    def read_gpu(self, gpu_uuid: str) -> Gpu:
        """Read one GPU as `read` does, without asking the others anything.

        So a change on one GPU takes no longer for having many, and does not fail for a lost one.
        """
        return self._steadily(lambda: self._reader.read(open_device(self._nvml, gpu_uuid)))

    def read_use(self, gpu_uuid: str) -> dict[int, SliceUse]:
        """Read memory and utilisation of every slice of a GPU, by GPU instance id.

        Half-made slices are left out: without a MIG device there is nothing to ask.
        """
        return self._steadily(
            lambda: read_use(self._nvml, open_device(self._nvml, gpu_uuid), self._meter)
        )

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        """List the processes on a GPU and on its slices."""
        return self._steadily(lambda: read_processes(self._nvml, open_device(self._nvml, gpu_uuid)))

    def _steadily(self, read: Callable[[], T]) -> T:
        """Read again when somebody else's change killed the handles in the middle of reading."""
        for _ in range(READS - 1):
            try:
                return read()
            except DriverError as error:
                if getattr(error.__cause__, "value", None) != NvmlCode.INVALID_ARGUMENT:
                    raise
        return read()

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool, reset: bool = False) -> None:
        """Switch MIG mode and read it back. Nothing happens when it is already so.

        A change that does not take effect is not left pending.

        Args:
            gpu_uuid: The GPU.
            enabled: The mode asked for.
            reset: True where this GPU may be reset, if its mode changes no other way.

        Raises:
            GpuBusyError: Processes or slices hold the GPU; names them where it can.
            ResetRequiredError: The mode only changes with a reset or a restart.
            PermissionDeniedError: Not root.
            MigUnsupportedError: The GPU has no MIG.
        """
        device = open_device(self._nvml, gpu_uuid)
        before = require_mode(self._nvml, device)
        self._meter.forget(gpu_uuid)
        gpu = self._reader.read(device)
        allowed = partial(self._reset, gpu) if reset else None
        change_mode(
            self._nvml, gpu, before,
            enabled=enabled, find_holders=self._search.on_gpu, reset=allowed,
        )  # fmt: skip

    def set_persistence_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        """Switch persistence mode and read it back. Nothing happens when it is already so.

        Raises:
            PermissionDeniedError: Not root.
            ReadBackError: The driver reported success and the mode is another.
        """
        set_persistence(self._nvml, open_device(self._nvml, gpu_uuid), enabled=enabled)

    def reset_gpu(self, gpu_uuid: str) -> None:
        """Reset one GPU, and only it; a pending MIG mode is in force afterwards.

        The connection to the driver is closed meanwhile, because this process would else be one of
        the clients in the way; no other thread may use this driver then.

        Raises:
            GpuBusyError: Slices lie on it or processes hold it; names them.
            ResetRequiredError: It cannot be reset from here; the machine has to be restarted.
            PermissionDeniedError: Not root.
            DriverHungError: The reset did not end.
        """
        self._reset(self._reader.read(open_device(self._nvml, gpu_uuid)))

    def _reset(self, gpu: Gpu) -> None:
        refuse_reset(gpu, self._search.on_gpu(open_device(self._nvml, gpu.uuid)))
        self._meter.forget_all()
        self.close()
        self._cut_off = True
        try:
            self._resetter(gpu)
        finally:
            self._connect()
        open_device(self._nvml, gpu.uuid)  # is it back?

    def create_slice(self, planned: PlannedSlice) -> Slice:
        """Create a GPU instance at its placement, fill it with a compute instance, read it back.

        A GPU instance whose compute instance fails is destroyed again before the error is raised.

        Raises:
            InsufficientResourcesError: Something lies there already.
            GpuBusyError: The GPU is in use by a client.
            ReadBackError: What exists afterwards is not what was asked for.
        """
        from gpuslice.driver.create import create_slice  # noqa: PLC0415 - most commands only read

        device = open_device(self._nvml, planned.gpu_uuid)
        if not require_mode(self._nvml, device).current:
            raise DriverError(
                f"MIG mode of {device.label} is off, so {planned.profile} cannot be created.",
                hint=f"Switch it on first: `nvidia-smi -i {device.index} -mig 1`, as root.",
            )
        geometry = self._reader.geometry(device)
        try:
            return create_slice(self._nvml, device, geometry, planned, self._patience)
        except GpuBusyError as error:
            raise explained(error, self._search.on_gpu(device)) from error.__cause__

    def destroy_slice(self, slice_: Slice) -> None:
        """Destroy the compute instances, then the GPU instance. A slice already gone is fine.

        Transient "in use" is retried for a few seconds.

        Raises:
            GpuBusyError: A process holds the slice; names it where it can.
            ReadBackError: Another slice lives under its id now, or it would not go.
        """
        from gpuslice.driver.destroy import destroy_slice  # noqa: PLC0415 - as above

        device = open_device(self._nvml, slice_.gpu_uuid)
        self._meter.forget(slice_.gpu_uuid)
        geometry = self._reader.geometry(device)
        try:
            destroy_slice(self._nvml, device, geometry, slice_, self._patience)
        except GpuBusyError as error:
            holders = self._search.on_slice(device, slice_.gpu_instance_id)
            raise explained(error, holders) from error.__cause__
