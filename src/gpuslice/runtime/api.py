"""What the rest of the house may ask of the place where servers run.

One Protocol: processes, containers of a Docker engine, and both together. A runtime keeps no
books. It finds its own servers again by a marker they carry, after a crash of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from gpuslice.model.desired import DesiredDocker
from gpuslice.model.server import Launch, RunningServer


class Runtime(Protocol):
    """Start, find, stop servers and read their logs. Failures are `RuntimeFailure` errors."""

    def start(self, launch: Launch) -> RunningServer:
        """Start one process detached from us. It is alive when this returns, not yet ready.

        Raises:
            EngineMissingError: Its program is not installed.
            RuntimeFailure: It could not be started.
        """

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        """Find every live process of ours on this machine, by name; of one stack if named."""

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        """Ask it to end, wait ``grace_s`` seconds, then kill its whole group. Gone when done."""

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        """Stop several side by side: all are asked first, then all are waited for."""

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        """Read the last lines a process wrote, also after it ended; empty when there are none."""

    def follow(self, name: str) -> Iterator[str]:
        """Yield lines as the process writes them, across log rotation, until it has ended."""

    def rotate_logs(self) -> None:
        """Turn over logs that have grown too large, keeping a few old ones."""

    def fetch(
        self, images: Collection[str], engine: DesiredDocker, tell: Callable[[str], None]
    ) -> None:
        """Bring what servers are made of to this machine, before anything is touched.

        Args:
            images: Images that containers will need; none where everything is a process.
            engine: Where to, and when an image that is there is fetched again.
            tell: Takes progress in words; what it raises stops the fetching.

        Raises:
            ImageMissingError: One is not here and cannot be had.
        """

    def slices_changed(self) -> None:
        """Take note that slices have come or gone, before a server is started on one."""

    def sweep(self) -> None:
        """Remove what servers that have ended left behind, their last lines excepted."""
