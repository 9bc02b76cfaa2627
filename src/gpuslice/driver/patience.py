"""How long to go on when the driver says "in use" of something that is about to be free.

Right after a process ends, its instance stays "in use" for up to a second, and the first instance
on a fresh GPU may be refused while a monitor looks at it. Separate, so that tests can replace the
sleep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from gpuslice.errors import GpuBusyError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Pauses that double up to a longest one, until their sum reaches a limit.

    Attributes:
        limit_s: Sum of all pauses, seconds.
        first_s: First pause, seconds.
        longest_s: Longest pause, seconds.
        sleep: Waits that many seconds.
    """

    limit_s: float = 5.0
    first_s: float = 0.1
    longest_s: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    def pauses(self) -> Iterator[float]:
        """Yield the pauses, seconds; the last is cut so that the sum is the limit."""
        left, pause = self.limit_s, self.first_s
        while left > 0:
            yield min(pause, left)
            left -= pause
            pause = min(2 * pause, self.longest_s)

    def retry(self, attempt: Callable[[], T]) -> T:
        """Repeat an attempt while it fails with `GpuBusyError`; the last failure is raised."""
        for pause in self.pauses():
            try:
                return attempt()
            except GpuBusyError:
                self.sleep(pause)
        return attempt()
