"""What a Docker engine leaves behind, found by its folder and removed.

Separate because it must not depend on how the engine ended: the same lines tidy up after an engine
that was stopped in order, one whose daemon crashed, and one whose owner was killed last week.

Everything of a private engine leads back to its folder. Programs have it in their command lines,
mounts lie below it, and containers are in a control group of the folder's name. The owner holds a
lock in the folder for as long as it lives, so a folder whose lock is free belongs to nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PREFIX = "gpuslice-docker-"
_LOCK = "owner.lock"
_CGROUPS = Path("/sys/fs/cgroup")
_PROGRAMS = ("containerd", "dockerd", "docker-proxy", "runc")  # the first with its shims
_LIMIT_S = 20.0


def create_folder(base: Path) -> tuple[Path, int]:
    """Make a folder for an engine and lock it as ours.

    Returns:
        The folder and the descriptor whose lock says that we live.
    """
    # Locked before it has the name that `remove_abandoned` looks for.
    made = Path(tempfile.mkdtemp(prefix=".new-" + PREFIX, dir=base))
    lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    folder = made.with_name(made.name.removeprefix(".new-"))
    made.rename(folder)
    return folder, lock


def remove_abandoned(bases: Iterable[Path]) -> None:
    """Remove the engines whose owners have died."""
    for base in bases:
        for folder in base.glob(f"{PREFIX}*"):
            if _is_ours(folder) and _is_abandoned(folder):
                remove(folder)


def remove(folder: Path) -> None:
    """End all processes of an engine, undo its mounts, and delete its folder.

    Raises:
        TimeoutError: A process does not end although it was killed, a mount stays, or the folder
            cannot be deleted. Nothing is deleted while a mount stays: it may lead elsewhere.
    """
    _repeat_until(lambda: not _kill(_processes(folder)), f"the processes of {folder} do not end")
    _repeat_until(lambda: not _unmount(_mounts(folder)), f"mounts stay below {folder}")
    _repeat_until(lambda: _delete(folder), f"{folder} cannot be deleted")
    for group in _groups(folder):
        for inner in sorted(group.glob("**/"), reverse=True):
            with suppress(OSError):
                inner.rmdir()


def _is_ours(folder: Path) -> bool:
    return not folder.is_symlink() and folder.stat().st_uid == os.geteuid()


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # a removal that was cut short
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        return False
    finally:
        os.close(lock)
    return True


def _processes(folder: Path) -> set[int]:
    programs = {pid for pid in _pids() if _belongs(_command_line(pid), folder)}
    inside = {
        int(line)
        for group in _groups(folder)
        for members in group.glob("**/cgroup.procs")
        for line in _read(members).split()
    }
    return programs | inside


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _command_line(pid: int) -> list[str]:
    return _read(Path(f"/proc/{pid}/cmdline")).split("\0")


def _belongs(command: list[str], folder: Path) -> bool:
    """Tell a program of the engine; a client that was given its address is none."""
    program = Path(command[0]).name
    return program.startswith(_PROGRAMS) and any(f"{folder}/" in word for word in command[1:])


def _kill(pids: set[int]) -> set[int]:
    """Kill processes; return those that were still there."""
    there = set()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            there.add(pid)
    return there


def _groups(folder: Path) -> list[Path]:
    """The engine's control groups: one in each hierarchy of version 1, one in version 2."""
    return [*_CGROUPS.glob(folder.name), *_CGROUPS.glob(f"*/{folder.name}")]


def _mounts(folder: Path) -> list[str]:
    lines = _read(Path("/proc/self/mounts")).splitlines()
    places = (line.split()[1].replace(r"\040", " ") for line in lines)
    return [place for place in places if place.startswith(f"{folder}/")]


def _unmount(places: list[str]) -> list[str]:
    """Undo mounts, the innermost first; return those that were still there."""
    for place in sorted(places, reverse=True):
        subprocess.run(("umount", "--lazy", place), check=False, capture_output=True)
    return places


def _delete(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def _repeat_until(done: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.02)
