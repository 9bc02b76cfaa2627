"""The marker that every process of ours carries in its environment, and how to read it again.

Separate because it is the runtime's only book-keeping: what is written here at the start is all
that anybody needs, after a crash of anything, to find a server, probe it and stop it.

Sessions and parents cannot do that job alone: a server's parent is gone after ``up -d``, and an
engine may move its workers into sessions of their own. The environment is inherited by all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, Role, process_name

MACHINE = "GPUSLICE_MACHINE"
_STACK = "GPUSLICE_STACK"
_ROLE = "GPUSLICE_ROLE"
_MODEL = "GPUSLICE_MODEL"
_REPLICA = "GPUSLICE_REPLICA"
_HOST = "GPUSLICE_HOST"
_PORT = "GPUSLICE_PORT"
_SLICE = "GPUSLICE_SLICE"
_CONFIG = "GPUSLICE_CONFIG"
_STARTED = "GPUSLICE_STARTED"

# setproctitle (vLLM, smg) writes titles over the environment in /proc and so over the marker;
# this variable tells it to keep off.
_KEEP_ENVIRONMENT = ("SPT_NOENV", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a process says about itself.

    Attributes:
        stack: Name of the stack.
        role: A model server or the gateway.
        replica: Which replica, or None for the gateway.
        host: Address it listens on.
        port: Port it listens on.
        slice_uuid: The MIG device it is bound to, or "".
        config_hash: As in its launch.
        started_at: Unix time of the start, seconds; tells two lives of one name apart.
    """

    stack: str
    role: Role
    replica: ReplicaId | None
    host: str
    port: int
    slice_uuid: str
    config_hash: str
    started_at: float

    @property
    def name(self) -> str:
        """As `Launch.name`."""
        return process_name(self.stack, self.replica)


def marker_of(launch: Launch, *, started_at: float) -> Marker:
    """Make the marker of a process that is about to be started."""
    return Marker(
        stack=launch.stack,
        role=launch.role,
        replica=launch.replica,
        host=launch.host,
        port=launch.port,
        slice_uuid=launch.slice_uuid,
        config_hash=launch.config_hash,
        started_at=started_at,
    )


def write_marker(marker: Marker, root: Path) -> dict[str, str]:
    """Turn a marker into variables; ``root`` says which machine the process belongs to."""
    replica = marker.replica
    return {
        MACHINE: str(root),
        _STACK: marker.stack,
        _ROLE: marker.role.value,
        _MODEL: replica.model if replica else "",
        _REPLICA: str(replica.replica) if replica else "",
        _HOST: marker.host,
        _PORT: str(marker.port),
        _SLICE: marker.slice_uuid,
        _CONFIG: marker.config_hash,
        _STARTED: repr(marker.started_at),
        _KEEP_ENVIRONMENT[0]: _KEEP_ENVIRONMENT[1],
    }


def read_marker(environment: Mapping[str, str], root: Path) -> Marker | None:
    """Read a marker back; None for a process of another machine, of nobody, or a garbled one."""
    if environment.get(MACHINE) != str(root):
        return None
    try:
        return Marker(
            stack=environment[_STACK],
            role=Role(environment[_ROLE]),
            replica=_replica(environment),
            host=environment[_HOST],
            port=int(environment[_PORT]),
            slice_uuid=environment[_SLICE],
            config_hash=environment[_CONFIG],
            started_at=float(environment[_STARTED]),
        )
    except (KeyError, ValueError):
        return None


def _replica(environment: Mapping[str, str]) -> ReplicaId | None:
    if not environment[_MODEL]:
        return None
    return ReplicaId(environment[_MODEL], int(environment[_REPLICA]))
