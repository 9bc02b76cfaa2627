"""Who is replaced where it sits is known, and told with its reason, before anything happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuslice.agent.node import Node
from gpuslice.agent.plan_file import PlanFile, plan_text, propose, read_plan
from gpuslice.agent.proposal import Restart
from gpuslice.agent.recording import record_during
from gpuslice.agent.supervisor import Supervisor
from gpuslice.model.demand import ReplicaId
from gpuslice.model.plan import Owned
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER, make_slice, prepared, record_owned, write_stack

CHAT = ReplicaId("chat", 0)
PORT = free_port()


def a_stack(
    folder: Path, *args: str, profile: str = "2g.20gb", more: str = "", port: int = PORT
) -> Path:
    command = json.dumps([sys.executable, str(TINY_SERVER), "{port}", "{name}", *args])
    return write_stack(
        folder,
        f"chat: {{engine: command, slice: {profile}, command: {command}{more}}}",
        more=f"gateway: {{port: {port}}}",
    )


@pytest.fixture
def running(node: Node, tmp_path: Path) -> Iterator[Node]:
    """A machine on which chat and the gateway run, as `up` leaves them."""
    slice_ = make_slice(node, "2g.20gb", 4)
    record_owned(node, Owned(slice=slice_.key, stack="assistants", replica=CHAT))
    made = prepared(node, a_stack(tmp_path))
    record = record_during(node.read_record(), made.change)
    node.store.write_record(record)
    supervisor = Supervisor(node)
    for launch in supervisor.wanted(record):
        node.runtime.start(launch)
    yield node
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


def restarts(node: Node, path: Path) -> tuple[Restart, ...]:
    return prepared(node, path).restarts


def test_nobody_restarts_where_nothing_is_changed(running: Node, tmp_path: Path) -> None:
    assert restarts(running, a_stack(tmp_path)) == ()
    assert restarts(running, a_stack(tmp_path, more=", ready: chat")) == ()


def test_one_that_would_be_launched_otherwise_is_told_with_the_keys_that_changed(
    running: Node, tmp_path: Path
) -> None:
    path = a_stack(tmp_path, "0.5", more=", environment: {LEVEL: high}")
    why = "command, environment changed"
    assert restarts(running, path) == (Restart(replica=CHAT, why=why),)


def test_one_that_moves_does_not_restart(running: Node, tmp_path: Path) -> None:
    assert restarts(running, a_stack(tmp_path, "0.5", profile="3g.40gb")) == ()


def test_one_that_does_not_run_starts_and_restarts_not(running: Node, tmp_path: Path) -> None:
    running.runtime.stop_all(running.runtime.list(), grace_s=0)
    assert restarts(running, a_stack(tmp_path, "0.5")) == ()


def test_one_that_was_started_otherwise_than_is_recorded_is_told_too(
    running: Node, tmp_path: Path
) -> None:
    (server,) = (p for p in running.runtime.list() if p.replica == CHAT)
    running.runtime.stop(server, grace_s=0)
    (launch, _) = Supervisor(running).wanted(running.read_record())
    running.runtime.start(replace(launch, config_hash="of-another-version"))
    (restart,) = restarts(running, a_stack(tmp_path))
    assert restart == Restart(replica=CHAT, why="gpuslice would start it in another way")


def test_a_gateway_that_moves_to_another_port_is_told(running: Node, tmp_path: Path) -> None:
    (restart,) = restarts(running, a_stack(tmp_path, port=free_port()))
    assert restart == Restart(replica=None, why="its address changed")


def test_a_plan_on_file_tells_it_of_what_runs_when_it_is_read(
    running: Node, tmp_path: Path
) -> None:
    made = prepared(running, a_stack(tmp_path, "0.5"))
    path = tmp_path / "plan.json"
    path.write_text(plan_text(made))
    content: PlanFile = read_plan(path)
    assert propose(running, content, path).restarts == made.restarts != ()
