"""Start what a stack needs and wait until all of it answers through the one endpoint.

Separate from the changes because waiting has its own ways to fail: a server that ends by itself, a
gateway that does, one that is never ready, and a person who has seen enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gpuslice.agent.reconcile import Seen, Unregister
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import GatewayError, GpusliceError, ServerExitedError, ServerTimeoutError
from gpuslice.model.desired import Record
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.server import Launch, Role

READY_TIMEOUT_S = 1800.0
LOOK_EVERY_S = 0.2
REPORT_EVERY_S = 2.0

Check = Callable[[], None]
"""Called where a change may be stopped; raises `InterruptedChangeError` when it is to stop."""


def wait_until_ready(supervisor: Supervisor, record: Record, report: Report, check: Check) -> None:
    """Start what is missing and wait until every model is served by the gateway.

    Raises:
        ServerExitedError: A server ended by itself; the error has its last log lines.
        GatewayError: The gateway ended by itself or refused.
        ServerTimeoutError: Something was not ready in time.
    """
    wanted = supervisor.wanted(record)
    running = {process.name: process.config_hash for process in supervisor.node.runtime.list()}
    for launch in wanted:
        if running.get(launch.name) != launch.config_hash:
            text = f"start {launch.name}"
            report(Event(kind=EventKind.STEP, text=text, by_hand=launch.by_hand))
    supervisor.start_counting_anew()
    began = time.monotonic()
    next_report_s = REPORT_EVERY_S
    reported: set[str] = set()
    while not _settled(supervisor, wanted, report, reported):
        check()
        waited_s = time.monotonic() - began
        waiting = [launch.name for launch in wanted if launch.name not in reported]
        if waited_s > READY_TIMEOUT_S:
            raise _too_late(supervisor, waiting)
        if waited_s >= next_report_s:
            next_report_s = waited_s + REPORT_EVERY_S
            _report_waiting(supervisor, waiting, waited_s, report)
        time.sleep(LOOK_EVERY_S)


def _settled(
    supervisor: Supervisor, wanted: Sequence[Launch], report: Report, reported: set[str]
) -> bool:
    """Look and act once; tell whether every model answers through the gateway."""
    seen = supervisor.look(wanted)
    _raise_if_ended(supervisor, wanted, seen)
    for action in supervisor.due(wanted, seen):
        if not isinstance(action, Unregister):  # a change that fails wants its old servers back
            supervisor.act(action)
    for launch in wanted:
        if launch.name in seen.ready and launch.name not in reported:
            reported.add(launch.name)
            report(Event(kind=EventKind.DONE, text=f"{launch.name} is ready on {launch.url}"))
    servers = {launch.url for launch in wanted if launch.role is Role.SERVER}
    serving = {worker.url for worker in seen.workers or () if worker.healthy}
    return len(reported) == len(wanted) and servers <= serving


def _raise_if_ended(supervisor: Supervisor, wanted: Sequence[Launch], seen: Seen) -> None:
    alive = {process.name for process in seen.processes}
    for launch in wanted:
        if supervisor.started(launch.name) and launch.name not in alive:
            raise _ended(launch, supervisor.node.runtime.tail(launch.name, lines=15))


def _ended(launch: Launch, tail: tuple[str, ...]) -> GpusliceError:
    hint = "Its last lines are above; mend the cause and run `gpuslice up` again."
    if launch.role is Role.GATEWAY:
        return GatewayError("The gateway ended by itself while starting.", hint=hint, details=tail)
    message = f"{launch.name} ended by itself while starting."
    return ServerExitedError(message, hint=hint, details=tail)


def _report_waiting(
    supervisor: Supervisor, waiting: Sequence[str], waited_s: float, report: Report
) -> None:
    for name in waiting:
        last = supervisor.node.runtime.tail(name, lines=1)
        said = f": {last[0].strip()[:100]}" if last else ""
        report(Event(kind=EventKind.WAIT, text=f"{name} is starting, {waited_s:.0f} s{said}"))


def _too_late(supervisor: Supervisor, waiting: Sequence[str]) -> ServerTimeoutError:
    tails = [
        f"{name}: {line}"
        for name in waiting
        for line in supervisor.node.runtime.tail(name, lines=5)
    ]
    return ServerTimeoutError(
        f"{', '.join(waiting)} did not become ready within {READY_TIMEOUT_S / 60:.0f} minutes.",
        hint="Look at its log: gpuslice logs MODEL",
        details=tuple(tails),
    )
