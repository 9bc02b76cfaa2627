"""HiGHS as it is wanted here: silent, on one thread, equal each time, and left when it overruns.

Separate because every program of this room is solved with it, whatever it means. One thread: equal
programs then have equal solutions, and threads would only cost time here.

**When it overruns.** HiGHS 1.16 looks at its time limit between parts of its work, and some parts
have no end in sight: rounding along a line took half a minute of a program of 20,000 columns that
had three seconds left. So each solve runs in a thread of its own, which is left to itself when it
is well past its limit, or when Ctrl-C is pressed (HiGHS lets other threads run meanwhile). Such a
solver belongs to that thread from then on; nobody else may touch it. A program that ends while one
still works waits for it, since Python 3.11 to 3.13 abort when C++ comes back to an interpreter that
is being taken down; who cannot wait asks `still_running` and ends without taking it down.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from math import inf

import highspy

Run = Callable[[highspy.Highs], object]
"""What lets a solver run; another one is passed only to see what happens when it fails."""

_OPTIONS = (("output_flag", False), ("threads", 1), ("random_seed", 0))

_GRACE, _LEAST_GRACE_S = 0.1, 1.0
"""How far past its limit a solver may be before it is left: the share of the limit, and at least so
much, seconds."""


_left: list[threading.Event] = []
"""One for each solver that was left, set when it ends; owned by this module."""


class OverrunError(Exception):
    """A solver went on past its limit and was left; it may not be touched any more."""


class _Silent(highspy.Highs):  # type: ignore[misc] # highspy ships no types
    """A solver that says nothing from its first moment on.

    highspy 1.16 greets on standard output as soon as callbacks are enabled, which its constructor
    does before anybody can set an option, and a greeting would spoil ``--json``.
    """

    def enableCallbacks(self) -> None:  # noqa: N802 - the name is highspy's
        """Silence the solver, then do as highspy does."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()


def silent_solver() -> highspy.Highs:
    """Set a solver up: silent, on one thread, with the same random numbers each time."""
    solver = _Silent()
    for option, value in _OPTIONS:
        solver.setOptionValue(option, value)
    return solver


def run_within(solver: highspy.Highs, limit_s: float = inf, run: Run = highspy.Highs.run) -> float:
    """Let a solver run within a limit.

    Args:
        solver: The solver.
        limit_s: How long it may take, seconds.
        run: What lets it run.

    Returns:
        What it took by its own clock, seconds.

    Raises:
        OverrunError: It was left when it was well past the limit.
        Exception: Whatever ``run`` raised.
    """
    before_s: float = solver.getRunTime()
    # HiGHS holds the limit against the run time of all runs of one solver together.
    solver.setOptionValue("time_limit", before_s + limit_s)
    raised: list[BaseException] = []
    ended = threading.Event()  # Thread.join takes a thread for ended when Ctrl-C interrupts it

    def work() -> None:
        try:
            run(solver)
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        ended.wait(None if limit_s == inf else limit_s + max(_LEAST_GRACE_S, _GRACE * limit_s))
    finally:
        if not ended.is_set():
            _leave(ended)
    if not ended.is_set():
        raise OverrunError(f"it went on past its limit of {limit_s:.3g} s, and was left")
    if raised:
        raise raised[0]
    after_s: float = solver.getRunTime()
    return after_s - before_s


def still_running() -> bool:
    """Tell whether a solver that was left still works."""
    return not all(ended.is_set() for ended in _left)


def _leave(ended: threading.Event) -> None:
    if not _left:
        atexit.register(_wait_for_left)
    _left.append(ended)


def _wait_for_left() -> None:
    for ended in _left:
        ended.wait()
