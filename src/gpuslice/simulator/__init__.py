"""A simulated NVIDIA driver behind pynvml, shared between processes.

`load` gives a module with pynvml's interface. Everything under it is simulated except pynvml
itself and the processes, whose memory and work are real.
"""

from gpuslice.simulator.binding import load, tool_environment
from gpuslice.simulator.machine import boot_id, reboot
from gpuslice.simulator.simulation import canonical_simulation, parse_simulation

__all__ = [
    "boot_id",
    "canonical_simulation",
    "load",
    "parse_simulation",
    "reboot",
    "tool_environment",
]
