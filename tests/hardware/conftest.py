"""The real driver, read and never changed, and a simulated machine of the same boards beside it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.open import open_real
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.planner.fingerprint import fingerprint
from hardware.twins import Twin, make_twin


@pytest.fixture(scope="session")
def driver() -> Iterator[NvmlDriver]:
    """The real driver; what it says at the end has to be what it said at the start."""
    with open_real() as opened:
        before = opened.survey()
        yield opened
        after = opened.survey()
        assert fingerprint(after) == fingerprint(before), "a read-only test changed something"
        assert [gpu.persistence_mode for gpu in after.gpus] == [
            gpu.persistence_mode for gpu in before.gpus
        ]


@pytest.fixture(scope="session")
def observed(driver: NvmlDriver) -> Observed:
    """The machine as this user may see it."""
    return driver.survey()


@pytest.fixture(scope="session")
def mig_gpus(observed: Observed) -> tuple[Gpu, ...]:
    """The GPUs that can be sliced; a machine without any has nothing to compare."""
    found = tuple(gpu for gpu in observed.gpus if gpu.geometry is not None)
    assert found, f"no GPU with MIG among {[gpu.name for gpu in observed.gpus]}"
    return found


@pytest.fixture(scope="session")
def nvml(driver: NvmlDriver) -> ModuleType:
    """The real binding, initialised by the driver."""
    import pynvml

    module: ModuleType = pynvml
    return module


@pytest.fixture(scope="session")
def twins(mig_gpus: tuple[Gpu, ...], tmp_path_factory: pytest.TempPathFactory) -> list[Twin]:
    """For each GPU with MIG a simulated one of the same board, in the same MIG mode."""
    return [make_twin(gpu, tmp_path_factory.mktemp(f"gpu{gpu.index}")) for gpu in mig_gpus]
