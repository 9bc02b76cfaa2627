"""The simulated pynvml for programs that know nothing of gpuslice.

With this folder first on ``PYTHONPATH`` it is what ``import pynvml`` finds. It replaces itself by
the module that `gpuslice.simulator.load` makes. The variables it reads are those that
`gpuslice.simulator.tool_environment` gives.
"""

import os
import sys
from pathlib import Path

try:
    from gpuslice.simulator.binding import DIRECTORY_VARIABLE, SIMULATION_VARIABLE, load
except ModuleNotFoundError:
    # Run by another Python environment: the package is three folders up.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from gpuslice.simulator.binding import DIRECTORY_VARIABLE, SIMULATION_VARIABLE, load

try:
    _directory, _simulation = os.environ[DIRECTORY_VARIABLE], os.environ[SIMULATION_VARIABLE]
except KeyError as missing:
    raise ImportError(f"the simulated pynvml needs the variable {missing}") from missing

_module = load(Path(_directory), _simulation)
_module.__name__ = __name__
sys.modules[__name__] = _module
