"""Servers that are values, which answer at once and fail on demand: for tests of whole changes.

GPUs, plans, record and journal are the shipped parts there; servers live in memory, so that a test
sees each that was started or stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from builders import the_process_of
from gpuslice.agent.reconcile import Start, Stop
from gpuslice.agent.supervisor import Supervisor
from gpuslice.model.desired import DesiredDocker
from gpuslice.model.event import Event
from gpuslice.model.server import Launch, RunningServer, ServerKey


@dataclass(slots=True)
class ServersInMemory:
    """A runtime whose processes are values. Owned by its test.

    Attributes:
        running: What runs, by name and slice.
        stopped: Names of all that were stopped, in order.
        before: Called before every start and every stop.
        after: Called after every stop.
    """

    running: dict[ServerKey, RunningServer] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    _pids: Iterator[int] = field(default_factory=lambda: count(1_000_000_000))

    def start(self, launch: Launch) -> RunningServer:
        self.before()
        assert launch.key not in self.running
        self.running[launch.key] = the_process_of(launch, pid=next(self._pids))
        return self.running[launch.key]

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        return tuple(self.running[key] for key in sorted(self.running))

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        self.before()
        del self.running[server.key]
        self.stopped.append(server.name)
        self.after()

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        for server in servers:
            self.stop(server)

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        return ()

    def follow(self, name: str) -> Iterator[str]:
        return iter(())

    def rotate_logs(self) -> None:
        """There are no logs."""

    def fetch(
        self, images: Collection[str], engine: DesiredDocker, tell: Callable[[str], None]
    ) -> None:
        """There are no images."""

    def slices_changed(self) -> None:
        """Nobody has to be told."""

    def sweep(self) -> None:
        """Nothing is left behind."""

    def pids(self) -> dict[str, int]:
        return {server.name: server.pid for server in self.running.values()}

    def named(self, name: str) -> tuple[RunningServer, ...]:
        return tuple(server for server in self.list() if server.name == name)

    def places(self) -> set[ServerKey]:
        return set(self.running)


@dataclass(slots=True)
class Fuse:
    """Burns before the n-th deed, counted from 0, whoever does it. Owned by its test."""

    burns_at: int
    error: Callable[[], BaseException]
    deeds: int = 0

    def __call__(self) -> None:
        number, self.deeds = self.deeds, self.deeds + 1
        if number == self.burns_at:
            raise self.error()


def start_missing(
    supervisor: Supervisor,
    wanted: Sequence[Launch],
    *_: object,
    leaving: Sequence[Launch] = (),
) -> None:
    """Stand for waiting until everything answers: servers in memory answer at once."""
    for action in supervisor.due((*wanted, *leaving), supervisor.look(())):
        match action:
            case Start(launch=launch):
                supervisor.node.runtime.start(launch)
            case Stop(process=process):
                supervisor.node.runtime.stop(process)


def look_after(supervisor: Supervisor) -> None:
    """Stand for a round of the agent's loop."""
    start_missing(supervisor, supervisor.wanted(supervisor.node.read_record()))


def ignore(_event: Event) -> None:
    """Nobody looks on."""
