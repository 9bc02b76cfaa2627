"""A thread that carries out calls which may never return.

NVML is a C library over a kernel driver, and some of its calls have been seen to block for ever
(``nvmlInit`` on driver 570.158.01). A call in the calling thread cannot be given up: no signal ends
it and no exception reaches it. So calls are made in a thread of their own, and whoever wants the
answer waits for it no longer than the limit. ctypes lets go of the interpreter while C code runs,
so nothing else of the program stands still.

What follows from a call that is given up:

* It still runs. Its arguments, and the structures the driver may yet write to, are held by the
  thread that runs it, not by whoever has stopped waiting.
* Nothing is known about the state of the driver, so no further call is made: it would wait behind
  the first one, and the program would hang a second time.
* The thread is a daemon, so that it never keeps the program from ending.

Ctrl-C reaches whoever waits, at once. The call itself cannot be interrupted, so the next one first
waits for it, within its limit: what cleans up never works beside a call that is still under way.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

# A signal that arrives in the instant before a wait begins does not end it; Python looks at it when
# the wait is over. So no single wait is longer than this, seconds.
LISTEN_S = 0.5


class StuckError(Exception):
    """A call did not return within its limit, now or earlier.

    Attributes:
        name: The call that did not return.
        limit_s: How long it was waited for, seconds.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        super().__init__(f"{name} did not return within {limit_s:g} s")
        self.name = name
        self.limit_s = limit_s


class _Call:
    """One call on its way: what to do, and where its outcome will be."""

    def __init__(self, name: str, job: Callable[[], Any], limit_s: float) -> None:
        self.name = name
        self.limit_s = limit_s
        self._job = job
        self._ends_s = time.monotonic() + limit_s
        self._outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def carry_out(self) -> None:
        """Do it; runs in the worker's thread."""
        try:
            self._outcome.put((self._job(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is wanted
            self._outcome.put((None, error))

    def wait(self) -> tuple[Any, BaseException | None]:
        """Return the outcome: a value, or what was raised.

        Raises:
            StuckError: There is none within what is left of the limit.
        """
        while True:
            left_s = max(0.0, self._ends_s - time.monotonic())
            try:
                return self._outcome.get(timeout=min(left_s, LISTEN_S))
            except Empty:
                if left_s <= LISTEN_S:
                    raise StuckError(self.name, self.limit_s) from None


class Worker:
    """Carries calls out one after the other, each within a limit. Owned by `NvmlCalls`.

    Threads that share it take turns. The thread starts with the first call and ends with the
    worker.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._turn = threading.Lock()
        self._unfinished: _Call | None = None
        self._stuck: StuckError | None = None
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._calls.put, None).atexit = False

    @property
    def stuck(self) -> bool:
        """True once a call has not returned: none is made any more."""
        return self._stuck is not None

    def run(self, name: str, job: Callable[[], Any], limit_s: float) -> Any:
        """Carry a call out and return its value, or raise what it raises.

        Args:
            name: What a message calls it.
            job: The call.
            limit_s: How long to wait, seconds.

        Raises:
            StuckError: It did not return in time, or an earlier one did not.
        """
        with self._turn:
            self._settle()
            call = _Call(name, job, limit_s)
            self._hand_over(call)
            value, error = self._wait_for(call)
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # else the error and this frame hold each other

    def settle(self) -> None:
        """Wait for a call that Ctrl-C has left behind, so that what it has done can be seen.

        Raises:
            StuckError: It does not return within its limit, or an earlier one did not.
        """
        with self._turn:
            self._settle()

    def _settle(self) -> None:
        if self._stuck is not None:
            raise self._stuck
        if self._unfinished is not None:
            self._wait_for(self._unfinished)

    def _hand_over(self, call: _Call) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=_carry_out_all, args=(self._calls,), name="nvml", daemon=True
            )
            self._thread.start()
        self._calls.put(call)
        self._unfinished = call

    def _wait_for(self, call: _Call) -> tuple[Any, BaseException | None]:
        try:
            outcome = call.wait()
        except StuckError as error:
            self._stuck = error
            raise
        self._unfinished = None
        return outcome


def _carry_out_all(calls: SimpleQueue[_Call | None]) -> None:
    """Run in the thread; knows the queue only, so that a worker nobody needs can go."""
    while (call := calls.get()) is not None:
        call.carry_out()
        del call  # its arguments must not live on while the next call is waited for
