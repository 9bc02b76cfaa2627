"""``ps``, ``top`` and ``logs`` on a machine whose stack is recorded, with one server running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from builders import a_desired, a_desired_model, a_record, owned, wait_until
from gpuslice.agent.launches import server_launches
from gpuslice.agent.node import Node
from gpuslice.agent.situation import read_situation
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER, make_slice
from terminal import Terminal

MODEL = a_desired_model(command=(sys.executable, str(TINY_SERVER), "{port}", "{name}"))


@pytest.fixture
def running(node: Node) -> Iterator[None]:
    """Two slices of ours: a server runs on the first, and none on the second."""
    first, second = make_slice(node, "2g.20gb", 0), make_slice(node, "1g.10gb", 2)
    records = (owned(first, "chat", 0), owned(second, "chat", 1))
    record = a_record(*records, boot_id=node.driver.boot_id(), desired=a_desired(MODEL))
    ports = tuple(replace(lease, port=free_port()) for lease in record.ports)
    record = replace(record, ports=ports, gateway_metrics_port=0)
    node.store.write_record(record)
    chat, _ = server_launches(record, node.driver.read(), node.host)
    node.runtime.start(chat)
    wait_until(lambda: read_situation(node).servers[0].state == "ready")
    yield
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


def test_ps_on_an_idle_machine_says_how_to_start(terminal: Terminal) -> None:
    shown = terminal.type("ps")
    assert shown.status == 0
    assert "No stack is running. Start one: gpuslice up" in shown.out
    assert terminal.type("ps", "--json").json["stack"] is None


@pytest.mark.usefixtures("running")
def test_ps_shows_who_runs_who_does_not_and_that_the_agent_is_dead(terminal: Terminal) -> None:
    shown = terminal.type("ps").out
    first, second = (line.split() for line in shown.splitlines() if "chat/" in line)
    assert first[:3] == ["chat/0", "ready", "2g.20gb@0:2"]
    assert second[:3] == ["chat/1", "down", "1g.10gb@2:1"]
    assert "gateway http://127.0.0.1:8080/v1 down" in shown
    assert "The agent is not running" in shown
    found = terminal.type("ps", "--json").json
    assert [s["state"] for s in found["servers"]] == ["ready", "down"]
    assert found["servers"][0]["used_mib"] > found["servers"][1]["used_mib"]
    assert found["agent"] is None


@pytest.mark.usefixtures("running")
def test_top_ends_after_the_rounds_asked_for_and_shows_real_memory(terminal: Terminal) -> None:
    shown = terminal.type("top", "-n", "2", "--interval", "0.2").out
    assert [line.strip() for line in shown.splitlines()].count("slices") == 2
    row = next(line.split() for line in shown.splitlines() if "2g.20gb@0:2" in line)
    assert row[2] == "chat/0"
    other = next(line.split() for line in shown.splitlines() if "1g.10gb@2:1" in line)
    assert other[2] == "–"
    assert int(row[4]) > int(other[4])  # an empty slice shows only what the driver keeps
    assert shown.count("SIMULATED GPU") == 3  # above, and in each of the two


@pytest.mark.usefixtures("running")
def test_logs_show_the_last_lines_of_each_replica_under_its_name(terminal: Terminal) -> None:
    one = terminal.type("logs", "chat/0", "-n", "100").out
    assert "chat listens on" in one
    assert "==>" not in one
    both = terminal.type("logs", "chat").out
    assert "==> gpuslice-assistants-chat-0 <==" in both
    assert "==> gpuslice-assistants-chat-1 <==" in both


@pytest.mark.usefixtures("running")
def test_only_one_log_is_followed_at_a_time(terminal: Terminal) -> None:
    shown = terminal.type("logs", "chat", "--follow")
    assert shown.status == 2
    assert "chat/0" in shown.error


@pytest.mark.usefixtures("running")
def test_the_number_of_lines_is_the_number_shown(terminal: Terminal) -> None:
    assert len(terminal.type("logs", "chat/0", "-n", "1").out.splitlines()) == 1
