"""A plan that comes back from disk is believed in nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import owned
from gpuslice.agent.node import Node
from gpuslice.agent.plan_file import plan_text, propose, read_plan
from gpuslice.agent.prepare import prepare
from gpuslice.agent.proposal import PlanOptions, Prepared, Proposal
from gpuslice.errors import NoRoomError, PlanFileError, StackError, StateMovedError
from gpuslice.stack.load import load_stack
from machines import make_slice, open_simulated, prepared, record_owned, write_stack

SERVED = 'chat: {engine: command, slice: 2g.20gb, replicas: 2, command: ["my-server", "{port}"]}'


@pytest.fixture
def made(node: Node, tmp_path: Path) -> Prepared:
    return prepared(node, write_stack(tmp_path, SERVED))


@pytest.fixture
def path(made: Prepared, tmp_path: Path) -> Path:
    """The plan on file."""
    path = tmp_path / "plan.json"
    path.write_text(plan_text(made))
    return path


def proposed(node: Node, path: Path) -> Proposal:
    return propose(node, read_plan(path), path)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change the file as a hand would."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_plan_comes_back_as_it_was(node: Node, made: Prepared, path: Path) -> None:
    found = proposed(node, path)
    assert found.change == made.change
    assert found.demands == made.demands
    assert found.rules == made.rules
    assert found.observed == made.observed


def test_a_plan_with_running_slices_comes_back_as_it_was(node: Node, tmp_path: Path) -> None:
    record_owned(
        node,
        owned(make_slice(node, "2g.20gb", 0), "chat"),
        owned(make_slice(node, "1g.10gb", 2), "old"),
    )
    made = prepared(node, write_stack(tmp_path, SERVED))
    path = tmp_path / "plan.json"
    path.write_text(plan_text(made))
    assert proposed(node, path).change == made.change


def test_everything_that_was_asked_and_ruled_comes_back_as_it_was(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:3")
    stack = write_stack(
        tmp_path,
        SERVED.replace("replicas: 2", "priority: 3, spread: true, move_cost: 2"),
        'any: {engine: command, command: ["serve"], target: {tokens_per_s: 200.5}, '
        "throughput: {1g.10gb: 120, nvidia a100-sxm4-80gb: {2g.20gb: 260}}}",
        'other: {engine: command, command: ["serve"], memory: 4GiB, away: chat}',
        more="gpus: [0, 1, 2]\ndrain: [1]\n"
        "prices: {A100-SXM4-80GB: {per_month: 1380, currency: USD}}",
    )
    made = prepare(node, load_stack(stack), PlanOptions(most_moves=4))
    path = tmp_path / "plan.json"
    path.write_text(plan_text(made))
    found = proposed(node, path)
    assert (found.demands, found.rules) == (made.demands, made.rules)
    assert found.rules.most_moves == 4
    assert len(found.rules.drained) == 1
    assert path.read_text() == plan_text(found)


def test_a_plan_is_refused_when_it_breaks_the_rules_in_its_own_file(node: Node, path: Path) -> None:
    uuid = node.driver.read().gpus[0].uuid
    edit(path, lambda value: value["rules"]["drained"].append(uuid))
    with pytest.raises(PlanFileError, match="does not fit this machine"):
        proposed(node, path)


def test_a_plan_without_room_is_not_written(node: Node, tmp_path: Path) -> None:
    made = prepared(node, write_stack(tmp_path, SERVED.replace("replicas: 2", "replicas: 9")))
    with pytest.raises(NoRoomError):
        plan_text(made)


def test_a_plan_with_an_unplaced_replica_is_refused(node: Node, path: Path) -> None:
    unplaced = {"replica": {"model": "chat", "replica": 2}, "reason": "no room"}
    edit(path, lambda value: value["change"]["plan"]["unplaced"].append(unplaced))
    with pytest.raises(PlanFileError, match="no slice for chat/2"):
        proposed(node, path)


def test_a_plan_is_refused_when_the_gpus_have_changed(node: Node, path: Path) -> None:
    make_slice(node, "1g.10gb", 6)
    with pytest.raises(StateMovedError, match="no longer as they were"):
        proposed(node, path)


def test_a_plan_is_refused_when_its_slices_are_no_longer_ours(node: Node, tmp_path: Path) -> None:
    record_owned(node, owned(make_slice(node, "2g.20gb", 0), "chat"))
    path = tmp_path / "plan.json"
    path.write_text(plan_text(prepared(node, write_stack(tmp_path, SERVED))))
    record_owned(node)
    with pytest.raises(PlanFileError, match="its owner forbids it"):
        proposed(node, path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("\x00\xff", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no plan"),
        ("{}", "is no plan"),
        ('{"gpuslice_plan": 1}', "version 1, and this gpuslice reads 2"),
        ('{"gpuslice_plan": "2"}', "version '2'"),
        ('{"gpuslice_plan": 2, "change": {}, "demands": 3}', "is damaged"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanFileError, match=said):
        read_plan(path)


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="There is no plan"):
        read_plan(tmp_path / "plan.json")
    with pytest.raises(PlanFileError, match="cannot be read"):
        read_plan(tmp_path)


def test_a_slice_moved_by_hand_is_refused_by_the_check(node: Node, path: Path) -> None:
    def move(value: Any) -> None:
        value["change"]["plan"]["gpus"][0]["create"][0]["placement"] = {"start": 1, "size": 2}

    edit(path, move)
    with pytest.raises(PlanFileError, match="does not fit this machine"):
        proposed(node, path)


def test_an_engine_changed_by_hand_is_refused(node: Node, path: Path) -> None:
    edit(path, lambda value: value["change"]["desired"]["models"][0].update(engine="magic"))
    with pytest.raises((PlanFileError, StackError)):
        proposed(node, path)
