"""What the agent's loop says of failures that last: once when they begin, not once a second.

Separate because two loops complain, the daemon's of a round and the supervisor's of an action, and
because a Docker engine that is down for a night would fill the log with one sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gpuslice.errors import GpusliceError


class Complaints:
    """Tells a log what fails in each round. Owned by whoever makes the rounds."""

    def __init__(self, log: logging.Logger, *, end: str = "") -> None:
        """Take the log that is told, and what it is told when all goes well again, if anything."""
        self._log = log
        self._end = end
        self._last: frozenset[str] = frozenset()

    def tell(self, errors: Iterable[GpusliceError]) -> None:
        """Warn of what failed in this round and did not fail alike in the one before.

        Args:
            errors: Everything that failed, nothing where all went well.
        """
        now = tuple(dict.fromkeys(map(_words, errors)))
        for text in now:
            if text not in self._last:
                self._log.warning("%s", text)
        if self._last and not now and self._end:
            self._log.info(self._end)
        self._last = frozenset(now)


def _words(error: GpusliceError) -> str:
    return f"{error.code}: {error.message}" + (f" ({error.hint})" if error.hint else "")
