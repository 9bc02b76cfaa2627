"""What runs now, put together from the world: for ``ps``, ``top``, ``logs`` and the demo.

Reads GPUs, processes and the record. The agent is asked only for what it alone knows (restarts); a
machine whose agent was killed is shown just as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuslice.agent.launches import missing_slices, server_launches
from gpuslice.agent.node import Node
from gpuslice.agent.sight import require_ours_in_sight
from gpuslice.errors import NoServerError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceUse
from gpuslice.model.plan import Owned
from gpuslice.model.server import Launch, Role, RunningServer, process_name
from gpuslice.runtime.ready import is_ready

if TYPE_CHECKING:
    from gpuslice.agent.status import AgentStatus
    from gpuslice.model.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLine:
    """One server that should run.

    Attributes:
        launch: How it should run.
        process: The process, or None when it does not run.
        gpu: Its GPU.
        slice: Its slice.
        use: Use of the slice, or None where it cannot be told.
        ready: True when it answers now.
        restarts: Restarts that the agent counted.
    """

    launch: Launch
    process: RunningServer | None
    gpu: Gpu
    slice: Slice
    use: SliceUse | None
    ready: bool
    restarts: int

    @property
    def state(self) -> str:
        """``ready``, ``starting`` or ``down``."""
        if self.process is None:
            return "down"
        return "ready" if self.ready else "starting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything ``ps`` shows.

    Attributes:
        observed: The GPUs.
        record: What is recorded.
        servers: The servers that should run.
        gateway: The gateway's process, or None.
        gateway_ready: True when the gateway answers now.
        missing: Slices that should carry a server and have gone.
        agent: The agent, or None when none answers.
        edited: True when the stack file is not as it was at ``up``.
        interrupted: True when a change was killed half way and waits to be undone.
    """

    observed: Observed
    record: Record
    servers: tuple[ServerLine, ...]
    gateway: RunningServer | None
    gateway_ready: bool
    missing: tuple[Owned, ...]
    agent: AgentStatus | None
    edited: bool
    interrupted: bool


def read_situation(node: Node) -> Situation:
    """Look at everything once.

    Raises:
        DriverError: The GPUs cannot be read.
        PermissionDeniedError: A GPU that has slices of ours does not show them.
        RecordError: The record is damaged.
    """
    record = node.read_record()
    observed = node.driver.survey()
    require_ours_in_sight(record, observed)
    processes = node.runtime.list()
    agent = _ask_agent(node.machine)
    gateway = next((p for p in processes if p.role is Role.GATEWAY), None)
    return Situation(
        observed=observed,
        record=record,
        servers=tuple(_server_lines(node, record, observed, processes, agent)),
        gateway=gateway,
        gateway_ready=gateway is not None and is_ready(gateway.host, gateway.port, "/health"),
        missing=missing_slices(record, observed),
        agent=agent,
        edited=_edited(record),
        interrupted=_interrupted(node, agent),
    )


def log_names(record: Record, processes: Iterable[RunningServer], wanted: str) -> tuple[str, ...]:
    """Turn what a person types (``chat``, ``chat/1``, ``gateway``, ``agent``) into log names.

    Raises:
        NoServerError: There is no such server.
    """
    if wanted == "agent":
        return ("agent",)
    known = {o.replica: process_name(o.stack, o.replica) for o in record.owned if o.replica}
    known |= {p.replica: p.name for p in processes if p.replica}
    if wanted == "gateway" and record.desired is not None:
        return (process_name(record.desired.stack, None),)
    found = tuple(
        name for replica, name in sorted(known.items()) if wanted in (replica.model, str(replica))
    )
    if not found:
        there = ", ".join([str(replica) for replica in sorted(known)] + ["gateway", "agent"])
        raise NoServerError(f"There is no server {wanted!r}.", hint=f"There are: {there}.")
    return found


def _server_lines(
    node: Node,
    record: Record,
    observed: Observed,
    processes: tuple[RunningServer, ...],
    agent: AgentStatus | None,
) -> Iterable[ServerLine]:
    alive = {process.key: process for process in processes}
    known = {(p.name, p.slice_uuid): p for p in agent.processes} if agent else {}
    places = {s.uuid: (gpu, s) for gpu in observed.gpus for s in gpu.slices if s.uuid}
    uses = {gpu.uuid: node.driver.read_use(gpu.uuid) for gpu in observed.gpus if gpu.slices}
    for launch in server_launches(record, observed, node.host):
        gpu, slice_ = places[launch.slice_uuid]
        process = alive.get(launch.key)
        yield ServerLine(
            launch=launch,
            process=process,
            gpu=gpu,
            slice=slice_,
            use=uses[gpu.uuid].get(slice_.gpu_instance_id),
            ready=process is not None
            # The agent asks for a token; without one, good health is all that is known.
            and (launch.key not in known or known[launch.key].ready)
            and is_ready(launch.host, launch.port, launch.health_path),
            restarts=known[launch.key].restarts if launch.key in known else 0,
        )


def _ask_agent(machine: Machine) -> AgentStatus | None:
    if not machine.socket_file.exists():
        return None  # nobody listens, so no HTTP has to be loaded
    from gpuslice.agent.client import AgentClient  # noqa: PLC0415 - see above

    return AgentClient(machine).status()


def _edited(record: Record) -> bool:
    if record.desired is None:
        return False
    try:
        data = Path(record.desired.stack_file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() != record.desired.digest


def _interrupted(node: Node, agent: AgentStatus | None) -> bool:
    if agent is not None and (agent.foreground or agent.changing):
        return False
    return node.store.read_journal() is not None


def replica_of(line: ServerLine) -> ReplicaId:
    """The replica a server line is about."""
    assert line.launch.replica is not None, "a server has a replica"
    return line.launch.replica
