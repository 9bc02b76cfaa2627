"""Which processes have a GPU's device file open: clients that NVML does not list.

NVML lists programs that compute or draw. A monitor, a daemon or a debugger holds the GPU as well
and is not among them, so where a refusal has to be explained, every process's open files are looked
through. Bounded: a machine with very many processes gets a partial answer, and is told so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LIMIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFiles:
    """What was found, and what could not be looked at.

    Attributes:
        pids: Processes that have one of the files open, by pid.
        hidden: How many processes did not show their files.
        complete: False when the time was up first.
    """

    pids: tuple[int, ...]
    hidden: int = 0
    complete: bool = True


def find_openers(
    files: Collection[str],
    *,
    proc: Path = PROC,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> OpenFiles:
    """Find the processes that have one of some files open; this one does not count.

    Args:
        files: Absolute paths, such as ``/dev/nvidia0``.
        proc: Where processes are listed.
        limit_s: How long the search may take, seconds.
        clock: Monotonic time, seconds.
    """
    ends_s = clock() + limit_s
    pids: list[int] = []
    hidden = 0
    for pid in _pids(proc):
        if clock() >= ends_s:
            return OpenFiles(pids=tuple(sorted(pids)), hidden=hidden, complete=False)
        opened = _has_open(proc / str(pid) / "fd", files)
        hidden += opened is None
        if opened:
            pids.append(pid)
    return OpenFiles(pids=tuple(sorted(pids)), hidden=hidden)


def _pids(proc: Path) -> Iterator[int]:
    with os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isascii() and entry.name.isdecimal() and int(entry.name) != os.getpid():
                yield int(entry.name)


def _has_open(folder: Path, files: Collection[str]) -> bool | None:
    """Tell whether one of the files is among a process's; None where it does not show them."""
    try:
        with os.scandir(folder) as entries:
            return any(_target(entry.path) in files for entry in entries)
    except PermissionError:
        return None
    except OSError:
        return False  # it has ended meanwhile


def _target(link: str) -> str:
    try:
        return str(Path(link).readlink())
    except OSError:
        return ""
