"""Which real processes use a simulated GPU, read from ``/proc``.

A process belongs to the devices that its environment names, as with CUDA: the UUID of a MIG device
or of a GPU as an element of ``CUDA_VISIBLE_DEVICES`` or ``NVIDIA_VISIBLE_DEVICES``. Its resident
memory and CPU time stand for GPU memory and work, so that what is shown is measured and moves.

``/proc`` is read directly, because one pass over it happens on every memory query. Processes whose
environment may not be read, and zombies, whose environment is empty, belong to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_VARIABLES = (b"CUDA_VISIBLE_DEVICES=", b"NVIDIA_VISIBLE_DEVICES=")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundProcess:
    """A live process that names GPUs or MIG devices.

    Attributes:
        pid: Process id.
        devices: The elements of its visible-devices variables.
        resident_bytes: Memory it occupies, bytes.
        cpu_s: CPU time it has used, seconds.
    """

    pid: int
    devices: frozenset[str]
    resident_bytes: int
    cpu_s: float


def bound_processes(proc: Path = PROC) -> tuple[BoundProcess, ...]:
    """List the processes that name a device, by pid.

    Args:
        proc: Where procfs is mounted.
    """
    return tuple(sorted(_bound_in(proc), key=lambda process: process.pid))


def process_name(pid: int, proc: Path = PROC) -> str:
    """Return the program a process runs, as NVML does: its first argument.

    Raises:
        ProcessLookupError: There is no such process.
        PermissionError: It may not be looked at.
    """
    try:
        command = (proc / str(pid) / "cmdline").read_bytes()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    return os.fsdecode(command.split(b"\0", 1)[0])


def _bound_in(proc: Path) -> Iterator[BoundProcess]:
    for entry in os.scandir(proc):
        if entry.name.isdecimal():
            try:
                found = _read(entry.path, int(entry.name))
            except OSError:  # it ended meanwhile, or is another user's
                continue
            if found is not None:
                yield found


def _read(folder: str, pid: int) -> BoundProcess | None:
    devices = _devices_named_in(_bytes_of(f"{folder}/environ"))
    if not devices:
        return None
    pages = int(_bytes_of(f"{folder}/statm").split()[1])
    # The command name before it may hold blanks and parentheses; fields count from behind it.
    fields = _bytes_of(f"{folder}/stat").rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return BoundProcess(
        pid=pid,
        devices=devices,
        resident_bytes=pages * _PAGE_BYTES,
        cpu_s=ticks / _TICKS_PER_S,
    )


def _bytes_of(path: str) -> bytes:
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - hundreds of them per query
        return stream.readall() or b""


def _devices_named_in(environment: bytes) -> frozenset[str]:
    if b"VISIBLE_DEVICES=" not in environment:
        return frozenset()
    named = [
        os.fsdecode(element).strip()
        for variable in environment.split(b"\0")
        if variable.startswith(_VARIABLES)
        for element in variable.partition(b"=")[2].split(b",")
    ]
    return frozenset(element for element in named if element)
