"""One iteration of the agent's loop, as a pure function: what should run, what runs, what to do.

Nothing here starts, stops or asks anything; `supervisor` does what is answered here. So every
situation (a server that died, one that keeps dying, one nobody wants any more, a gateway that lost
its workers) is a test with plain values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gpuslice.agent.turns import take_turns
from gpuslice.gateway.client import Worker
from gpuslice.gateway.sync import worker_changes
from gpuslice.model.server import Launch, Role, RunningServer, ServerKey

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
STEADY_AFTER_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often a process was started lately, and when.

    Attributes:
        count: Starts since it last ran steadily.
        last_started_at: Unix time of the last one, seconds.
    """

    count: int
    last_started_at: float

    @property
    def next_at(self) -> float:
        """Earliest time of the next start: the wait doubles with each one, up to a minute."""
        return self.last_started_at + min(FIRST_DELAY_S * 2.0 ** (self.count - 1), LONGEST_DELAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What runs now.

    Attributes:
        processes: Every live process of ours on this machine.
        ready: Those that have answered since they started.
        workers: What the gateway knows, or None when it cannot be asked.
    """

    processes: tuple[RunningServer, ...]
    ready: frozenset[ServerKey] = frozenset()
    workers: tuple[Worker, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a process that is missing."""

    launch: Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop a process that nobody wants, or not in this form."""

    process: RunningServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Tell the gateway about a server that is ready."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Take a server that nobody wants any more out of the gateway."""

    worker_id: str


Action = Stop | Start | Unregister | Register


def reconcile(
    wanted: Sequence[Launch], seen: Seen, attempts: Mapping[ServerKey, Attempts], now: float
) -> tuple[Action, ...]:
    """Say what leads from what runs to what should run.

    Args:
        wanted: Every process that should run; two of one replica while it moves.
        seen: What runs.
        attempts: Recent starts of each process; one that keeps ending is started ever more rarely.
        now: Unix time, seconds.

    Returns:
        What to do, in order: stops, starts, then changes at the gateway. Empty when all is well.
    """
    by_key = {launch.key: launch for launch in wanted}
    stops = tuple(Stop(process=p) for p in seen.processes if not _as_wanted(p, by_key))
    alive = {p.key for p in seen.processes if _as_wanted(p, by_key)}
    going = [stop.process for stop in stops]
    due = [
        launch
        for launch in wanted
        if launch.key not in alive and _room_for(launch, going) and _due(launch, attempts, now)
    ]
    starts = tuple(Start(launch=launch) for launch in _in_turn(due, wanted, alive, going, seen))
    return (*stops, *starts, *_gateway_actions(wanted, seen))


def attempt(before: Attempts | None, now: float) -> Attempts:
    """Count a start; one that comes long after the last counts as the first."""
    if before is None or now - before.last_started_at > STEADY_AFTER_S:
        return Attempts(count=1, last_started_at=now)
    return Attempts(count=before.count + 1, last_started_at=now)


def _as_wanted(process: RunningServer, by_key: Mapping[ServerKey, Launch]) -> bool:
    launch = by_key.get(process.key)
    if process.headless:  # its leader is dead: what is left of it only holds the slice
        return False
    return launch is not None and launch.config_hash == process.config_hash


def _room_for(launch: Launch, going: Sequence[RunningServer]) -> bool:
    """Tell whether nobody who is about to be stopped still has its name or its slice."""
    return not any(
        process.name == launch.name
        or (process.slice_uuid and process.slice_uuid == launch.slice_uuid)
        for process in going
    )


def _due(launch: Launch, attempts: Mapping[ServerKey, Attempts], now: float) -> bool:
    lately = attempts.get(launch.key)
    return lately is None or now >= lately.next_at


def _in_turn(
    due: Sequence[Launch],
    wanted: Sequence[Launch],
    alive: AbstractSet[ServerKey],
    going: Sequence[RunningServer],
    seen: Seen,
) -> tuple[Launch, ...]:
    """Choose who starts now, where servers share a device.

    One that is about to be stopped still has its memory, so nobody starts beside it. Turns are
    taken by name; of two servers of one replica, both have to be ready.
    """
    stopping = {process.name for process in going}
    starting = {launch.name for launch in wanted if launch.key in alive - seen.ready}
    names = {name for name, _ in alive}
    ready = {name for name, _ in seen.ready} - starting - stopping
    return take_turns(due, wanted, names | stopping, ready)


def _gateway_actions(wanted: Sequence[Launch], seen: Seen) -> tuple[Unregister | Register, ...]:
    """Register servers once they are ready; unregister those that nobody wants any more.

    One that has died stays registered: the gateway takes it out of rotation within its health
    interval and back in when it answers again.
    """
    if seen.workers is None:
        return ()
    known = {worker.url for worker in seen.workers}
    urls = {
        launch.url
        for launch in wanted
        if launch.role is Role.SERVER and (launch.key in seen.ready or launch.url in known)
    }
    changes = worker_changes(seen.workers, urls)
    return (
        *(Unregister(worker_id=worker_id) for worker_id in changes.remove),
        *(Register(url=url) for url in changes.add),
    )
