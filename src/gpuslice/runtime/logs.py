"""What servers write: one append-only file per process, read, followed and rotated.

Separate because logs outlive the processes that wrote them.

Rotation copies and truncates, because the writer is another program that keeps its descriptor:
opened with ``O_APPEND`` it goes on at the new end of the file. A line written between the copy and
the truncation can be lost; that is the price of rotating a foreign program's log.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gpuslice.errors import RuntimeFailure
from gpuslice.private_files import UntrustedFileError, make_private_folder, open_own
from gpuslice.runtime.clock import Clock

ROTATE_AT_BYTES = 10 * 1024 * 1024
KEPT = 3

_TAIL_BYTES = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Colours, cursor movements and other control characters; a log must not drive a terminal.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The log folder of one machine.

    Attributes:
        folder: Where the files are.
        clock: Time, for following.
    """

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def file_of(self, name: str) -> Path:
        """Return the log file of a process.

        Raises:
            RuntimeFailure: The name could lead out of the folder.
        """
        if not _NAME.fullmatch(name):
            raise RuntimeFailure(f"{name!r} is not the name of a process of gpuslice")
        return self.folder / f"{name}.log"

    def open_for_append(self, name: str) -> int:
        """Open a log for a process to write to, mode 0600; the caller closes the descriptor.

        Raises:
            RuntimeFailure: The file cannot be opened, or is a link or another kind of file.
        """
        path = self.file_of(name)
        try:
            make_private_folder(self.folder)
            return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise RuntimeFailure(
                f"cannot write the log {path}: {error.strerror}", hint="remove or free that path"
            ) from error

    def tail(self, name: str, *, lines: int) -> tuple[str, ...]:
        """Read the last lines, reaching back into the newest rotated file when it must."""
        path = self.file_of(name)
        found = _last_lines(path, lines)
        if len(found) < lines:
            found = (*_last_lines(_rotated(path, 1), lines - len(found)), *found)
        return found

    def follow(self, name: str, is_alive: Callable[[], bool]) -> Iterator[str]:
        """Yield what is written from this call on, until the writer has ended.

        The position is taken at the call, not at the first line, so a caller can follow first
        and show the tail second without missing a line.

        Args:
            name: Name of the process.
            is_alive: Tells whether the writer still runs.
        """
        path = self.file_of(name)
        return self._follow(path, _size(path), is_alive)

    def rotate(self) -> None:
        """Turn over every log that has grown beyond `ROTATE_AT_BYTES`; `KEPT` old ones stay."""
        for path in sorted(self.folder.glob("*.log")):
            if not path.is_symlink() and _size(path) >= ROTATE_AT_BYTES:
                _turn_over(path)

    def set_aside(self, name: str) -> None:
        """Begin a new log although a process writes to the old one, which goes on beside it.

        That is for the short while in which two servers of one name live: the last lines of the
        new one have to be its own.
        """
        path = self.file_of(name)
        self.put_away(name)
        if path.exists():
            path.replace(_aside(path))

    def has_set_aside(self, name: str) -> bool:
        """Tell whether there is a log beside the log."""
        return _aside(self.file_of(name)).exists()

    def put_away(self, name: str) -> None:
        """Make what was set aside the newest of the old logs: its writer has ended."""
        path = self.file_of(name)
        if self.has_set_aside(name):
            _shift(path)
            _aside(path).replace(_rotated(path, 1))

    def take_back(self, name: str) -> None:
        """Make what was set aside the log again: its writer has outlived the other one."""
        path = self.file_of(name)
        if not self.has_set_aside(name):
            return
        if path.exists():
            _shift(path)
            path.replace(_rotated(path, 1))
        _aside(path).replace(path)

    def _follow(self, path: Path, position: int, is_alive: Callable[[], bool]) -> Iterator[str]:
        rest = b""
        alive = True
        while True:
            new, position = _read_on(path, position)
            *complete, rest = (rest + new).split(b"\n")
            yield from map(printable, complete)
            if new:
                continue
            if not alive:
                break
            self.clock.sleep(0.2)
            alive = is_alive()
        if rest:
            yield printable(rest)


def _read_on(path: Path, position: int) -> tuple[bytes, int]:
    """Read what stands behind a position; what a rotation has moved away comes first."""
    if _size(path) >= position:
        new = _read_from(path, position)
        return new, position + len(new)
    return _read_from(_rotated(path, 1), position) + (new := _read_from(path, 0)), len(new)


def _read_from(path: Path, position: int) -> bytes:
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            file.seek(position)
            return file.read()
    except UntrustedFileError as error:
        raise RuntimeFailure(
            f"cannot read the log {path}: {error.strerror}", hint="remove that path"
        ) from error
    except FileNotFoundError:
        return b""


def _last_lines(path: Path, lines: int) -> tuple[str, ...]:
    if lines <= 0:
        return ()
    start = max(0, _size(path) - _TAIL_BYTES)
    found = _read_from(path, start).split(b"\n")
    if start:
        found = found[1:]  # most likely cut in the middle
    if found and not found[-1]:
        found.pop()
    return tuple(printable(line) for line in found[-lines:])


def printable(line: bytes) -> str:
    """Turn a raw line into one a terminal may show; of a progress bar its last state stays."""
    text = line.decode(errors="replace").rstrip("\r")
    return _CONTROL.sub("", text.rpartition("\r")[2])


def _shift(path: Path) -> None:
    """Make room for a newest old log; the oldest goes."""
    for number in range(KEPT, 1, -1):
        older = _rotated(path, number - 1)
        if older.exists():
            older.replace(_rotated(path, number))


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.leaving.log")


def _turn_over(path: Path) -> None:
    _shift(path)
    _rotated(path, 1).unlink(missing_ok=True)  # a link that leads nowhere would be followed
    shutil.copy2(path, _rotated(path, 1), follow_symlinks=False)
    os.truncate(path, 0)


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
