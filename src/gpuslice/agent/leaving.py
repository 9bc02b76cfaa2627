"""Let servers go without cutting off anybody: out of the gateway, to the end of requests, stopped.

Separate from the changes because every way in which a server leaves goes through here: it has
moved, it makes room for another, nobody wants it any more, or a change that failed is undone.

*How.* smg sends nothing new to a server from the moment its removal is asked for, and lets running
requests end. For about 5 seconds it goes on listing it with the number of those requests; after
that only the server itself knows, if its engine counts them. A server of which nobody knows whether
it still works is given all the time there is.

Source: answers observed from smg 1.13.0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import GatewayError, RecordError
from gpuslice.gateway.client import Worker
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.server import Launch, RunningServer
from gpuslice.monitor.collect import fetch
from gpuslice.monitor.samples import parse_server

log = logging.getLogger(__name__)

DRAIN_S = 30.0
"""How long running requests may take to end before their server is stopped all the same."""
LOOK_EVERY_S = 0.2

_QUIET_LOOKS = 2  # a request that was just passed on may not be counted yet


def retire(
    supervisor: Supervisor,
    launches: Sequence[Launch],
    report: Report,
    check: Callable[[], None],
) -> None:
    """Let the servers of some launches end their work, and stop them; side by side.

    Args:
        supervisor: The machine.
        launches: Whose servers go; those that do not run are passed over.
        report: Where progress goes.
        check: Raises to stop the waiting; then all of them still run.

    Raises:
        RuntimeFailure: One of them outlives being killed.
    """
    keys = {launch.key for launch in launches}
    running = tuple(p for p in supervisor.node.runtime.list() if p.key in keys)
    if not running:
        return
    alive = {process.key for process in running}
    _drain(supervisor, [launch for launch in launches if launch.key in alive], report, check)
    stop(supervisor, running, report)


def stop(supervisor: Supervisor, processes: Sequence[RunningServer], report: Report) -> None:
    """Stop processes without waiting for their work; side by side.

    Raises:
        RuntimeFailure: One of them outlives being killed.
    """
    if processes:
        names = ", ".join(process.name for process in processes)
        report(Event(kind=EventKind.STEP, text=f"stop {names}"))
        supervisor.node.runtime.stop_all(tuple(processes))


def _drain(
    supervisor: Supervisor,
    launches: Sequence[Launch],
    report: Report,
    check: Callable[[], None],
) -> None:
    """Take servers out of the gateway and wait for their requests, `DRAIN_S` at most.

    A gateway that cannot be asked sends nobody to them either, so nothing is waited for then.
    """
    urls = {launch.url for launch in launches}
    try:
        listed = [worker for worker in supervisor.gateway.workers() if worker.url in urls]
        if not listed:
            return
        names = ", ".join(launch.name for launch in launches)
        text = f"the gateway sends nothing more to {names}; waiting for running requests"
        report(Event(kind=EventKind.STEP, text=text))
        for worker in listed:
            supervisor.gateway.unregister(worker.id)
        work = [_Work(launch=launch) for launch in launches]
        for _ in _looks():
            check()
            workers = {worker.url: worker for worker in supervisor.gateway.workers()}
            for one in work:
                one.look(workers.get(one.launch.url))
            if all(one.done for one in work):
                return
    except (GatewayError, RecordError) as error:
        log.warning("nobody could be let finish: %s", error.message)
        return
    late = ", ".join(one.launch.name for one in work if not one.done)
    text = f"{late} may still have had requests after {DRAIN_S:.0f} s"
    report(Event(kind=EventKind.NOTE, text=text))


def _looks() -> Iterator[None]:
    """Come back every now and then, until the time is up."""
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        yield
        time.sleep(LOOK_EVERY_S)


def requests_running(launch: Launch) -> int | None:
    """Ask a server how many requests it answers now; None when it does not tell."""
    if not launch.metrics_path or launch.replica is None:
        return None
    text = fetch(f"{launch.url}{launch.metrics_path}")
    try:
        sample = text and parse_server(text, launch.metrics, replica=launch.replica, at_s=0.0)
    except ValueError:
        return None
    return sample.requests_running if sample else None


@dataclass(slots=True, kw_only=True)
class _Work:
    """What one server still has to do. Owned by one waiting.

    Attributes:
        launch: Whose work.
        running: Requests when the gateway last told.
        quiet: Looks in a row that have found nothing.
    """

    launch: Launch
    running: int = 0
    quiet: int = 0

    @property
    def done(self) -> bool:
        """True when it has nothing to do any more."""
        return self.quiet >= _QUIET_LOOKS

    def look(self, worker: Worker | None) -> None:
        """Look once, at what the gateway tells or at what the server counts."""
        self.quiet = 0 if self._is_busy(worker) else self.quiet + 1

    def _is_busy(self, worker: Worker | None) -> bool:
        if worker is not None:
            self.running = worker.load
            return worker.healthy or worker.load > 0  # healthy: its removal has not begun
        if self.running == 0:
            return False
        counted = requests_running(self.launch)
        return counted is None or counted > 0
