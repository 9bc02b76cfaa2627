"""Keep the processes of a stack as they should be: observe, reconcile, act.

The deciding is in `reconcile`; here is the looking and the doing, once per call. The supervisor is
owned by the agent's daemon, which calls it from one thread at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import assert_never

from gpuslice.agent.complaints import Complaints
from gpuslice.agent.gateway_control import GatewayControl
from gpuslice.agent.launches import server_launches
from gpuslice.agent.node import Node
from gpuslice.agent.readiness import Readiness
from gpuslice.agent.reconcile import (
    Action,
    Attempts,
    Register,
    Seen,
    Start,
    Stop,
    Unregister,
    attempt,
    reconcile,
)
from gpuslice.agent.status import ProcessStatus
from gpuslice.engines.diagnosis import diagnose
from gpuslice.errors import GatewayError, GpusliceError, RecordError
from gpuslice.model.desired import Record
from gpuslice.model.server import Launch, Role, ServerKey
from gpuslice.runtime.ready import Answer

log = logging.getLogger(__name__)

_AT_ONCE = 8  # containers that are started side by side


class Supervisor:
    """Observes and acts for one machine.

    Attributes:
        node: The machine.
        gateway: Its gateway.
    """

    def __init__(self, node: Node, *, clock: Callable[[], float] = time.time) -> None:
        self.node = node
        self.gateway = GatewayControl(node)
        self._clock = clock
        self._readiness = Readiness()
        self._attempts: dict[ServerKey, Attempts] = {}
        self._starts: dict[ServerKey, int] = {}
        self._wanted: tuple[ServerKey, ...] = ()
        self._complaints = Complaints(log)

    def wanted(self, record: Record) -> tuple[Launch, ...]:
        """Describe everything that should run: the servers, and the gateway in front of them."""
        if record.desired is None:
            return ()
        servers = server_launches(record, self.node.driver.read(), self.node.host)
        return (*servers, self.gateway.launch(record))

    def look(self, wanted: Sequence[Launch]) -> Seen:
        """See what runs, what is ready, and what the gateway knows."""
        processes = self.node.runtime.list()
        self._wanted = tuple(launch.key for launch in wanted)
        self._readiness.look(processes, wanted)
        ready = self._readiness.ready
        gateway = next((p for p in processes if p.role is Role.GATEWAY), None)
        workers = None
        if gateway is not None and gateway.key in ready:
            with suppress(GatewayError, RecordError):
                workers = self.gateway.workers()
        return Seen(processes=processes, ready=ready, workers=workers)

    @property
    def ready(self) -> frozenset[ServerKey]:
        """The processes that have answered since they started, as last seen."""
        return self._readiness.ready

    def answer_of(self, key: ServerKey) -> Answer | None:
        """Return what a process answered last when it was asked whether it is ready."""
        return self._readiness.answer_of(key)

    def due(self, wanted: Sequence[Launch], seen: Seen) -> tuple[Action, ...]:
        """Say what has to be done now."""
        return reconcile(wanted, seen, self._attempts, self._clock())

    def step(self, wanted: Sequence[Launch]) -> None:
        """Look once and do what has to be done; failures are logged and met again next time."""
        failed = []
        for action in self.due(wanted, self.look(wanted)):
            try:
                self.act(action)
            except GpusliceError as error:
                failed.append(error)
        self._complaints.tell(failed)

    def act_all(self, actions: Sequence[Action]) -> None:
        """Do several things; containers are started side by side, for each takes an engine a while.

        Raises:
            RuntimeFailure: A process could not be started or stopped; all that was begun has ended.
            GatewayError: The gateway refused.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            begun = []
            for action in actions:
                if isinstance(action, Start) and action.launch.container is not None:
                    self._begin(action.launch)
                    begun.append(pool.submit(self.node.runtime.start, action.launch))
                else:
                    self.act(action)
        for start in begun:
            start.result()

    def act(self, action: Action) -> None:
        """Do one thing.

        Raises:
            RuntimeFailure: A process could not be started or stopped.
            GatewayError: The gateway refused.
        """
        match action:
            case Start(launch=launch):
                self._begin(launch)
                self.node.runtime.start(launch)
            case Stop(process=process):
                log.info("stopping %s (pid %d)", process.name, process.pid)
                self.node.runtime.stop(process)
            case Register(url=url):
                log.info("gateway: adding %s", url)
                self.gateway.register(url)
            case Unregister(worker_id=worker_id):
                log.info("gateway: removing %s", worker_id)
                self.gateway.unregister(worker_id)
            case _:
                assert_never(action)

    def _begin(self, launch: Launch) -> None:
        """Do what comes before a start: note it, and give a gateway its settings."""
        self._note_end(launch)
        self._attempts[launch.key] = attempt(self._attempts.get(launch.key), self._clock())
        self._starts[launch.key] = self._starts.get(launch.key, 0) + 1
        log.info("starting %s on port %d", launch.name, launch.port)
        if launch.role is Role.GATEWAY:
            self.gateway.write_settings(self.node.read_record())

    def _note_end(self, launch: Launch) -> None:
        """Write into the agent's log why a server that is started again had ended, if it tells."""
        if launch.key not in self._starts:
            return
        found = diagnose(self.node.runtime.tail(launch.name, lines=600))
        if found is not None:
            log.warning("%s had ended: %s; %s", launch.name, found.cause, found.remedy)

    def start_counting_anew(self) -> None:
        """Forget earlier starts: a new change has its own chances."""
        self._attempts.clear()
        self._starts.clear()

    def started(self, key: ServerKey) -> bool:
        """Tell whether a process was started since the counting began."""
        return key in self._attempts

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Say how each process is that was wanted when last looked; asks nobody anything."""
        return tuple(
            ProcessStatus(
                name=key[0],
                slice_uuid=key[1],
                ready=key in self._readiness.ready,
                restarts=max(0, self._starts.get(key, 1) - 1),
            )
            for key in self._wanted
        )
