"""Reach a Unix socket whose path is longer than the 107 bytes the kernel takes.

The folder is opened and the socket is named through ``/proc/self/fd``: the same file by a short
name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 107


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a name for the socket that is short enough to bind or connect to."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
