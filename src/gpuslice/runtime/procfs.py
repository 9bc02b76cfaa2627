"""Processes as Linux shows them in ``/proc``: read directly, nothing cached.

Separate because finding our servers has to take milliseconds (every command does it), and because
reading ``/proc`` is full of races: a process may end between any two lines. Each function answers
for a process that has gone as it would for one that never was.

Source: proc_pid_stat(5), proc_pid_environ(5).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

_PROC = "/proc"
# Fields of /proc/PID/stat, counted behind the command's closing parenthesis.
_STATE, _SESSION, _FLAGS, _THREADS, _START_TICKS = 0, 3, 6, 17, 19
_KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD, linux/sched.h

_EXEC_LOOKS = 50
_EXEC_PAUSE_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """One process for good: a pid may be given out again, a pid with its start time is not.

    Attributes:
        pid: Process id.
        start_ticks: Clock ticks from boot to its start.
        session: Session it belongs to; equals ``pid`` for the leader.
    """

    pid: int
    start_ticks: int
    session: int


def list_pids() -> Iterator[int]:
    """Yield every pid that exists now."""
    for entry in os.listdir(_PROC):  # noqa: PTH208 - Path objects for every pid cost 3 times this
        if entry.isdecimal():
            yield int(entry)


def identify(pid: int) -> ProcessId | None:
    """Read who a pid is; None when it has ended, also when nobody has reaped it yet.

    A first thread that has ended while others live on is not the end: the memory is still held.
    """
    fields = _stat_fields(pid)
    if not fields or (fields[_STATE] in "ZX" and int(fields[_THREADS]) <= 1):
        return None
    return ProcessId(pid=pid, start_ticks=int(fields[_START_TICKS]), session=int(fields[_SESSION]))


def is_alive(process: ProcessId) -> bool:
    """Tell whether that very process still runs."""
    now = identify(process.pid)
    return now is not None and now.start_ticks == process.start_ticks


def read_environment(pid: int, *, having: str) -> dict[str, str] | None:
    """Read the environment a process was started with.

    Args:
        pid: Process id.
        having: Variable that has to be there. Only then is the rest looked at, which makes the
            search over all processes cheap.

    Returns:
        The variables, or None when the process has gone, is another user's or lacks the variable.
    """
    raw = _read_bytes(pid, "environ") or _read_after_exec(pid)
    if f"{having}=".encode() not in raw:
        return None
    pairs = (entry.partition("=") for entry in os.fsdecode(raw).split("\0") if entry)
    return {name: value for name, _, value in pairs}


def read_command(pid: int) -> str:
    """Read the command line of a process; "" when it cannot be read."""
    return _read_bytes(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def send_signal(process: ProcessId, signal_number: signal.Signals) -> None:
    """Signal that very process; nothing happens when it has ended meanwhile.

    The pidfd is opened first and the identity checked second, so a pid that was given out again
    can never receive the signal.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(process):
            signal.pidfd_send_signal(descriptor, signal_number)
    except ProcessLookupError:
        pass  # it ended between the check and the signal, which is what was wanted
    except PermissionError:
        pass  # it became another user's; whoever waits for it to end will say so
    finally:
        os.close(descriptor)


def _read_bytes(pid: int, name: str) -> bytes:
    try:
        with open(f"{_PROC}/{pid}/{name}", "rb") as file:  # noqa: PTH123 - hot path, see list_pids
            return file.read()
    except OSError:
        return b""


def _read_after_exec(pid: int) -> bytes:
    """Read an environment that was empty a moment ago.

    In the middle of ``execve`` a process shows neither environment nor command line. It would look
    like a server that has ended, so it is looked at again until it shows one of them. Processes
    that never do (kernel threads, zombies, other users') are told apart first.
    """
    for _ in range(_EXEC_LOOKS):
        if not _is_readable_program(pid):
            return b""
        if _read_bytes(pid, "cmdline"):
            break
        time.sleep(_EXEC_PAUSE_S)
    return _read_bytes(pid, "environ")


def _is_readable_program(pid: int) -> bool:
    fields = _stat_fields(pid)
    if not fields or fields[_STATE] in "ZX" or int(fields[_FLAGS]) & _KERNEL_THREAD:
        return False
    return os.access(f"{_PROC}/{pid}/environ", os.R_OK)


def _stat_fields(pid: int) -> list[str]:
    return _read_bytes(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
