"""The labels that every container of ours carries, and how to read them again.

Separate because they are the runtime's only book-keeping, as the marker in the environment is for
processes (`gpuslice.runtime.markers`): ``ps``, ``logs``, ``down`` and an agent that comes back
after a crash or an upgrade read what runs from here and remember nothing.

A person can use them too: ``docker ps --filter label=gpuslice.stack=assistants``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, Role
from gpuslice.version import __version__

MACHINE = "gpuslice.machine"
NAME = "gpuslice.name"
STACK = "gpuslice.stack"
ROLE = "gpuslice.role"
MODEL = "gpuslice.model"
REPLICA = "gpuslice.replica"
HOST = "gpuslice.host"
PORT = "gpuslice.port"
SLICE = "gpuslice.slice"
CONFIG = "gpuslice.config"
VERSION = "gpuslice.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a container says about itself.

    Attributes:
        name: As `Launch.name`; the container itself may have been renamed.
        stack: Name of the stack.
        role: A model server or the gateway.
        replica: Which replica, or None for the gateway.
        host: Address it is reached at.
        port: Port it is reached at.
        slice_uuid: The MIG device it is bound to, or "".
        config_hash: As in its launch.
    """

    name: str
    stack: str
    role: Role
    replica: ReplicaId | None
    host: str
    port: int
    slice_uuid: str
    config_hash: str


def write_labels(launch: Launch, root: Path) -> dict[str, str]:
    """Turn a launch into labels; ``root`` says which machine of ours the container belongs to."""
    replica = launch.replica
    own = {
        MACHINE: str(root),
        NAME: launch.name,
        STACK: launch.stack,
        ROLE: launch.role.value,
        MODEL: replica.model if replica else "",
        REPLICA: str(replica.replica) if replica else "",
        HOST: launch.host,
        PORT: str(launch.port),
        SLICE: launch.slice_uuid,
        CONFIG: launch.config_hash,
        VERSION: __version__,
    }
    return dict(launch.container.labels if launch.container else ()) | own


def read_labels(labels: Mapping[str, str]) -> Labels | None:
    """Read labels back; None where they are not ours, or garbled."""
    try:
        model = labels[MODEL]
        return Labels(
            name=labels[NAME],
            stack=labels[STACK],
            role=Role(labels[ROLE]),
            replica=ReplicaId(model, int(labels[REPLICA])) if model else None,
            host=labels[HOST],
            port=int(labels[PORT]),
            slice_uuid=labels[SLICE],
            config_hash=labels[CONFIG],
        )
    except (KeyError, ValueError):
        return None
