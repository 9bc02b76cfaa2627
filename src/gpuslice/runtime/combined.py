"""Processes and containers together: what the rest of the house takes for the one runtime.

Separate so that nobody above has to ask where a server runs. A launch that has a container goes to
the Docker engine, any other is a process; what is found carries the id of its container, or none.

An engine is asked only where a stack of this machine has containers in it. So a stack of processes
never waits for a Docker engine, and one that is down is no trouble of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from gpuslice.model.desired import DesiredDocker
from gpuslice.model.machine import Machine
from gpuslice.model.server import HandIn, Launch, RunningServer
from gpuslice.runtime.api import Runtime

if TYPE_CHECKING:
    from gpuslice.runtime.docker.runtime import DockerRuntime

InUse = Callable[[], tuple[DesiredDocker, ...]]
"""Says which engines may hold containers of this machine, that of the wanted stack first."""


class CombinedRuntime:
    """The process runtime and, for each engine in use, a Docker runtime.

    Keeps no state but who was asked before, and so need not be asked anew what it speaks.
    """

    def __init__(self, machine: Machine, processes: Runtime, in_use: InUse) -> None:
        """Take both kinds; engines are looked up anew each time."""
        self._machine = machine
        self._processes = processes
        self._in_use = in_use
        self._known: dict[str, DockerRuntime] = {}

    def start(self, launch: Launch) -> RunningServer:
        """Start one server where it belongs; see `Runtime.start`."""
        if launch.container is None:
            return self._processes.start(launch)
        return self._engines()[0].start(launch)

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        """Find every live server; see `Runtime.list`.

        Raises:
            DockerUnavailableError: Servers may be in an engine that does not answer.
        """
        containers = (server for engine in self._engines() for server in engine.list(stack))
        return (*self._processes.list(stack), *containers)

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        """Ask it to end, then make it; see `Runtime.stop`."""
        self.stop_all((server,), grace_s=grace_s)

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        """Stop several side by side; see `Runtime.stop_all`."""
        self._processes.stop_all(tuple(s for s in servers if not s.container), grace_s=grace_s)
        containers = tuple(s for s in servers if s.container)
        for engine in self._engines() if containers else ():
            engine.stop_all(containers, grace_s=grace_s)

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        """Read the last lines a server wrote; see `Runtime.tail`."""
        holder = self._holder_of(name)
        return holder.tail(name, lines=lines)

    def follow(self, name: str) -> Iterator[str]:
        """Yield lines as a server writes them; see `Runtime.follow`."""
        return self._holder_of(name).follow(name)

    def rotate_logs(self) -> None:
        """Turn logs over that have grown; engines do so themselves."""
        self._processes.rotate_logs()

    def fetch(
        self, images: Collection[str], engine: DesiredDocker, tell: Callable[[str], None]
    ) -> None:
        """Bring images to an engine; see `Runtime.fetch`."""
        if images:
            self._engine(engine.host).fetch(images, engine, tell)

    def slices_changed(self) -> None:
        """Tell the engines that go by CDI; see `Runtime.slices_changed`."""
        for used in self._in_use():
            if used.hand_in is HandIn.CDI:
                self._engine(used.host).slices_changed()

    def sweep(self) -> None:
        """Remove containers that have ended; see `Runtime.sweep`."""
        for engine in self._engines():
            engine.sweep()

    def _engines(self) -> tuple[DockerRuntime, ...]:
        hosts = dict.fromkeys(used.host for used in self._in_use())
        return tuple(map(self._engine, hosts))

    def _engine(self, host: str) -> DockerRuntime:
        # Imported where there is a container to ask for, for most commands have none.
        from gpuslice.runtime.docker.runtime import DockerRuntime  # noqa: PLC0415 - see above

        if host not in self._known:
            self._known[host] = DockerRuntime(self._machine, host=host)
        return self._known[host]

    def _holder_of(self, name: str) -> Runtime:
        """Find who has the log of a server: the engine with its container, else our own files."""
        if name == self._machine.agent_log.stem:  # read when an engine is down, to see why
            return self._processes
        for engine in self._engines():
            if engine.has(name):
                return engine
        return self._processes
