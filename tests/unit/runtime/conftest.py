"""A machine in a temporary folder, and a runtime on it that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuslice.model.machine import Machine
from gpuslice.runtime.process import ProcessRuntime


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(root=tmp_path / "host")


@pytest.fixture
def runtime(machine: Machine) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(machine)
    yield runtime
    runtime.stop_all(runtime.list(), grace_s=0)
    assert runtime.list() == ()
