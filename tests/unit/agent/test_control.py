"""The agent over its real socket: what it answers, refuses, stops and undoes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents import Agent, Asking, running_agent
from builders import a_record, owned, wait_until
from gpuslice.agent.client import RemoteError, _UnixConnection
from gpuslice.apply.record import Entry, Journal
from gpuslice.errors import DriverError, DriverHungError
from gpuslice.model.event import EventKind
from gpuslice.model.plan import PlannedSlice
from gpuslice.simulator.machine import set_clients
from machines import layout_of, make_slice, modes_of, record_owned


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path / "home") as agent:
        yield agent


def test_an_idle_agent_says_who_it_is_and_that_it_does_nothing(agent: Agent) -> None:
    status = agent.client.status()
    assert status is not None
    assert (status.stack, status.changing, status.foreground) == ("", "", False)
    assert status.processes == ()
    assert status.pid > 0


def test_only_its_owner_may_open_the_socket(agent: Agent) -> None:
    machine = agent.node.machine
    assert machine.socket_file.stat().st_mode & 0o777 == 0o600
    assert machine.root.stat().st_mode & 0o777 == 0o700


def test_a_failing_step_is_undone_and_the_error_reaches_the_asker(
    agent: Agent, tmp_path: Path
) -> None:
    agent.driver.fails_at = 2  # MIG mode, first slice, second slice
    agent.driver.error = lambda: DriverError("No such luck.", hint="Try again.")

    asking = Asking(agent, agent.up(tmp_path))

    assert asking.outcome() == "driver-failed"
    assert asking.error is not None
    assert (asking.error.message, asking.error.hint) == ("No such luck.", "Try again.")
    assert asking.error.exit_status == DriverError.exit_status
    told = [event.text for event in asking.events if event.kind is EventKind.UNDO]
    assert told[0] == "No such luck. Undoing."
    assert told[-1] == "everything is as it was before"
    assert layout_of(agent.node) == []
    assert modes_of(agent.node) == [False]
    assert agent.node.store.read_journal() is None


def test_an_unforeseen_error_is_told_as_a_defect_and_undone(agent: Agent, tmp_path: Path) -> None:
    agent.driver.fails_at = 1
    agent.driver.error = lambda: ZeroDivisionError("oops")

    asking = Asking(agent, agent.up(tmp_path))

    assert asking.outcome() == "defect"
    assert asking.error is not None
    assert "oops" in asking.error.message
    assert modes_of(agent.node) == [False]


def test_a_second_change_is_refused_while_one_is_under_way(agent: Agent, tmp_path: Path) -> None:
    payload = agent.up(tmp_path)
    agent.gate.clear()
    first = Asking(agent, payload)
    assert agent.at_gate.wait(20)
    status = agent.client.status()

    second = Asking(agent, payload)

    assert second.outcome() == "change-running"
    assert second.error is not None
    assert "bringing up assistants" in second.error.message
    assert second.error.exit_status == 7
    assert status is not None
    assert status.changing == "bringing up assistants"
    agent.client.cancel()
    agent.gate.set()
    assert first.outcome() == "interrupted"


def test_a_cancelled_change_ends_where_it_began(agent: Agent, tmp_path: Path) -> None:
    payload = agent.up(tmp_path)
    agent.gate.clear()
    asking = Asking(agent, payload)
    assert agent.at_gate.wait(20)

    agent.client.cancel()
    agent.gate.set()

    assert asking.outcome() == "interrupted"
    assert asking.error is not None
    assert asking.error.exit_status == 130
    assert modes_of(agent.node) == [False]
    assert agent.left.wait(20)


def test_a_change_whose_asker_goes_away_is_cancelled_and_undone(
    agent: Agent, tmp_path: Path
) -> None:
    payload = agent.up(tmp_path)
    agent.gate.clear()
    asker = _UnixConnection(agent.node.machine.socket_file, 20.0)
    asker.request("POST", "/v1/up", body=json.dumps(payload).encode())
    response = asker.getresponse()
    assert agent.at_gate.wait(20)

    response.close()
    asker.close()
    wait_until(agent.has_noticed)
    agent.gate.set()

    wait_until(agent.is_idle)
    assert layout_of(agent.node) == []
    assert modes_of(agent.node) == [False]
    assert agent.node.store.read_journal() is None


def test_a_plan_that_is_out_of_date_is_refused_and_nothing_is_undone(
    agent: Agent, tmp_path: Path
) -> None:
    payload = agent.up(tmp_path)
    theirs = make_slice(agent.node, "1g.10gb", 6)

    asking = Asking(agent, payload)

    assert asking.outcome() == "state-moved"
    assert asking.events == []
    assert agent.node.driver.read().gpus[0].slices == (theirs,)


def test_an_agent_whose_driver_hangs_leaves_so_that_the_next_one_starts_afresh(
    agent: Agent, tmp_path: Path
) -> None:
    agent.driver.fails_at = 1
    agent.driver.error = lambda: DriverHungError("It hangs.")
    assert Asking(agent, agent.up(tmp_path)).outcome() == DriverHungError.code
    assert agent.left.wait(20)


def test_what_others_use_is_refused_by_name_and_allowed_by_the_same_name(
    agent: Agent,
) -> None:
    ours = make_slice(agent.node, "2g.20gb", 0)
    record_owned(agent.node, owned(ours, "chat"))
    set_clients(agent.node.machine.simulator_dir, 0, (4711,), start=0)
    with pytest.raises(RemoteError) as caught:
        agent.down(slices=True)
    assert caught.value.code == "slices-in-use"
    assert agent.node.driver.read().gpus[0].slices == (ours,)

    payload = {"slices": True, "mig_off": False, "allow": ["slices-in-use"]}
    with pytest.raises(RemoteError) as caught:  # allowed to try, the driver has the last word
        list(agent.client.events("/v1/down", payload))
    assert caught.value.code == "gpu-in-use"
    assert agent.node.driver.read().gpus[0].slices == (ours,)


def test_an_interrupted_change_is_undone_when_asked_for(agent: Agent) -> None:
    left_over = make_slice(agent.node, "2g.20gb", 0)
    planned = PlannedSlice(
        gpu_uuid=left_over.gpu_uuid,
        placement=left_over.placement,
        profile=left_over.profile,
        profile_id=14,
        memory_mib=left_over.memory_mib,
    )
    entry = Entry(gpu_uuid=left_over.gpu_uuid, created=planned)
    agent.node.store.write_journal(Journal(before=agent.node.read_record(), entries=(entry,)))

    events = list(agent.client.events("/v1/recover", {}))

    assert [event.text for event in events] == [
        "GPU 0: destroy 2g.20gb at 0:2",
        "everything is as it was before",
    ]
    assert layout_of(agent.node) == []


def test_down_removes_our_slices_only_and_leaves_mig_on_beside_somebody_elses(
    agent: Agent,
) -> None:
    ours = make_slice(agent.node, "2g.20gb", 0)
    theirs = make_slice(agent.node, "1g.10gb", 6)
    record_owned(agent.node, owned(ours, "chat"))

    events = agent.down(slices=True, mig_off=True)

    assert agent.node.driver.read().gpus[0].slices == (theirs,)
    assert modes_of(agent.node) == [True]
    note = next(event.text for event in events if event.kind is EventKind.NOTE)
    assert "MIG mode stays on: 1g.10gb at 6:1 belong to somebody else" in note
    assert agent.node.read_record().owned == ()
    assert agent.left.wait(20)


def test_down_leaves_the_slices_of_another_stack_of_ours(agent: Agent) -> None:
    ours, others = make_slice(agent.node, "2g.20gb", 0), make_slice(agent.node, "2g.20gb", 2)
    elsewhere = replace(owned(others, "chat"), stack="other")
    record = a_record(owned(ours, "chat"), elsewhere, boot_id=agent.node.driver.boot_id())
    agent.node.store.write_record(record)

    agent.down(slices=True)

    assert agent.node.driver.read().gpus[0].slices == (others,)
    assert agent.node.read_record().owned == (elsewhere,)


def test_down_without_more_keeps_the_slices_and_down_again_is_fine(agent: Agent) -> None:
    ours = make_slice(agent.node, "2g.20gb", 0)
    record_owned(agent.node, owned(ours, "chat"))
    agent.down()
    assert agent.node.read_record().owned == (owned(ours, "chat"),)
    agent.down(slices=True, mig_off=True)
    assert modes_of(agent.node) == [False]
    assert agent.down(slices=True, mig_off=True) == []


def test_a_request_that_is_none_is_answered_and_harms_nothing(agent: Agent) -> None:
    connection = _UnixConnection(agent.node.machine.socket_file, 20.0)
    connection.request("GET", "/v1/nothing")
    assert connection.getresponse().status == http.client.NOT_FOUND
    connection.close()
    assert agent.is_idle()
