"""What the rest of the house may ask of a GPU driver.

One Protocol, so that slices can later come from elsewhere (CUDA MPS). `NvmlDriver` is the one that
drives MIG; it runs over the real binding and over the simulator alike.
"""

from __future__ import annotations

from typing import Protocol

from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice, SliceUse
from gpuslice.model.plan import PlannedSlice


class Driver(Protocol):
    """Read GPUs and change their slices. Every failure is a `gpuslice.errors.DriverError`."""

    def read(self) -> Observed:
        """Read every GPU, its mode, its geometry and its slices, half-made ones included.

        Raises:
            PermissionDeniedError: Something of it needs more privilege.
        """

    def survey(self) -> Observed:
        """Read what the caller may read; what is out of sight is told in each GPU's ``unseen``.

        For looking only: a GPU whose slices are out of sight shows none, and is not empty.
        """

    def read_gpu(self, gpu_uuid: str) -> Gpu:
        """Read one GPU as `read` does, without asking the others anything."""

    def boot_id(self) -> str:
        """Name the life of the driver; slices never survive into the next one."""

    def read_use(self, gpu_uuid: str) -> dict[int, SliceUse]:
        """Read memory and utilisation of every slice of a GPU, by GPU instance id."""

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        """List the processes on a GPU and on its slices."""

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool, reset: bool = False) -> None:
        """Switch MIG mode and read it back. Nothing happens when it is already so.

        Args:
            gpu_uuid: The GPU.
            enabled: The mode asked for.
            reset: True where this GPU may be reset, if its mode changes no other way.

        Raises:
            GpuBusyError: Processes or slices hold the GPU; names them where it can.
            ResetRequiredError: The change is pending until a reset or a restart.
            PermissionDeniedError: Not root.
            MigUnsupportedError: The GPU has no MIG.
        """

    def set_persistence_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        """Switch persistence mode and read it back. Nothing happens when it is already so.

        Raises:
            PermissionDeniedError: Not root.
            ReadBackError: The driver reported success and the mode is another.
        """

    def reset_gpu(self, gpu_uuid: str) -> None:
        """Reset one GPU, and only it; a pending MIG mode is in force afterwards.

        Nothing else of this driver may be under way meanwhile.

        Raises:
            GpuBusyError: Slices lie on it or processes hold it; names them.
            ResetRequiredError: It cannot be reset from here; the machine has to be restarted.
            PermissionDeniedError: Not root.
            DriverHungError: The reset did not end.
        """

    def create_slice(self, planned: PlannedSlice) -> Slice:
        """Create a GPU instance at its placement, fill it or cut it into its parts, read it back.

        A GPU instance whose compute instance fails is destroyed again before the error is raised.

        Raises:
            InsufficientResourcesError: Something lies there already.
            GpuBusyError: The GPU is in use by a client.
            ReadBackError: What exists afterwards is not what was asked for.
        """

    def destroy_slice(self, slice_: Slice) -> None:
        """Destroy the compute instances, then the GPU instance. A slice already gone is fine.

        Transient "in use" is retried for a few seconds.

        Raises:
            GpuBusyError: A process holds the slice; names it where it can.
        """
