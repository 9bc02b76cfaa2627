"""Start what a stack needs and wait until all of it answers through the one endpoint.

Separate from the changes because waiting has its own ways to fail: a server that ends by itself, a
gateway that does, one that is never ready, one that listens and does not answer, and a person who
has seen enough.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from gpuslice.agent.reconcile import Seen, Unregister
from gpuslice.agent.supervisor import Supervisor
from gpuslice.engines.diagnosis import diagnose
from gpuslice.engines.progress import stage
from gpuslice.errors import GatewayError, GpusliceError, ServerExitedError, ServerTimeoutError
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.server import Launch, Role, ServerKey
from gpuslice.runtime.downloads import Downloads
from gpuslice.runtime.starting import inherited_environment

READY_TIMEOUT_S = 1800.0
"""How long nobody who is waited for may write anything new; a large download takes hours, and its
log or its file goes on."""
LONGEST_S = 6 * 3600.0
"""How long is waited at most, whatever the logs say."""
REFUSED_TIMEOUT_S = 60.0
"""How long a server in good health may answer no question before waiting is given up."""
FIRST_PAUSE_S = 0.04
LOOK_EVERY_S = 0.2
"""How long at most between two looks; less at first, so that a quick server is not kept waiting."""
REPORT_EVERY_S = 2.0

_SHOWN_LINES = 15
_READ_LINES = 600  # a traceback through several processes, of which one line tells

Check = Callable[[], None]
"""Called where a change may be stopped; raises `InterruptedChangeError` when it is to stop."""


def wait_until_ready(
    supervisor: Supervisor,
    wanted: Sequence[Launch],
    report: Report,
    check: Check,
    *,
    leaving: Sequence[Launch] = (),
) -> None:
    """Start what is missing and wait until every model is served by the gateway.

    Args:
        supervisor: The machine.
        wanted: What has to be ready, the gateway included.
        report: Where progress goes.
        check: Raises to stop the waiting.
        leaving: Servers that go on as they are while they live; nobody waits for them.

    Raises:
        ServerExitedError: A server ended by itself; the error has its last log lines, and says why
            where they tell.
        GatewayError: The gateway ended by itself or refused.
        ServerTimeoutError: Something was not ready in time, or answers nothing it is asked.
    """
    known = _report_starts(supervisor, wanted, report)
    supervisor.start_counting_anew()
    began = time.monotonic()
    next_report_s = REPORT_EVERY_S
    silence, downloads = _Silence(), Downloads(inherited_environment(os.environ))
    ready: set[ServerKey] = set()
    refused: dict[ServerKey, float] = {}
    while not _settled(supervisor, wanted, leaving, ready):
        _report_ready(wanted, ready - known, report)
        known |= ready
        check()
        waited_s = time.monotonic() - began
        waiting = [launch for launch in wanted if launch.key not in ready]
        _raise_if_refused(supervisor, waiting, refused, waited_s)
        if silence.lasts_s(waited_s) > READY_TIMEOUT_S or waited_s > LONGEST_S:
            raise _too_late(supervisor, waiting, waited_s)
        if waited_s >= next_report_s:
            next_report_s = waited_s + REPORT_EVERY_S
            silence.note(
                _report_waiting(supervisor, waiting, downloads, waited_s, report), waited_s
            )
        time.sleep(min(LOOK_EVERY_S, FIRST_PAUSE_S + waited_s / 20))
    _report_ready(wanted, ready - known, report)


class _Silence:
    """Since when those that are waited for have written nothing new. Owned by one wait."""

    def __init__(self) -> None:
        self._last: tuple[tuple[str, str], ...] = ()
        self._since_s = 0.0

    def note(self, last: tuple[tuple[str, str], ...], waited_s: float) -> None:
        """Take the last sign of each; any that is another one ends the silence."""
        if last != self._last:
            self._last, self._since_s = last, waited_s

    def lasts_s(self, waited_s: float) -> float:
        """Say how long it has lasted, seconds."""
        return waited_s - self._since_s


def _report_starts(
    supervisor: Supervisor, wanted: Sequence[Launch], report: Report
) -> set[ServerKey]:
    """Say who is started; return those who are not, and known to be ready."""
    running = {process.key: process.config_hash for process in supervisor.node.runtime.list()}
    known = set()
    for launch in wanted:
        if running.get(launch.key) == launch.config_hash:
            known |= {launch.key} & supervisor.ready
            continue
        text = f"start {launch.name}"
        report(Event(kind=EventKind.STEP, text=text, by_hand=launch.by_hand))
        for note in launch.notes:
            report(Event(kind=EventKind.NOTE, text=note))
    return known


def _report_ready(wanted: Sequence[Launch], keys: AbstractSet[ServerKey], report: Report) -> None:
    for launch in wanted:
        if launch.key in keys:
            report(Event(kind=EventKind.DONE, text=f"{launch.name} is ready on {launch.url}"))


def _settled(
    supervisor: Supervisor,
    wanted: Sequence[Launch],
    leaving: Sequence[Launch],
    ready: set[ServerKey],
) -> bool:
    """Look and act once; tell whether every model answers through the gateway.

    Args:
        supervisor: The machine.
        wanted: What has to be ready.
        leaving: What is left alone while it lives, and neither waited for nor started again.
        ready: Those of the wanted that have been ready; brought up to date here.
    """
    seen = supervisor.look((*wanted, *leaving))
    _raise_if_ended(supervisor, wanted, seen)
    alive = {process.key for process in seen.processes if not process.headless}
    left_alone = (launch for launch in leaving if launch.key in alive)
    due = supervisor.due((*wanted, *left_alone), seen)
    # A change that fails wants its old servers back.
    supervisor.act_all([action for action in due if not isinstance(action, Unregister)])
    ready |= {launch.key for launch in wanted if launch.key in seen.ready}
    servers = {launch.url for launch in wanted if launch.role is Role.SERVER}
    serving = {worker.url for worker in seen.workers or () if worker.healthy}
    return len(ready) == len(wanted) and servers <= serving


def _raise_if_ended(supervisor: Supervisor, wanted: Sequence[Launch], seen: Seen) -> None:
    alive = {process.key for process in seen.processes}
    for launch in wanted:
        if supervisor.started(launch.key) and launch.key not in alive:
            raise _ended(launch, supervisor.node.runtime.tail(launch.name, lines=_READ_LINES))


def _ended(launch: Launch, tail: tuple[str, ...]) -> GpusliceError:
    hint = "Its last lines are above; mend the cause and run `gpuslice up` again."
    shown = tail[-_SHOWN_LINES:]
    if launch.role is Role.GATEWAY:
        return GatewayError("The gateway ended by itself while starting.", hint=hint, details=shown)
    message = f"{launch.name} ended by itself while starting."
    found = diagnose(tail)
    if found is not None:
        message, hint = f"{message[:-1]}: {found.cause}.", found.remedy
    return ServerExitedError(message, hint=hint, details=shown)


def _raise_if_refused(
    supervisor: Supervisor,
    waiting: Sequence[Launch],
    refused: dict[ServerKey, float],
    waited_s: float,
) -> None:
    """Give up on a server that is in good health and yet answers no question.

    Args:
        supervisor: Knows what was answered.
        waiting: Who is waited for.
        refused: Since when each has refused, in seconds of waiting; brought up to date here.
        waited_s: How long has been waited, seconds.
    """
    for launch in waiting:
        answer = supervisor.answer_of(launch.key)
        if answer is None or not answer.refused:
            refused.pop(launch.key, None)
        elif waited_s - refused.setdefault(launch.key, waited_s) >= REFUSED_TIMEOUT_S:
            raise ServerTimeoutError(
                f"{launch.name} has loaded but answers no request: {answer.said}.",
                hint="Mend the model or its args; `ready: health` takes it as it is.",
                details=supervisor.node.runtime.tail(launch.name, lines=_SHOWN_LINES),
            )


def _report_waiting(
    supervisor: Supervisor,
    waiting: Sequence[Launch],
    downloads: Downloads,
    waited_s: float,
    report: Report,
) -> tuple[tuple[str, str], ...]:
    """Say what each is busy with; return the last sign of life of each by its name."""
    signs = []
    for launch in waiting:
        tail, more = supervisor.node.runtime.tail(launch.name, lines=20), downloads.grown(launch)
        last = tail[-1] if tail else ""
        said = stage(tail) or last.strip()[:100]
        if more and not said.startswith("downloading"):
            said = f"downloading the model, {more / 1e9:,.2f} GB so far"
        told = f"{launch.name} is starting, {waited_s:.0f} s" + (f": {said}" if said else "")
        report(Event(kind=EventKind.WAIT, text=told))
        signs.append((launch.name, f"{last} {more or ''}"))
    return tuple(signs)


def _too_late(
    supervisor: Supervisor, waiting: Sequence[Launch], waited_s: float
) -> ServerTimeoutError:
    details = []
    for launch in waiting:
        name, tail = launch.name, supervisor.node.runtime.tail(launch.name, lines=_READ_LINES)
        answer, found = supervisor.answer_of(launch.key), diagnose(tail)
        details += [f"{name}: {line}" for line in tail[-5:]]
        details += [f"{name}: {found.cause}. {found.remedy}"] if found else []
        details += [f"{name}: {answer.said}"] if answer and answer.said else []
    names = ", ".join(launch.name for launch in waiting)
    return ServerTimeoutError(
        f"{names} did not become ready within {waited_s / 60:.0f} minutes.",
        hint="Look at its log: gpuslice logs MODEL",
        details=tuple(details),
    )
