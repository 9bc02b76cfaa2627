"""A simulated GPU beside a real one of the same board, and tables of what both say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpuslice import simulator
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.hardware import board_for
from gpuslice.model.gpu import Gpu


class Twin:
    """A real GPU and a simulated one of the same board. Owned by the session."""

    def __init__(self, real: Gpu, simulated: Gpu, nvml: Any) -> None:
        self.real = real
        self.simulated = simulated
        self.nvml = nvml

    def handle(self) -> Any:
        """The simulated GPU's handle."""
        return self.nvml.nvmlDeviceGetHandleByIndex(0)


def make_twin(gpu: Gpu, folder: Path) -> Twin:
    """Simulate a GPU of the same board, in the same MIG mode."""
    known = board_for(gpu.name)
    assert known is not None, f"{gpu.name} is not in the board table"
    module = simulator.load(folder, known.key)
    shown = NvmlDriver(module, simulated=True, boot_id=lambda: "")
    assert gpu.mig is not None
    shown.set_mig_mode(shown.read().gpus[0].uuid, enabled=gpu.mig.current)
    return Twin(gpu, shown.read().gpus[0], module)


def print_table(title: str, rows: list[tuple[object, ...]]) -> None:
    """Print rows in columns, the first being the headings."""
    words = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*words, strict=True)]
    print(f"\n{title}")
    for row in words:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())
