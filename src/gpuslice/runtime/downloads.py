"""How much of a model has been downloaded, seen from its folder in the hub's cache.

Separate from the logs, because engines may say nothing of it: vLLM turns the hub's progress bars
off. A download of an hour would then look like a server that hangs, to whoever waits and to the
rule by which waiting is given up.

Source: huggingface_hub, "Environment variables" and "Understand caching": the files of a model lie
in ``models--OWNER--NAME/blobs``, those under way as ``….incomplete`` beside them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gpuslice.model.server import Launch

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_MOST_FILES = 10_000


class Downloads:
    """What the cache held of each server's model at the last look. Owned by one wait."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the variables that servers inherit, which say where the cache is."""
        self._environ = environ
        self._seen: dict[str, int] = {}

    def grown(self, launch: Launch) -> int:
        """Say how much is there where that has grown since the last look, bytes; else 0."""
        there = downloaded_bytes(launch.source, self._cache_of(launch))
        before = self._seen.setdefault(launch.name, there)
        self._seen[launch.name] = there
        return there if there > before else 0

    def _cache_of(self, launch: Launch) -> Path:
        """Say which folder of the machine the server's cache is, in a container or not."""
        if launch.container is None:
            return cache_folder({**self._environ, **dict(launch.environment)})
        inside = cache_folder(dict(launch.environment))
        # The innermost mount counts: the hub's folder may be another than the one around it.
        for mount in sorted(launch.container.mounts, key=lambda mount: -len(mount.target)):
            if inside.is_relative_to(mount.target):
                return Path(mount.source) / inside.relative_to(mount.target)
        return inside


def downloaded_bytes(source: str, cache: Path) -> int:
    """Add up what the hub's cache holds of a model, whole files and those under way.

    Args:
        source: The model; a path is nothing that is downloaded.
        cache: Folder of the hub's cache.

    Returns:
        Bytes; 0 where nothing is there, or it cannot be read.
    """
    if not _HUB_NAME.fullmatch(source):
        return 0
    folder = cache / f"models--{source.replace('/', '--')}" / "blobs"
    total = 0
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MOST_FILES), entries, strict=False):
                total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # none yet, not readable, or a file that was finished meanwhile
        return total
    return total


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Say where the hub's library keeps models, by the variables of whoever uses it."""
    if named := environ.get("HF_HUB_CACHE"):
        return Path(named)
    if home := environ.get("HF_HOME"):
        return Path(home) / "hub"
    general = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/") / ".cache"
    return Path(general) / "huggingface" / "hub"
