"""Faults within one process: what tests give to `gpuslice.simulator.load`.

Mutable, and apart from the values in `gpuslice.simulator.faults`: an `Injector` is owned by whoever
made it. It belongs to one session, or to several that shall be counted together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gpuslice.simulator.faults import Fault, Hang

Observer = Callable[[str, int], None]
"""Takes the name of a C function and which call it is, from 1 and over all calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A fault that has something to do at a call.

    Attributes:
        fault: The fault.
        number: Which call this is of those that concern it, from 1.
    """

    fault: Fault
    number: int


class Injector:
    """Faults that strike the calls of one process, and a record of its calls.

    A test that tries every point runs once with an empty injector, looks how many `calls` there
    were, and runs again for each of them with a fault there. `before` and `after` are called around
    every call, in the thread that makes it, and whatever they raise goes to the caller unchanged:
    raise a `BaseException` there to let the process die between any two calls.

    Args:
        faults: What goes wrong; more can be added at any time.
        before: Called when a call is made, before any fault strikes.
        after: Called when it has been answered, refused ones and failing ones included.
    """

    def __init__(
        self, *faults: Fault, before: Observer | None = None, after: Observer | None = None
    ) -> None:
        self.before = before
        self.after = after
        self.hanging = threading.Event()
        """Set once a call has begun to hang."""
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._seen: list[tuple[Fault, int]] = [(fault, 0) for fault in faults]
        self._calls: list[str] = []

    @property
    def calls(self) -> tuple[str, ...]:
        """Every call so far, by the name of its C function, in order."""
        with self._lock:
            return tuple(self._calls)

    def add(self, *faults: Fault) -> None:
        """Add faults; each counts calls from now on."""
        with self._lock:
            self._seen.extend((fault, 0) for fault in faults)

    def clear(self) -> None:
        """Take all faults away; what they did to the machine stays."""
        with self._lock:
            self._seen.clear()

    def release(self) -> None:
        """Let every call that hangs go on, and none hang any more."""
        self._released.set()

    def enter(self, call: str, gpu: int | None) -> tuple[int, tuple[Due, ...]]:
        """Count a call.

        Args:
            call: Name of the C function.
            gpu: Index of the GPU it is about, or None.

        Returns:
            Which call it is of all, and the faults that it concerns.
        """
        with self._lock:
            self._calls.append(call)
            concerned = [fault.concerns(call, gpu) for fault, _ in self._seen]
            self._seen = [
                (fault, seen + counts)
                for (fault, seen), counts in zip(self._seen, concerned, strict=True)
            ]
            due = tuple(
                Due(fault=fault, number=number)
                for (fault, number), counts in zip(self._seen, concerned, strict=True)
                if counts
            )
            return len(self._calls), due

    def hang(self, hang: Hang) -> None:
        """Keep the calling thread until `release`, or for as long as the fault says."""
        if not self._released.is_set():
            self.hanging.set()
            self._released.wait(hang.seconds)
