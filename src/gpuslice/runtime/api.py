"""What the rest of the house may ask of the place where servers run.

One Protocol: processes, containers of a Docker engine, and both together. A runtime keeps no
books. It finds its own servers again by a marker they carry, after a crash of anything.

**Which server is meant.** A server is its name on its slice (`Launch.key`). While a replica moves,
its old server answers on the old slice until the new one is ready on the new slice, so two servers
of one name live side by side, with different slices, ports and configurations. A runtime has to

- start the second one: `start` refuses only a name that is alive *on that slice*;
- tell both in `list`, each with its own slice, and stop exactly the one it was given;
- where the place itself knows names that have to be unique, as Docker does, make room for the new
  one: what is told in `RunningServer.name` stays the name, whatever the container is called.

Logs go by name: while two live, `tail` and `follow` tell of the one started last. What the error
of a new server that ends shows has to be its own, however much the old one writes meanwhile.
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
            RuntimeFailure: It could not be started, or its name is alive on its slice.
        """

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        """Find every live process of ours on this machine, by name; of one stack if named."""

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        """Ask it to end, wait ``grace_s`` seconds, then kill its whole group. Gone when done.

        One of the same name on another slice goes on.
        """

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
