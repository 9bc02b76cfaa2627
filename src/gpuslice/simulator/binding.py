"""Loading the real pynvml over a simulated machine.

The real module's source is executed once more under a private name, and given a Python object
where it keeps the loaded C library. So its structures, constants, errors, version checks and traps
are the real ones, and pynvml as others import it is left alone.

It is executed once for a program, whatever the number of machines. Every machine then has a module
with functions of its own, the same code over other global names; structures and errors are shared.
To execute it for each would cost 20 ms and a megabyte that never comes back, since ctypes remembers
every type that arrays and pointers were made of until the program ends.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from functools import cache, partial
from pathlib import Path
from types import CellType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

from gpuslice.errors import NoDriverError
from gpuslice.simulator.fault_point import FaultPoint
from gpuslice.simulator.injector import Injector
from gpuslice.simulator.library import FUNCTIONS, Library
from gpuslice.simulator.session import Session
from gpuslice.simulator.store import Store

SHIM_DIRECTORY = Path(__file__).resolve().parent / "shim"
DIRECTORY_VARIABLE = "GPUSLICE_SIMULATOR_DIR"
SIMULATION_VARIABLE = "GPUSLICE_SIMULATE"


def load(directory: Path, simulation: str, *, faults: Injector | None = None) -> ModuleType:
    """Return a module with pynvml's interface over a simulated machine.

    Args:
        directory: Where the machine is kept; made, with the machine, on first use.
        simulation: Which GPUs it has, such as ``a100-80gb:2,h100-80gb``.
        faults: What goes wrong with calls through this module, besides the faults that are kept
            with the machine; the caller keeps it and may add to it.

    Returns:
        A fresh instance of the real pynvml, not yet initialised.

    Raises:
        BadSimulationError: The simulation cannot be read.
        UnknownBoardError: It names a board nobody knows.
        SimulatorStateError: The directory holds another machine, or its state is damaged.
        NoDriverError: nvidia-ml-py is not installed.
    """
    store = Store.open(directory, simulation)
    module = _fresh_pynvml()
    session = Session(store=store, nvml=module, faults=FaultPoint.of(store, faults))
    module.nvmlLib = Library(session)  # type: ignore[attr-defined] # set, as pynvml itself does on loading
    return module


def tool_environment(directory: Path, simulation: str) -> dict[str, str]:
    """Return the variables with which another program's ``import pynvml`` is the simulated one.

    Args:
        directory: As for `load`.
        simulation: As for `load`.
    """
    paths = [str(SHIM_DIRECTORY), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        DIRECTORY_VARIABLE: str(directory.absolute()),
        SIMULATION_VARIABLE: simulation,
    }


def _fresh_pynvml() -> ModuleType:
    """Make a module of the executed source, with functions and a state of its own."""
    executed = _executed_pynvml()
    module = ModuleType(executed.__name__, executed.__doc__)
    own = vars(module)
    own.update(vars(executed))
    own["_nvmlGetFunctionPointer_cache"] = {}
    for name, value in vars(executed).items():
        if isinstance(value, FunctionType) and value.__module__ == executed.__name__:
            own[name] = _rebound(value, own)
    return module


def _rebound(function: FunctionType, names: dict[str, Any]) -> FunctionType:
    """Copy a function, and those it wraps, so that they see other global names."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    closure = tuple(
        CellType(_rebound(held, names) if isinstance(held, FunctionType) else held)
        for held in cells
    )
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, closure or None
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    return copy


@cache
def _executed_pynvml() -> ModuleType:
    """Execute the real module's source under a private name."""
    spec = _find_real_pynvml()
    private_name = f"{__name__}.pynvml"
    private = importlib.util.spec_from_file_location(private_name, spec.origin)
    assert private is not None
    assert private.loader is not None
    module = importlib.util.module_from_spec(private)
    # pynvml makes its error classes through sys.modules while it is executed, and only then.
    sys.modules[private_name] = module
    try:
        private.loader.exec_module(module)
    finally:
        del sys.modules[private_name]
    words = SimpleNamespace(nvmlErrorString=partial(FUNCTIONS["nvmlErrorString"], None))
    module.nvmlLib = words  # type: ignore[attr-defined] # errors are shared, and ask it for words
    return module


def _find_real_pynvml() -> importlib.machinery.ModuleSpec:
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != SHIM_DIRECTORY]
    spec = importlib.machinery.PathFinder.find_spec("pynvml", elsewhere)
    if spec is None or spec.origin is None:
        raise NoDriverError(
            "NVIDIA's Python binding (pynvml) is not installed.",
            hint="Install it with: pip install nvidia-ml-py",
        )
    return spec
