from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pynvml
import pytest

from gpuslice import simulator
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.open import open_real, read_boot_id
from gpuslice.errors import DriverError, DriverHungError, NoDriverError
from simulated_gpus import NvmlWith


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so.1"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "modprobe nvidia"),
    ],
)
def test_a_machine_without_the_driver_says_what_is_missing(code: int, remedy: str) -> None:
    nvml = NvmlWith(pynvml)
    nvml.fail("nvmlInit", code)
    with pytest.raises(NoDriverError, match="reach the NVIDIA driver") as caught:
        NvmlDriver(nvml, simulated=False, boot_id=lambda: "boot")
    assert remedy in caught.value.hint
    assert "--simulate" in caught.value.hint


def test_a_machine_without_the_binding_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Any = None
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    with pytest.raises(NoDriverError, match="not installed") as caught:
        open_real()
    assert "nvidia-ml-py" in caught.value.hint


def test_the_boot_id_is_the_kernels(tmp_path: Path) -> None:
    file = tmp_path / "boot_id"
    file.write_text("7d0e-1\n")
    assert read_boot_id(file) == "7d0e-1"


def test_a_system_without_a_boot_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDriverError, match="boot id"):
        read_boot_id(tmp_path / "absent")


def test_a_closed_driver_says_that_it_is_closed(tmp_path: Path) -> None:
    nvml = simulator.load(tmp_path, "a100-80gb")
    with NvmlDriver(nvml, simulated=True, boot_id=lambda: "boot") as driver:
        assert driver.read().simulated
    with pytest.raises(DriverError) as caught:
        driver.read()
    assert "closed" in caught.value.hint


def test_a_driver_that_hangs_while_it_is_opened_says_so(tmp_path: Path) -> None:
    released = threading.Event()
    nvml = NvmlWith(simulator.load(tmp_path, "a100-80gb"))
    nvml.replace("nvmlInit", released.wait)
    with pytest.raises(DriverHungError, match=r"reach the NVIDIA driver: .*nvmlInit"):
        NvmlDriver(nvml, simulated=True, boot_id=lambda: "boot", limit_of=lambda _: 0.01)
    released.set()


def test_closing_a_driver_that_hangs_does_not_hang_again(tmp_path: Path) -> None:
    released = threading.Event()
    nvml = NvmlWith(simulator.load(tmp_path, "a100-80gb"))
    nvml.replace("nvmlDeviceGetCount", released.wait)
    brief = {"nvmlDeviceGetCount": 0.01}
    driver = NvmlDriver(
        nvml, simulated=True, boot_id=lambda: "boot", limit_of=lambda name: brief.get(name, 60.0)
    )
    with pytest.raises(DriverHungError, match="count the GPUs"), driver:
        driver.read()
    released.set()
