"""Files that are ours alone: written whole or not at all, and never trusted from other hands.

Everything that must survive a ``kill -9`` or hold a secret goes through here. A file is written
beside its place, synced, renamed over it, and its folder is synced: a reader sees the old file or
the new one, never half of either, also after a power cut. Files are 0600 from their first byte and
the folders that are made for them 0700. A link is never followed, and a file of another user never
read: on a shared machine both are how somebody else's words would be taken for ours.

Separate and near the bottom, so that every room writes in this one way. What goes wrong is an
`OSError`; each caller says in its own words what that means.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for the other end of a pipe that stands in the file's place.
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UntrustedFileError(PermissionError):
    """What lies there is no plain file of ours; ``strerror`` says what it is instead."""

    def __init__(self, words: str, path: Path) -> None:
        super().__init__(errno.EPERM, words, str(path))


class OpenToOthersError(UntrustedFileError):
    """The file is ours, but others can read or write it."""


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; it is on disk when this returns.

    Args:
        path: The file; what is there is replaced, a link as well (not what it points to). Its
            folder is made where it is missing.
        data: What it is to hold.
        durable: False for what need not survive a power cut: nothing is synced then.

    Raises:
        OSError: The system refused; the file is as it was.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()  # left by a writer that was killed; two never write one file at a time
    with os.fdopen(os.open(beside, _NEW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    beside.replace(path)
    if durable:
        sync_folder(path.parent)


def read_private(path: Path, *, secret: bool = False) -> bytes | None:
    """Read a file that is ours; every check is made on the descriptor that is read.

    Args:
        path: The file.
        secret: Also refuse one that others can read or write.

    Returns:
        What it holds, or None where there is no file.

    Raises:
        UntrustedFileError: It is a link, no plain file, or another user's.
        OpenToOthersError: Others can use it, and it was to be secret.
        OSError: The system refused.
    """
    try:
        descriptor = os.open(path, _OLD)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UntrustedFileError("it is a link", path) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        _check_ours(os.fstat(file.fileno()), path, secret=secret)
        return file.read()


def open_own(path: Path, flags: int) -> int:
    """Open a file that stays open, such as a lock or a log; made 0600 where flags ask for one.

    Returns:
        A descriptor; the caller closes it.

    Raises:
        UntrustedFileError: It is a link, no plain file, or another user's.
        OSError: The system refused.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UntrustedFileError("it is a link", path) from error
        raise
    try:
        _check_ours(os.fstat(descriptor), path, secret=False)
        os.fchmod(descriptor, 0o600)
        os.set_blocking(descriptor, True)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_private(path: Path) -> None:
    """Remove a file, on disk when this returns; one that is not there is fine.

    Raises:
        OSError: The system refused.
    """
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, or make one that is there so.

    Raises:
        UntrustedFileError: It is a link, or belongs to somebody else.
        OSError: The system refused.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UntrustedFileError("it is a link", folder)
    if found.st_uid != os.geteuid():
        raise UntrustedFileError(f"it belongs to user {found.st_uid}", folder)
    folder.chmod(0o700)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_ours(found: os.stat_result, path: Path, *, secret: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UntrustedFileError("it is no plain file", path)
    if found.st_uid != os.geteuid():
        raise UntrustedFileError(f"it belongs to user {found.st_uid}, not to you", path)
    if secret and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        raise OpenToOthersError(f"others can use it (mode {mode:04o})", path)
