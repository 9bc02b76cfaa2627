"""What every server of ours carries, wherever it runs, so that it is found again: written and read.

Separate because it is the runtimes' only book-keeping. A process carries it in its environment, a
container in its labels; the words are the same, the spelling is the place's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, Role, RunningServer, process_name

Spelling = Callable[[str], str]
"""Turns a word (``stack``) into a key of the place (``GPUSLICE_STACK``, ``gpuslice.stack``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a server says about itself.

    Attributes:
        stack: Name of the stack.
        role: A model server or the gateway.
        replica: Which replica, or None for the gateway.
        host: Address it is reached at.
        port: Port it is reached at.
        slice_uuid: The MIG device it is bound to, or "".
        config_hash: As in its launch.
    """

    stack: str
    role: Role
    replica: ReplicaId | None
    host: str
    port: int
    slice_uuid: str
    config_hash: str

    @property
    def name(self) -> str:
        """As `Launch.name`."""
        return process_name(self.stack, self.replica)

    def running(
        self, *, pid: int, started_at: float, headless: bool = False, container: str = ""
    ) -> RunningServer:
        """Describe the server that was found carrying this; see `RunningServer`."""
        return RunningServer(
            name=self.name,
            stack=self.stack,
            role=self.role,
            replica=self.replica,
            pid=pid,
            started_at=started_at,
            host=self.host,
            port=self.port,
            slice_uuid=self.slice_uuid,
            config_hash=self.config_hash,
            headless=headless,
            container=container,
        )


def identity_of(launch: Launch) -> Identity:
    """Say what a server that is about to be started will carry."""
    return Identity(
        stack=launch.stack,
        role=launch.role,
        replica=launch.replica,
        host=launch.host,
        port=launch.port,
        slice_uuid=launch.slice_uuid,
        config_hash=launch.config_hash,
    )


def write_identity(identity: Identity, root: Path, spelt: Spelling) -> dict[str, str]:
    """Turn an identity into text; ``root`` says which machine of ours the server belongs to."""
    replica = identity.replica
    words = {
        "machine": str(root),
        "stack": identity.stack,
        "role": identity.role.value,
        "model": replica.model if replica else "",
        "replica": str(replica.replica) if replica else "",
        "host": identity.host,
        "port": str(identity.port),
        "slice": identity.slice_uuid,
        "config": identity.config_hash,
    }
    return {spelt(word): value for word, value in words.items()}


def read_identity(carried: Mapping[str, str], spelt: Spelling) -> Identity:
    """Read an identity back.

    Raises:
        KeyError: Something is missing: it is no server of ours.
        ValueError: Something is garbled.
    """
    model = carried[spelt("model")]
    return Identity(
        stack=carried[spelt("stack")],
        role=Role(carried[spelt("role")]),
        replica=ReplicaId(model, int(carried[spelt("replica")])) if model else None,
        host=carried[spelt("host")],
        port=int(carried[spelt("port")]),
        slice_uuid=carried[spelt("slice")],
        config_hash=carried[spelt("config")],
    )
