"""Hooks are paired: once those before have begun, those after are run, however a change ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents import Agent, running_agent
from builders import a_desired, a_record, owned
from gpuslice.agent.client import RemoteError
from gpuslice.apply.record import Entry, Journal
from gpuslice.model.desired import Hooks
from gpuslice.model.event import EventKind
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import PlannedSlice
from machines import layout_of, make_slice, modes_of

NOTE = (
    "import json, os, sys; plan = json.load(sys.stdin); "
    "print(os.environ['GPUSLICE_HOOK'], plan['change'], [s['text'] for s in plan['steps']], "
    "file=open(sys.argv[1], 'a')); sys.exit(int(sys.argv[2]))"
)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path / "home") as agent:
        yield agent


class Diary:
    """What hooks have written down. Owned by its test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "diary"

    def hooks(self, *, before: int = 0, after: int = 0) -> Hooks:
        """Hooks that write down what they are told and end with those statuses."""
        first, last = (
            (sys.executable, "-c", NOTE, str(self.path), str(status)) for status in (before, after)
        )
        return Hooks(before=(first,), after=(last,))

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def up(agent: Agent, folder: Path, hooks: Hooks) -> RemoteError:
    """Ask for a stack of two slices with hooks; it has to fail."""
    payload = agent.up(folder)
    change = payload["change"]
    assert isinstance(change, dict)
    change["desired"]["hooks"] = json.loads(
        json.dumps({"before": hooks.before, "after": hooks.after, "timeout_s": 30})
    )
    with pytest.raises(RemoteError) as caught:
        list(agent.client.events("/v1/up", payload))
    return caught.value


def running(agent: Agent, hooks: Hooks) -> Slice:
    """Record a stack with one slice and hooks, without servers."""
    there = agent.node.driver.read().gpus[0].slices
    ours = there[0] if there else make_slice(agent.node, "2g.20gb", 0)
    boot_id = agent.node.driver.boot_id()
    desired = replace(a_desired(), hooks=hooks)
    record = a_record(owned(ours, "chat"), desired=desired, boot_id=boot_id)
    agent.node.store.write_record(record)
    return ours


def test_a_hook_before_that_fails_stops_the_change_untouched_and_those_after_are_run(
    agent: Agent, tmp_path: Path, diary: Diary
) -> None:
    error = up(agent, tmp_path, diary.hooks(before=1))
    assert error.code == "hook-failed"
    assert agent.driver.changes == 0
    assert modes_of(agent.node) == [False]
    assert [line.split()[:2] for line in diary.lines()] == [["before", "up"], ["after", "undo"]]
    assert "GPU 0: create 2g.20gb" in diary.lines()[0]
    assert agent.node.store.read_journal() is None


def test_a_hook_after_that_fails_undoes_the_change(
    agent: Agent, tmp_path: Path, diary: Diary
) -> None:
    error = up(agent, tmp_path, diary.hooks(after=1))
    assert error.code == "hook-failed"
    assert layout_of(agent.node) == []
    assert modes_of(agent.node) == [False]
    assert [line.split()[:2] for line in diary.lines()] == [
        ["before", "up"],
        ["after", "up"],
        ["after", "undo"],
    ]


def test_down_runs_them_around_the_slices_and_not_where_slices_stay(
    agent: Agent, diary: Diary
) -> None:
    running(agent, diary.hooks())
    agent.down()
    assert diary.lines() == []

    running(agent, diary.hooks())
    agent.down(slices=True)
    steps = "['GPU 0: destroy 2g.20gb at 0:2']"
    assert diary.lines() == [f"before down {steps}", f"after down {steps}"]
    assert agent.node.read_record().hooks_due is None


def test_down_with_a_failing_hook_before_leaves_all_as_it_is(agent: Agent, diary: Diary) -> None:
    ours = running(agent, diary.hooks(before=1))
    with pytest.raises(RemoteError) as caught:
        agent.down(slices=True)
    assert caught.value.code == "hook-failed"
    assert agent.node.driver.read().gpus[0].slices == (ours,)
    record = agent.node.read_record()
    assert record.desired is not None
    assert record.hooks_due is None
    assert [line.split()[0] for line in diary.lines()] == ["before", "after"]


def test_what_a_kill_cut_off_is_made_up_for_by_the_next_command(agent: Agent, diary: Diary) -> None:
    record = replace(agent.node.read_record(), hooks_due=diary.hooks())
    agent.node.store.write_record(record)
    list(agent.client.events("/v1/recover", {}))
    assert diary.lines() == ["after down []"]
    assert agent.node.read_record().hooks_due is None


@pytest.mark.parametrize(("opened", "expected"), [(True, ["after"]), (False, ["before", "after"])])
def test_undoing_a_change_that_was_killed_is_a_change_of_slices_too(
    agent: Agent, diary: Diary, *, opened: bool, expected: list[str]
) -> None:
    left_over = make_slice(agent.node, "2g.20gb", 0)
    planned = PlannedSlice(
        gpu_uuid=left_over.gpu_uuid,
        placement=left_over.placement,
        profile=left_over.profile,
        profile_id=14,
        memory_mib=left_over.memory_mib,
    )
    journal = Journal(
        before=agent.node.read_record(),
        entries=(Entry(gpu_uuid=left_over.gpu_uuid, created=planned),),
        hooks=diary.hooks(before=1),
        opened=opened,
    )
    agent.node.store.write_journal(journal)
    events = list(agent.client.events("/v1/recover", {}))
    assert [line.split()[0] for line in diary.lines()] == expected
    assert [e.kind for e in events if e.kind is EventKind.NOTE] == [EventKind.NOTE] * (not opened)
    assert layout_of(agent.node) == []
