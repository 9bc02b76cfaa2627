"""How the agent and its stack are, as the control API tells it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process that should run.

    Attributes:
        name: As `gpuslice.model.server.Launch.name`.
        ready: True when it has answered since it started.
        restarts: Restarts since the agent started.
        slice_uuid: The slice it sits on; tells two servers of one replica apart while it moves.
    """

    name: str
    ready: bool
    restarts: int
    slice_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """The agent.

    Attributes:
        pid: Its process id.
        stack: The stack it keeps, or "".
        changing: What it is changing now, in words, or "".
        foreground: True when the stack ends with the terminal that started it.
        processes: What should run.
    """

    pid: int
    stack: str = ""
    changing: str = ""
    foreground: bool = False
    processes: tuple[ProcessStatus, ...] = ()


def status_to_json(status: AgentStatus) -> bytes:
    """The status as JSON."""
    return json.dumps(asdict(status)).encode()


def status_from_json(text: bytes) -> AgentStatus:
    """Read it back."""
    found = json.loads(text)
    processes = tuple(ProcessStatus(**process) for process in found.pop("processes"))
    return AgentStatus(**found, processes=processes)
