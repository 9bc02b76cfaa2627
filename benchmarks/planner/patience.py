"""An end to waiting: a planner that does not answer costs one row, not the run.

Separate because it is the one place of the suite that touches signals. A solver in the middle of
its own code is only interrupted when it comes back from it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def patience(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in what is done here when it takes longer; None waits for ever.

    Only for the main thread, and not inside another wait for SIGALRM.
    """
    if seconds is None:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
