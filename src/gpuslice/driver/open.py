"""Opening the driver of this very machine.

Separate, because it alone imports the real binding and looks at the running kernel. Who wants
simulated GPUs gives `NvmlDriver` the simulator's module instead.
"""

from __future__ import annotations

from pathlib import Path

from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.reset import smi_resetter
from gpuslice.driver.translation import TRY_SIMULATED
from gpuslice.errors import NoDriverError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def open_real() -> NvmlDriver:
    """Open the NVIDIA driver of this machine.

    Raises:
        NoDriverError: There is none, or its library is missing.
    """
    try:
        import pynvml  # noqa: PLC0415 - large, and not wanted for simulated GPUs
    except ImportError as error:
        raise NoDriverError(
            f"The binding to NVML is not installed: {error}.",
            hint=f"Install nvidia-ml-py; {TRY_SIMULATED}.",
        ) from error
    return NvmlDriver(pynvml, simulated=False, boot_id=read_boot_id, resetter=smi_resetter())


def read_boot_id(path: Path = BOOT_ID) -> str:
    """Read the kernel's name for this boot.

    A GPU reset or a reload of the driver ends slices without a new boot; those are then simply no
    longer there when they are read.

    Raises:
        NoDriverError: The system does not tell it, so it is no Linux with /proc.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise NoDriverError(
            f"The boot id cannot be read from {path}: {error}.",
            hint="gpuslice runs on Linux with /proc mounted.",
        ) from error
