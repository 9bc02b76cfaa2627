"""What stands in for ``libnvidia-ml.so.1``: an object whose attributes are the C functions.

pynvml looks a function up with ``getattr`` and turns a missing attribute into
``NVMLError_FunctionNotFound`` by itself, so a function that is not in the tables behaves as one
that an older driver lacks.
"""

from __future__ import annotations

from typing import Any

from gpuslice.simulator import (
    library_compute_instances,
    library_devices,
    library_gpm,
    library_gpu_instances,
    library_mig_devices,
    library_mig_mode,
    library_sensors,
    library_system,
    library_usage,
)
from gpuslice.simulator.arguments import Argument
from gpuslice.simulator.session import Session
from gpuslice.simulator.table import CFunction

FUNCTIONS: dict[str, CFunction] = {
    **library_system.FUNCTIONS,
    **library_devices.FUNCTIONS,
    **library_mig_mode.FUNCTIONS,
    **library_gpu_instances.FUNCTIONS,
    **library_compute_instances.FUNCTIONS,
    **library_mig_devices.FUNCTIONS,
    **library_usage.FUNCTIONS,
    **library_sensors.FUNCTIONS,
    **library_gpm.FUNCTIONS,
}


class Entry:
    """One C function as pynvml calls it; takes attributes such as ``restype``, as ctypes does."""

    restype: Any = None

    def __init__(self, name: str, function: CFunction, session: Session) -> None:
        self._name = name
        self._function = function
        self._session = session

    def __call__(self, *arguments: Argument) -> Any:
        """Return what the C function would."""
        return self._session.call(self._name, self._function, arguments)


class Library:
    """The C functions of one process, bound to its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Entry:
        """Return a C function.

        Raises:
            AttributeError: The simulated driver has no function of that name.
        """
        if name not in FUNCTIONS:
            raise AttributeError(name)
        return Entry(name, FUNCTIONS[name], self._session)
