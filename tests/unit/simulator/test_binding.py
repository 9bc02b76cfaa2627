"""Loading pynvml over a simulated machine, in one process and in several."""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pynvml
import pytest

from gpuslice import simulator
from gpuslice.errors import NoDriverError, SimulatorStateError
from gpuslice.simulator import binding
from gpuslice.simulator.binding import SHIM_DIRECTORY
from simulated import SimulatedMachine

CREATE_ALL = """
import sys
import weakref
from pathlib import Path
from gpuslice import simulator
nvml = simulator.load(Path(sys.argv[1]), "a100-80gb")
nvml.nvmlInit()
made = []
while True:
    try:
        instance = nvml.nvmlDeviceCreateGpuInstance(nvml.nvmlDeviceGetHandleByIndex(0), 19)
    except nvml.NVMLError_InsufficientResources:
        break
    made.append(nvml.nvmlGpuInstanceGetInfo(instance).id)
print(*made)
"""

COUNT_GPUS = """
import pynvml
pynvml.nvmlInit()
print(pynvml.nvmlDeviceGetCount())
"""


def test_the_module_is_the_real_binding(machine: SimulatedMachine) -> None:
    assert machine.nvml.__file__ == pynvml.__file__
    assert machine.nvml.NVML_ERROR_IN_USE == pynvml.NVML_ERROR_IN_USE
    assert issubclass(machine.nvml.NVMLError_InUse, machine.nvml.NVMLError)


def test_pynvml_as_others_import_it_is_left_alone(machine: SimulatedMachine) -> None:
    assert pynvml is not machine.nvml
    assert pynvml.nvmlLib is not machine.nvml.nvmlLib
    assert machine.nvml not in sys.modules.values()


def test_without_nvidias_binding_there_is_nothing_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", lambda *_: None)
    monkeypatch.setattr(binding, "_executed_pynvml", binding._executed_pynvml.__wrapped__)

    with pytest.raises(NoDriverError) as caught:
        simulator.load(tmp_path, "a30")

    assert "nvidia-ml-py" in caught.value.hint


def test_a_machine_that_nobody_needs_takes_its_module_with_it(tmp_path: Path) -> None:
    """ctypes remembers types for ever, so there must be one set of them only."""
    module = simulator.load(tmp_path, "a30")
    module.nvmlInit()
    gone = weakref.ref(module)
    assert module.c_nvmlMemory_t is simulator.load(tmp_path, "a30").c_nvmlMemory_t
    assert module.nvmlLib is not simulator.load(tmp_path, "a30").nvmlLib
    del module
    gc.collect()
    assert gone() is None


def test_errors_have_the_drivers_words_whichever_machine_refused(tmp_path: Path) -> None:
    one, other = simulator.load(tmp_path / "1", "a30"), simulator.load(tmp_path / "2", "a30")
    one.nvmlInit()
    with pytest.raises(other.NVMLError, match="Uninitialized"):
        other.nvmlDeviceGetCount()
    with pytest.raises(one.NVMLError_NotFound, match="Not Found"):
        one.nvmlDeviceGetHandleByUUID("GPU-none")


def test_the_state_survives_a_restart_of_the_program(machine: SimulatedMachine) -> None:
    before = machine.uuid(machine.create_slice(14)[1])

    again = SimulatedMachine(machine.directory)

    device = again.nvml.nvmlDeviceGetMigDeviceHandleByIndex(again.gpu(), 0)
    assert again.nvml.nvmlDeviceGetUUID(device) == before


def test_damage_is_found_in_the_middle_of_work(machine: SimulatedMachine) -> None:
    (machine.directory / "machine.json").write_text("{")

    with pytest.raises(SimulatorStateError):
        machine.gpu()


def test_several_processes_creating_at_once_never_overlap(machine: SimulatedMachine) -> None:
    command = [sys.executable, "-c", CREATE_ALL, str(machine.directory)]
    source = str(Path(simulator.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source}

    def run(_: int) -> list[int]:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return [int(number) for number in done.stdout.split()]

    with ThreadPoolExecutor(3) as pool:
        created = [number for made in pool.map(run, range(3)) for number in made]

    assert sorted(created) == [7, 8, 9, 10, 11, 12, 13]
    assert machine.free(19) == 0


def test_several_threads_creating_at_once_never_overlap(machine: SimulatedMachine) -> None:
    def create(_: int) -> Any:
        return machine.gi(machine.create(19))

    with ThreadPoolExecutor(7) as pool:
        created = set(pool.map(create, range(7)))

    assert len(created) == 7


def test_the_shim_ships_with_the_package() -> None:
    """Wheels hold what is a package, so the folder of the shim has to be one."""
    assert importlib.util.find_spec("gpuslice.simulator.shim.pynvml") is not None
    assert (SHIM_DIRECTORY / "__init__.py").exists()


def test_a_tool_keeps_its_own_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/theirs")

    variables = simulator.tool_environment(tmp_path, "a30")

    first, rest = variables["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "pynvml.py").exists()
    assert rest == "/opt/theirs"


def test_the_shim_says_what_it_needs(tmp_path: Path) -> None:
    environment = {**os.environ, **simulator.tool_environment(tmp_path, "a30")}
    del environment["GPUSLICE_SIMULATE"]

    done = subprocess.run(
        [sys.executable, "-c", "import pynvml"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert "GPUSLICE_SIMULATE" in done.stderr.splitlines()[-1]


def test_the_shim_serves_a_python_that_lacks_gpuslice(tmp_path: Path) -> None:
    """A tool in an environment of its own brings NVIDIA's binding, and nothing else of ours."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "pynvml.py").symlink_to(Path(pynvml.__file__))
    variables = simulator.tool_environment(tmp_path / "machine", "a30:2")
    variables["PYTHONPATH"] += os.pathsep + str(tmp_path / "theirs")

    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "import pynvml as n; n.nvmlInit(); print(n.nvmlDeviceGetCount())",
        ],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("2\n", "")
