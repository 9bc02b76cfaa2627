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

from gpuslice.model.server import Launch
from gpuslice.runtime.identity import Identity, identity_of, read_identity, write_identity


def variable(word: str) -> str:
    """Spell the name of a variable."""
    return f"GPUSLICE_{word.upper()}"


MACHINE = variable("machine")
_STARTED = variable("started")

# setproctitle (vLLM, smg) writes titles over the environment in /proc and so over the marker;
# this variable tells it to keep off.
_KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a process says about itself.

    Attributes:
        identity: What every server of ours carries.
        started_at: Unix time of the start, seconds; tells two lives of one name apart.
    """

    identity: Identity
    started_at: float

    @property
    def name(self) -> str:
        """As `Launch.name`."""
        return self.identity.name


def marker_of(launch: Launch, *, started_at: float) -> Marker:
    """Make the marker of a process that is about to be started."""
    return Marker(identity=identity_of(launch), started_at=started_at)


def write_marker(marker: Marker, root: Path) -> dict[str, str]:
    """Turn a marker into variables; ``root`` says which machine the process belongs to."""
    carried = write_identity(marker.identity, root, variable)
    return carried | {_STARTED: repr(marker.started_at)} | _KEEP_ENVIRONMENT


def read_marker(environment: Mapping[str, str], root: Path) -> Marker | None:
    """Read a marker back; None for a process of another machine, of nobody, or a garbled one."""
    if environment.get(MACHINE) != str(root):
        return None
    try:
        identity = read_identity(environment, variable)
        return Marker(identity=identity, started_at=float(environment[_STARTED]))
    except (KeyError, ValueError):
        return None
