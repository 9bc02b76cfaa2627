"""The way back of servers: the old ones answer again before the new ones are stopped.

Separate from the way there, because it may begin anywhere, also in another process than the change
did (after a kill), and so knows nothing but what was recorded before and what runs now.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from gpuslice.agent.leaving import retire, stop
from gpuslice.agent.reconcile import Register
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import GatewayError
from gpuslice.model.desired import Record
from gpuslice.model.event import Report
from gpuslice.model.server import Launch, Role, RunningServer

log = logging.getLogger(__name__)

BACK_S = 15.0
"""How long old servers may take to be in the gateway again: smg takes one that it is just letting
go only when it has, which is about 5 seconds."""
LOOK_EVERY_S = 0.2


def hand_back(supervisor: Supervisor, before: Record, report: Report) -> None:
    """Stop what does not belong to a record, and let what does belong answer before that.

    Before slices are undone nothing may sit on them.

    Args:
        supervisor: The machine.
        before: What was recorded before the change.
        report: Where progress goes.

    Raises:
        RuntimeFailure: Something outlives being killed.
    """
    wanted = supervisor.wanted(before)
    hashes = {launch.key: launch.config_hash for launch in wanted}
    processes = supervisor.node.runtime.list()
    unwanted = [p for p in processes if hashes.get(p.key) != p.config_hash or p.headless]
    good = {process.key for process in processes} - {process.key for process in unwanted}
    staying = [launch for launch in wanted if launch.key in good]
    fronted = any(launch.role is Role.GATEWAY for launch in staying)
    if fronted and any(process.role is Role.SERVER for process in unwanted):
        _take_over(supervisor, staying)
        retire(supervisor, [_launch_of(p) for p in unwanted], report, _go_on)
        alive = {process.key for process in supervisor.node.runtime.list()}
        unwanted = [process for process in unwanted if process.key in alive]
    stop(supervisor, unwanted, report)


def _take_over(supervisor: Supervisor, staying: Sequence[Launch]) -> None:
    """Wait until every old server that lives is in the gateway's rotation, `BACK_S` at most."""
    urls = {launch.url for launch in staying if launch.role is Role.SERVER}
    deadline = time.monotonic() + BACK_S
    while time.monotonic() < deadline:
        seen = supervisor.look(staying)
        if urls <= {worker.url for worker in seen.workers or () if worker.healthy}:
            return
        for action in supervisor.due(staying, seen):
            if isinstance(action, Register):
                try:
                    supervisor.act(action)
                except GatewayError as error:
                    log.warning("%s: %s", error.code, error.message)
        time.sleep(LOOK_EVERY_S)
    log.warning("not every old server is in the gateway again")


def _launch_of(process: RunningServer) -> Launch:
    """Describe a process by what it carries; nothing is started from that."""
    return Launch(
        stack=process.stack,
        role=process.role,
        replica=process.replica,
        command=(),
        host=process.host,
        port=process.port,
        slice_uuid=process.slice_uuid,
        config_hash=process.config_hash,
    )


def _go_on() -> None:
    """Nothing stops the way back."""
