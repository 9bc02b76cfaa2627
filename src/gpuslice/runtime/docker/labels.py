"""The labels that every container of ours carries, and how to read them again.

Separate because ``ps``, ``logs``, ``down`` and an agent that comes back after a crash or an upgrade
read what runs from here and remember nothing. A person can use them too: ``docker ps --filter
label=gpuslice.stack=assistants``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpuslice.model.server import Launch
from gpuslice.runtime.identity import Identity, identity_of, read_identity, write_identity
from gpuslice.version import __version__


def label(word: str) -> str:
    """Spell the key of a label."""
    return f"gpuslice.{word}"


MACHINE = label("machine")
NAME = label("name")
VERSION = label("version")


def write_labels(launch: Launch, root: Path) -> dict[str, str]:
    """Turn a launch into labels; ``root`` says which machine of ours the container belongs to."""
    own = write_identity(identity_of(launch), root, label)
    further = {NAME: launch.name, VERSION: __version__}
    return dict(launch.container.labels if launch.container else ()) | own | further


def read_labels(labels: Mapping[str, str]) -> Identity | None:
    """Read labels back; None where they are not ours, or garbled."""
    try:
        return read_identity(labels, label)
    except (KeyError, ValueError):
        return None
