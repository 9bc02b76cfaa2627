"""Where gpuslice keeps what cannot be read back: one folder per machine.

Simulated machines have folders of their own, so that nothing simulated ever mixes with a real
card. Pure: who wants the folders makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as gpuslice sees it: the real one, or a simulated one.

    Attributes:
        root: Folder of this machine's state, mode 0700.
        simulation: What was given to ``--simulate`` (``a100-80gb:2``), or "" for the real machine.
    """

    root: Path
    simulation: str = ""

    @property
    def simulated(self) -> bool:
        """True when its GPUs are simulated."""
        return bool(self.simulation)

    @property
    def slug(self) -> str:
        """Name of the folder, and the marker that processes of this machine carry."""
        return self.root.name

    @property
    def simulator_dir(self) -> Path:
        """State of the simulated GPUs."""
        return self.root / "simulator"

    @property
    def log_dir(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def secrets_dir(self) -> Path:
        """What containers read and nobody else may: one folder for each."""
        return self.root / "secrets"

    @property
    def lock_file(self) -> Path:
        """Held by the agent while it lives: one agent per machine."""
        return self.root / "agent.lock"

    @property
    def socket_file(self) -> Path:
        """The agent's control socket, mode 0600."""
        return self.root / "agent.sock"

    @property
    def agent_log(self) -> Path:
        """What the agent has to say."""
        return self.log_dir / "agent.log"

    @property
    def record_file(self) -> Path:
        """The running stack and which slices are ours."""
        return self.root / "record.json"

    @property
    def journal_file(self) -> Path:
        """The change under way; absent when there is none."""
        return self.root / "change.json"

    @property
    def gateway_file(self) -> Path:
        """The gateway's settings and keys, mode 0600."""
        return self.root / "gateway.json"


def machine_slug(simulation: str) -> str:
    """Turn a simulation into a folder name: ``sim-a100-80gb-x2``; the real machine is ``host``."""
    if not simulation:
        return "host"
    return "sim-" + simulation.replace(":", "-x").replace(",", "_")
