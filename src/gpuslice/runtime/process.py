"""Servers as processes of this machine: the first runtime behind `gpuslice.runtime.api.Runtime`.

Separate from what it is made of (finding, starting, logs), which it puts into an order that holds
under trouble:

- Every server runs in a session of its own, so it outlives whoever started it.
- It is found again by the marker in its environment; nothing is written down.
- Stopping ends every process of the server: its group, and stragglers that left the group.
- A pid alone is never trusted: each signal goes to a pid with the start time it had when found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator

from gpuslice.errors import RuntimeFailure
from gpuslice.model.desired import DesiredDocker
from gpuslice.model.machine import Machine
from gpuslice.model.server import Launch, RunningServer, ServerKey
from gpuslice.runtime.clock import Clock
from gpuslice.runtime.finding import find_groups
from gpuslice.runtime.logs import Logs
from gpuslice.runtime.markers import marker_of, write_marker
from gpuslice.runtime.procfs import ProcessId, is_alive, send_signal
from gpuslice.runtime.starting import inherited_environment, spawn

# How long the kernel may take to end what was killed; longer means a process stuck in a driver.
_KILL_S = 10.0

# Which lives of which servers are meant: one may have been started again meanwhile.
Lives = frozenset[tuple[ServerKey, float]]


class ProcessRuntime:
    """Starts, finds and stops the servers of one machine.

    Owned by whoever made it. The only state it has is the list of its own children, which exists
    so that they can be reaped.
    """

    def __init__(self, machine: Machine, *, clock: Clock | None = None) -> None:
        """Take the machine whose servers these are; a clock only in tests."""
        self._root = machine.root.resolve()  # one spelling, whatever links lead to it
        self._clock = clock or Clock()
        self._logs = Logs(folder=machine.log_dir, clock=self._clock)
        self._children: list[int] = []

    def start(self, launch: Launch) -> RunningServer:
        """Start one process detached from us; see `Runtime.start`."""
        namesakes = self._named(launch.name)
        for alive in namesakes:
            if alive.key == launch.key:
                raise RuntimeFailure(
                    f"{launch.name} is running already, pid {alive.pid}", hint="stop it first"
                )
        if namesakes:
            self._logs.set_aside(launch.name)
        marker = marker_of(launch, started_at=self._clock.now())
        environment = inherited_environment(os.environ)
        environment |= dict(launch.environment) | write_marker(marker, self._root)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._logs.open_for_append(launch.name)
        try:
            pid = spawn(
                launch,
                environment=environment,
                log=log,
                folder=self._root,
                now=marker.started_at,
            )
        finally:
            os.close(log)
        self._children.append(pid)
        return marker.identity.running(pid=pid, started_at=marker.started_at)

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        """Find every live process of ours; see `Runtime.list`."""
        groups = find_groups(self._root)
        self._reap()
        servers = {group.server.key: group.server for group in groups}
        return tuple(s for s in servers.values() if stack is None or s.stack == stack)

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        """Ask it to end, then make it; see `Runtime.stop`."""
        self.stop_all((server,), grace_s=grace_s)

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        """Stop several side by side; see `Runtime.stop_all`.

        Raises:
            RuntimeFailure: Something outlives being killed, as a process stuck in a driver does.
        """
        lives = frozenset((server.key, server.started_at) for server in servers)
        asked = self._signal(lives, signal.SIGTERM)
        if not self._wait_gone(lives, asked, timeout_s=grace_s):
            self._kill(lives, asked)
        for server in servers:
            self._sort_logs(server)

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        """Read the last lines a process wrote; see `Runtime.tail`."""
        return self._logs.tail(name, lines=lines)

    def follow(self, name: str) -> Iterator[str]:
        """Yield lines as the process writes them; see `Runtime.follow`."""
        return self._logs.follow(name, lambda: bool(self._named(name)))

    def rotate_logs(self) -> None:
        """Turn over logs that have grown too large; see `Runtime.rotate_logs`."""
        self._logs.rotate()

    def fetch(
        self, images: Collection[str], engine: DesiredDocker, tell: Callable[[str], None]
    ) -> None:
        """Nothing to do: programs are installed by their users; see `Runtime.fetch`."""

    def slices_changed(self) -> None:
        """Nothing to do: a process names its slice itself; see `Runtime.slices_changed`."""

    def sweep(self) -> None:
        """Nothing to do: the kernel sweeps; see `Runtime.sweep`."""

    def _named(self, name: str) -> tuple[RunningServer, ...]:
        return tuple(server for server in self.list() if server.name == name)

    def _sort_logs(self, gone: RunningServer) -> None:
        """Leave one log where two servers of one name had two."""
        if not self._logs.has_set_aside(gone.name):
            return
        if any(server.started_at < gone.started_at for server in self._named(gone.name)):
            self._logs.take_back(gone.name)
        else:
            self._logs.put_away(gone.name)

    def _wait_gone(self, lives: Lives, known: set[ProcessId], *, timeout_s: float) -> bool:
        return any(not self._left(lives, known) for _ in self._clock.until(timeout_s))

    def _kill(self, lives: Lives, known: set[ProcessId]) -> None:
        """Kill until nothing is left; again and again, to reach what was forked meanwhile."""
        for _ in self._clock.until(_KILL_S):
            known |= self._signal(lives, signal.SIGKILL)
            left = self._left(lives, known)
            if not left:
                return
        pids = [str(process.pid) for process in left]
        raise RuntimeFailure(
            f"processes {', '.join(pids)} outlive being killed",
            hint=f"look at their state: ps -o pid,stat,wchan,cmd -p {','.join(pids)}",
        )

    def _signal(self, lives: Lives, number: signal.Signals) -> set[ProcessId]:
        members = self._members(lives)
        for process in members:
            send_signal(process, number)
        return members

    def _left(self, lives: Lives, known: set[ProcessId]) -> set[ProcessId]:
        """What still lives, in the marker's view or, while it is being torn down, the kernel's."""
        left = self._members(lives) | {process for process in known if is_alive(process)}
        self._reap()
        return left

    def _members(self, lives: Lives) -> set[ProcessId]:
        groups = find_groups(self._root)
        ours = (g for g in groups if (g.server.key, g.marker.started_at) in lives)
        return {process for group in ours for process in group.members}

    def _reap(self) -> None:
        self._children = [pid for pid in self._children if not _reaped(pid)]


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
