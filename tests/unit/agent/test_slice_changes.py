"""Slices changed by the agent: refused, failed, cancelled or killed, it ends where it began."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from agents import Agent, Asking, running_agent
from builders import a_desired, owned, wait_until
from changing import FailingDriver, KilledError
from gpuslice.agent.changes import roll_back
from gpuslice.agent.client import _UnixConnection
from gpuslice.agent.partition import Partition, Scene, look, propose, propose_removal
from gpuslice.agent.slice_changes import SliceChange, change_slices, check_allowed, needs
from gpuslice.agent.supervisor import Supervisor
from gpuslice.apply.refusals import Refusal
from gpuslice.driver.api import Driver
from gpuslice.errors import ForeignSlicesError, SlicesInUseError, StackSlicesError
from gpuslice.model.event import EventKind
from gpuslice.model.gpu import GpuProcess
from gpuslice.model.plan import Plan
from gpuslice.planner.partition.wish import Device, GpuWish
from machines import layout_of, make_slice, modes_of, record_owned

HALVES = [(0, "3g.40gb", "0:4"), (0, "3g.40gb", "4:4")]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path / "home") as agent:
        yield agent


def halves(agent: Agent) -> Partition:
    """A plan of two halves on the agent's GPU."""
    scene = look(agent.node)
    [gpu] = scene.observed.gpus
    wish = GpuWish(gpu_uuid=gpu.uuid, mig_on=True, devices=(Device("3g.40gb"),) * 2)
    return propose(scene, [wish], "Halves")


def ask(agent: Agent, plan: Plan, *allow: str) -> Asking:
    change = SliceChange(plan=plan, allow=allow)
    return Asking(agent, TypeAdapter(SliceChange).dump_python(change, mode="json"), "/v1/slices")


def test_a_plan_is_carried_out_and_what_it_made_is_recorded_as_ours_without_a_stack(
    agent: Agent,
) -> None:
    asking = ask(agent, halves(agent).plan)

    assert asking.outcome() == ""
    assert [event.kind for event in asking.events] == [EventKind.STEP] * 3 + [EventKind.READY]
    assert asking.events[1].by_hand == "nvidia-smi mig -i 0 -cgi 9:0 -C"
    assert layout_of(agent.node) == HALVES
    record = agent.node.read_record()
    there = {s.key for s in agent.node.driver.read().gpus[0].slices}
    assert {o.slice for o in record.owned} == there
    assert {(o.stack, o.replica) for o in record.owned} == {("", None)}
    assert record.mig_enabled == (agent.node.driver.read().gpus[0].uuid,)
    assert agent.node.store.read_journal() is None
    assert agent.left.wait(20), "an agent with nothing to look after leaves"


def test_a_change_that_fails_anywhere_ends_where_it_began(agent: Agent) -> None:
    slice_ = make_slice(agent.node, "2g.20gb", 0)
    record_owned(agent.node, owned(slice_))
    agent.driver.changes = 0
    before, record = layout_of(agent.node), agent.node.read_record()
    for number in range(3):
        agent.driver.changes, agent.driver.fails_at = 0, number
        agent.driver.error = lambda: ZeroDivisionError("no such luck")

        asking = ask(agent, halves(agent).plan)

        assert asking.outcome() == "defect"
        assert layout_of(agent.node) == before
        assert len(agent.node.read_record().owned) == len(record.owned)
        assert agent.node.store.read_journal() is None


def test_what_a_kill_leaves_is_undone_by_the_next_agent(agent: Agent) -> None:
    agent.driver.fails_at, agent.driver.afterwards = 1, True
    agent.driver.error = KilledError
    plan = halves(agent).plan

    with pytest.raises(KilledError):
        change_slices(Supervisor(agent.node), SliceChange(plan=plan), lambda _: None, lambda: None)
    assert len(layout_of(agent.node)) == 1
    agent.driver.fails_at = None

    assert roll_back(Supervisor(agent.node), lambda _: None)
    assert (layout_of(agent.node), modes_of(agent.node)) == ([], [False])
    assert agent.node.read_record().owned == ()


def test_a_cancelled_change_is_undone(agent: Agent) -> None:
    plan = halves(agent).plan
    agent.gate.clear()
    asking = ask(agent, plan)
    assert agent.at_gate.wait(20)

    agent.client.cancel()
    agent.gate.set()

    assert asking.outcome() == "interrupted"
    assert (layout_of(agent.node), modes_of(agent.node)) == ([], [False])


def test_a_change_whose_asker_goes_away_is_undone(agent: Agent) -> None:
    change = SliceChange(plan=halves(agent).plan)
    body = TypeAdapter(SliceChange).dump_json(change)
    agent.gate.clear()
    asker = _UnixConnection(agent.node.machine.socket_file, 20.0)
    asker.request("POST", "/v1/slices", body=body)
    response = asker.getresponse()
    assert agent.at_gate.wait(20)

    response.close()
    asker.close()
    wait_until(agent.has_noticed)
    agent.gate.set()

    wait_until(agent.is_idle)
    assert (layout_of(agent.node), modes_of(agent.node)) == ([], [False])


def test_a_plan_of_another_state_is_refused_unless_it_is_allowed_and_still_legal(
    agent: Agent, tmp_path: Path
) -> None:
    plan = halves(agent).plan
    theirs = make_slice(agent.node, "1g.10gb", 3)

    refused = ask(agent, plan)
    assert refused.outcome() == "state-moved"
    illegal = ask(agent, plan, "state-moved")

    assert refused.error is not None
    assert "--allow state-moved" in refused.error.hint
    assert illegal.outcome() == "plan-rejected"
    assert agent.node.driver.read().gpus[0].slices == (theirs,)


