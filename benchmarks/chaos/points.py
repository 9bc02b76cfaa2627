"""Every point at which a change can go wrong, counted out from one run in which nothing does.

The undisturbed run tells how many calls of NVML and writes to disk there
are; each of them, with each error that this very function may answer, for each length of time, is a
point, and so is a death before and after each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import GPU_RESET, Fail, Fault, Hold, LoseGpu
from gpuslice.simulator.possible_errors import possible_errors

A_WHILE = 3
"""How many calls of a function in a row fail "for a while"."""

CHANGING = (
    "nvmlDeviceSetMigMode",
    "nvmlDeviceCreateGpuInstance",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
    GPU_RESET,
)
"""How the names begin of the functions that change a machine."""


class Kind(StrEnum):
    """What goes wrong."""

    ERROR = "error"  # a call answers with an error
    LATE = "late"  # a call is carried out, and then answers with an error
    KILL = "kill"  # the process dies between two calls
    WRITE = "write"  # the process dies at a write to disk
    UNDOING = "undoing"  # a call fails, and the process dies while it undoes
    REBOOT = "reboot"  # the machine restarts between two calls
    LOST = "lost"  # a GPU falls off the bus
    CLIENT = "client"  # a stranger turns up on a GPU or a slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that goes wrong, somewhere.

    Attributes:
        kind: What.
        number: Which call of all, or which write, from 1.
        fault: What the simulator is told to do, where it is that.
        dies_at: The call before which the process dies, for one that dies while it undoes.
        afterwards: Whether the write at which it dies is still made.
    """

    kind: Kind
    number: int
    fault: Fault | None = None
    dies_at: int | None = None
    afterwards: bool = False

    def __str__(self) -> str:
        """Name it so that it can be found again."""
        parts = [f"{self.kind} at {self.number}"]
        if self.fault is not None:
            parts.append(_words(self.fault))
        if self.dies_at is not None:
            parts.append(f"dies at {self.dies_at}")
        if self.afterwards:
            parts.append("afterwards")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What an undisturbed run consists of.

    Attributes:
        calls: Every call, by name.
        writes: How many writes there were.
        held: Places at which a stranger may turn up: (GPU, first memory slice or None for all).
    """

    calls: tuple[str, ...]
    writes: int
    held: tuple[tuple[int, int | None], ...]

    def changes(self) -> Iterator[tuple[int, str]]:
        """Yield the calls that change something, with their numbers."""
        for number, call in enumerate(self.calls, start=1):
            if call.startswith(CHANGING):
                yield number, call

    def nth(self, number: int) -> int:
        """Say which of its function a call is, from 1."""
        return self.calls[:number].count(self.calls[number - 1])


def points(run: Run) -> Iterator[Point]:
    """Yield every point but those that need a run of their own (`undoing_points`)."""
    yield from _errors(run)
    yield from _deaths(run)
    yield from _events(run)


def failures(run: Run) -> Iterator[Point]:
    """Yield one failure of each changing call, for what happens while it is undone."""
    for number, call in run.changes():
        fault = Fault(effect=Fail(Code.UNKNOWN), call=call, at=run.nth(number))
        yield Point(kind=Kind.UNDOING, number=number, fault=fault)


def undoing_points(failure: Point, calls: int) -> Iterator[Point]:
    """Yield a death before each call that follows a failure.

    Args:
        failure: From `failures`.
        calls: How many calls there were in all when nobody died.
    """
    for dies_at in range(failure.number + 1, calls + 1):
        yield Point(kind=Kind.UNDOING, number=failure.number, fault=failure.fault, dies_at=dies_at)


def _errors(run: Run) -> Iterator[Point]:
    for number, call in enumerate(run.calls, start=1):
        at = run.nth(number)
        for code in possible_errors(call):
            for times in (1, A_WHILE, None):
                fault = Fault(effect=Fail(code), call=call, at=at, times=times)
                yield Point(kind=Kind.ERROR, number=number, fault=fault)
    for number, call in run.changes():
        for code in possible_errors(call):
            fault = Fault(effect=Fail(code, after=True), call=call, at=run.nth(number))
            yield Point(kind=Kind.LATE, number=number, fault=fault)


def _deaths(run: Run) -> Iterator[Point]:
    for number in range(1, len(run.calls) + 1):
        yield Point(kind=Kind.KILL, number=number)
        yield Point(kind=Kind.REBOOT, number=number)
    for number in range(1, run.writes + 1):
        for afterwards in (False, True):
            yield Point(kind=Kind.WRITE, number=number, afterwards=afterwards)


def _events(run: Run) -> Iterator[Point]:
    gpus = sorted({gpu for gpu, _ in run.held})
    for number in range(1, len(run.calls) + 1):
        for gpu in gpus:
            fault = Fault(effect=LoseGpu(gpu), at=number)
            yield Point(kind=Kind.LOST, number=number, fault=fault)
    for number, _ in run.changes():
        for gpu, start in run.held:
            for times in (1, A_WHILE, None):
                fault = Fault(effect=Hold(gpu, start), at=number, times=times)
                yield Point(kind=Kind.CLIENT, number=number, fault=fault)


def _words(fault: Fault) -> str:
    times = {1: "once", None: "for ever"}.get(fault.times, f"{fault.times} times")
    match fault.effect:
        case Fail(code=code):
            return f"{fault.call} number {fault.at} answers {code.name} {times}"
        case LoseGpu(gpu=gpu):
            return f"GPU {gpu} is lost"
        case Hold(gpu=gpu, start=start):
            where = "" if start is None else f" at {start}"
            return f"a stranger is on GPU {gpu}{where} {times}"
        case _:
            return str(fault)
