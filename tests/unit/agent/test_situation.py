"""What runs now, put together from the world, also where the agent is dead."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import (
    a_desired,
    a_desired_model,
    a_record,
    a_running_server,
    a_slice,
    owned,
    wait_until,
)
from gpuslice.agent.launches import server_launches
from gpuslice.agent.node import Node
from gpuslice.agent.situation import log_names, read_situation, replica_of
from gpuslice.apply.record import Journal
from gpuslice.errors import NoServerError
from gpuslice.model.desired import Record
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER, make_slice

MODEL = a_desired_model(command=(sys.executable, str(TINY_SERVER), "{port}", "{name}"))


@pytest.fixture
def record(node: Node) -> Record:
    """A stack of one model on one slice, recorded but not running."""
    slice_ = make_slice(node, "2g.20gb", 0)
    record = a_record(owned(slice_, "chat"), boot_id=node.driver.boot_id())
    port = replace(record.ports[0], port=free_port())
    record = replace(record, ports=(port,), desired=a_desired(MODEL))
    node.store.write_record(record)
    return record


@pytest.fixture
def running(node: Node, record: Record) -> Iterator[Record]:
    """The same with its server running."""
    (launch,) = server_launches(record, node.driver.read(), node.host)
    node.runtime.start(launch)
    yield record
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


def test_an_idle_machine_has_nothing_to_show(node: Node) -> None:
    situation = read_situation(node)
    assert situation.servers == ()
    assert situation.record.desired is None
    assert (situation.gateway, situation.gateway_ready, situation.agent) == (None, False, None)
    assert not situation.edited
    assert not situation.interrupted


def test_a_server_that_should_run_and_does_not_is_down(node: Node, record: Record) -> None:
    (line,) = read_situation(node).servers
    assert line.state == "down"
    assert line.process is None
    assert str(replica_of(line)) == "chat/0"
    assert (line.slice.profile, line.gpu.index, line.restarts) == ("2g.20gb", 0, 0)


def test_a_server_is_starting_until_it_answers_and_its_memory_is_that_of_its_process(
    node: Node, running: Record
) -> None:
    assert read_situation(node).servers[0].state in ("starting", "ready")
    wait_until(lambda: read_situation(node).servers[0].state == "ready")
    (line,) = read_situation(node).servers
    assert line.process is not None
    assert line.use is not None
    empty = make_slice(node, "2g.20gb", 2)
    idle = node.driver.read_use(empty.gpu_uuid)[empty.gpu_instance_id]
    assert idle.used_mib < line.use.used_mib < line.use.total_mib == line.slice.memory_mib


def test_a_slice_that_has_gone_is_missing_and_its_server_not_shown(
    node: Node, record: Record
) -> None:
    node.driver.destroy_slice(node.driver.read().gpus[0].slices[0])
    situation = read_situation(node)
    assert situation.servers == ()
    assert situation.missing == record.owned


def test_an_edited_stack_file_is_noticed_and_a_deleted_one_is_not_an_edit(
    node: Node, record: Record, tmp_path: Path
) -> None:
    file = tmp_path / "gpuslice.yaml"
    file.write_text("name: assistants\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    desired = a_desired(MODEL, stack_file=str(file), digest=digest)
    node.store.write_record(replace(record, desired=desired))
    assert not read_situation(node).edited
    file.write_text("name: assistants # changed\n")
    assert read_situation(node).edited
    file.unlink()
    assert not read_situation(node).edited


def test_a_change_without_an_agent_is_an_interrupted_one(node: Node) -> None:
    node.store.write_journal(Journal(before=Record()))
    assert read_situation(node).interrupted


def test_logs_are_named_by_model_replica_gateway_and_agent() -> None:
    record = a_record(owned(a_slice(), "chat", 0), owned(a_slice(), "chat", 1))
    orphan = a_running_server(model="old")
    named = {
        "chat": ("gpuslice-assistants-chat-0", "gpuslice-assistants-chat-1"),
        "chat/1": ("gpuslice-assistants-chat-1",),
        "old": ("gpuslice-assistants-old-0",),
        "gateway": ("gpuslice-assistants-gateway",),
        "agent": ("agent",),
    }
    for wanted, names in named.items():
        assert log_names(record, (orphan,), wanted) == names


def test_an_unknown_log_is_refused_with_those_there_are() -> None:
    with pytest.raises(NoServerError, match="no server 'caht'") as caught:
        log_names(a_record(owned(a_slice(), "chat")), (), "caht")
    assert caught.value.hint == "There are: chat/0, gateway, agent."