def test_the_agent_refuses_what_the_command_did_not_ask_about(agent: Agent) -> None:
    theirs = make_slice(agent.node, "2g.20gb", 0)
    plan = propose_removal(look(agent.node), [theirs.key]).plan

    refused = ask(agent, plan)
    assert refused.outcome() == "foreign-slices"
    allowed = ask(agent, plan, "foreign-slices")

    assert refused.error is not None
    assert refused.error.exit_status == 7
    assert allowed.outcome() == ""
    assert layout_of(agent.node) == []


def test_nothing_allows_a_slice_of_the_running_stack_to_go(agent: Agent) -> None:
    slice_ = make_slice(agent.node, "2g.20gb", 0)
    record_owned(agent.node, owned(slice_, "chat"))
    agent.node.store.write_record(replace(agent.node.read_record(), desired=a_desired()))
    scene = look(agent.node)
    plan = propose_removal(scene, [slice_.key]).plan

    with pytest.raises(StackSlicesError, match="1 slice of the running stack 'assistants'"):
        check_allowed(scene, plan, tuple(Refusal))


def test_a_slice_of_a_stack_that_does_not_run_is_ours_to_destroy(agent: Agent) -> None:
    slice_ = make_slice(agent.node, "2g.20gb", 0)
    record_owned(agent.node, owned(slice_, "chat"))

    assert ask(agent, propose_removal(look(agent.node), [slice_.key]).plan).outcome() == ""
    assert layout_of(agent.node) == []
    assert agent.node.read_record().owned == ()


def held(agent: Agent, *processes: GpuProcess) -> Scene:
    """The machine as it is, with these processes on its GPU."""
    driver = Held(agent.driver.driver, processes)
    return look(replace(agent.node, driver=driver))


class Held(FailingDriver):
    """A driver that tells of processes that are not there."""

    def __init__(self, driver: Driver, processes: tuple[GpuProcess, ...]) -> None:
        super().__init__(driver)
        self._processes = processes

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        return self._processes


def test_each_refusal_names_what_it_is_about_and_how_it_is_lifted(agent: Agent) -> None:
    slice_ = make_slice(agent.node, "2g.20gb", 0)
    holder = GpuProcess(pid=4711, name="python3", gpu_instance_id=slice_.gpu_instance_id)
    scene = held(agent, holder)
    plan = propose_removal(scene, [slice_.key]).plan

    with pytest.raises(ForeignSlicesError) as foreign:
        check_allowed(scene, plan, ())
    with pytest.raises(SlicesInUseError) as in_use:
        check_allowed(scene, plan, ("foreign-slices",))
    check_allowed(scene, plan, ("slices-in-use", "foreign-slices"))

    assert foreign.value.details == ("GPU 0: 2g.20gb at 0:2",)
    assert in_use.value.details == ("GPU 0: 2g.20gb at 0:2 is used by python3 (pid 4711)",)
    assert "--allow slices-in-use" in in_use.value.hint
    assert "--allow foreign-slices" in foreign.value.hint
    assert [(need.allow, need.why) for need in needs(scene, plan)] == [
        ("foreign-slices", foreign.value.details),
        ("slices-in-use", in_use.value.details),
    ]


def test_a_mode_change_is_refused_only_where_others_use_the_gpu(agent: Agent) -> None:
    plan = halves(agent).plan

    assert needs(held(agent), plan) == ()
    [need] = needs(held(agent, GpuProcess(pid=4711, name="dcgm")), plan)

    assert (need.allow, need.why) == ("mig-mode-change", ("GPU 0: used by dcgm (pid 4711)",))


def test_a_slice_that_is_given_up_is_never_ours(agent: Agent) -> None:
    """To allow that others' slices go is not to allow that ours are given up in an undoing."""
    theirs = make_slice(agent.node, "1g.10gb", 0)
    agent.driver.changes, agent.driver.fails_at = 0, 0
    agent.driver.error = KilledError
    plan = propose_removal(look(agent.node), [theirs.key]).plan

    change = SliceChange(plan=plan, allow=("foreign-slices", "slices-in-use"))
    with pytest.raises(KilledError):
        change_slices(Supervisor(agent.node), change, lambda _: None, lambda: None)

    journal = agent.node.store.read_journal()
    assert journal is not None
    assert journal.allow == ("slices-in-use",)


def test_a_change_of_slices_is_refused_while_another_change_is_under_way(
    agent: Agent, tmp_path: Path
) -> None:
    payload = agent.up(tmp_path)
    plan = halves(agent).plan
    agent.gate.clear()
    first = Asking(agent, payload)
    assert agent.at_gate.wait(20)

    second = ask(agent, plan)

    assert second.outcome() == "change-running"
    agent.client.cancel()
    agent.gate.set()
    assert first.outcome() == "interrupted"


def test_the_request_is_what_the_command_line_sends(agent: Agent) -> None:
    change = SliceChange(plan=halves(agent).plan, allow=("foreign-slices",))
    sent = json.dumps(TypeAdapter(SliceChange).dump_python(change, mode="json"))

    assert TypeAdapter(SliceChange).validate_python(json.loads(sent)) == change
