"""Time as the runtime uses it, so that tests can drive it.

Separate because waiting is the only impure thing in otherwise decidable loops.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The three ways of looking at time.

    Attributes:
        now: Unix time, seconds.
        elapsed: Seconds from some fixed moment; never goes back.
        sleep: Wait that many seconds.
    """

    now: Callable[[], float] = time.time
    elapsed: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def until(
        self, timeout_s: float, *, first_s: float = 0.01, most_s: float = 0.2
    ) -> Iterator[None]:
        """Yield at growing intervals until the time is over; once at least.

        Args:
            timeout_s: How long to go on, seconds.
            first_s: First pause, seconds; each next one is half as long again.
            most_s: Longest pause, seconds.
        """
        deadline = self.elapsed() + timeout_s
        pause_s = first_s
        while True:
            yield
            left_s = deadline - self.elapsed()
            if left_s <= 0:
                return
            self.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, most_s)
