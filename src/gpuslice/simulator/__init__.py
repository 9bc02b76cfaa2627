"""A simulated NVIDIA driver behind pynvml, shared between processes.

`load` gives a module with pynvml's interface. Everything under it is simulated except pynvml
itself and the processes, whose memory and work are real. What goes wrong on demand is told in
`gpuslice.simulator.faults`.
"""

from gpuslice.simulator.binding import load, tool_environment
from gpuslice.simulator.codes import Code
from gpuslice.simulator.injector import Injector
from gpuslice.simulator.machine import boot_id, reboot
from gpuslice.simulator.possible_errors import possible_errors
from gpuslice.simulator.reset import reset_gpu
from gpuslice.simulator.simulation import canonical_simulation, parse_simulation

__all__ = [
    "Code",
    "Injector",
    "boot_id",
    "canonical_simulation",
    "load",
    "parse_simulation",
    "possible_errors",
    "reboot",
    "reset_gpu",
    "tool_environment",
]
