"""A private file that several processes read and change: replaced whole, under a lock beside it.

What the simulated machine and its faults have in common on disk. Readers need no lock, because they
never meet a file half written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuslice.errors import SimulatorStateError


class LockedFile:
    """One file in a machine's directory; only its owner may read it.

    Args:
        path: The file. Beside it lie a lock and, while it is written, a draft.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_suffix(".lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process and thread from changing the file meanwhile."""
        with writing(self.path.parent):
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def replace(self, text: str, *, durable: bool) -> None:
        """Write the file anew.

        Args:
            text: All of it.
            durable: Whether it has to survive a crash of the real machine.
        """
        draft = self.path.with_suffix(".new")
        with writing(self.path.parent):
            with open(draft, "w", encoding="utf-8", opener=_open_private) as stream:
                stream.write(text)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            draft.replace(self.path)


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error that names the machine."""
    try:
        yield
    except OSError as error:
        raise SimulatorStateError(
            f"The simulated machine in {directory} cannot be written: {error}.",
            hint="Choose a directory that you may write to, on a disk with room.",
        ) from error


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
