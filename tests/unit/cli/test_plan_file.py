"""``plan --out`` and ``up --plan`` on the command line, up to where the agent takes over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuslice.agent.node import Node
from machines import layout_of, make_slice, write_stack
from terminal import Shown, Terminal

SERVED = 'chat: {engine: command, slice: 3g.40gb, command: ["my-server", "{port}"]}'


@pytest.fixture
def planned(terminal: Terminal, tmp_path: Path) -> Shown:
    write_stack(tmp_path, SERVED)
    return terminal.type("plan", "--out", "plan.json")


def test_a_plan_is_written_for_its_owner_only_and_says_how_to_go_on(
    planned: Shown, tmp_path: Path
) -> None:
    assert planned.status == 0, planned.err
    path = tmp_path / "plan.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["gpuslice_plan"] == 2
    assert "gpuslice up --plan plan.json" in planned.err


def test_a_file_that_others_could_read_is_closed_when_it_is_replaced(
    planned: Shown, terminal: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    path.chmod(0o644)
    assert terminal.type("plan", "--out", "plan.json").status == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_plan_without_room_is_not_written(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, SERVED.replace("slice", "replicas: 3, slice"))
    assert terminal.type("plan", "--out", "plan.json").status == 4
    assert not (tmp_path / "plan.json").exists()


def test_up_shows_the_plan_of_the_file_and_asks(
    planned: Shown, terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "gpuslice.yaml").unlink()
    shown = terminal.type("up", "--plan", "plan.json")
    assert shown.out == planned.out
    assert "say --yes" in shown.error
    assert shown.status == 2


def test_up_refuses_a_plan_of_another_state_before_it_asks(
    planned: Shown, terminal: Terminal, node: Node
) -> None:
    make_slice(node, "1g.10gb", 6)
    shown = terminal.type("up", "--plan", "plan.json", "--yes")
    assert shown.status == 7
    assert "[state-moved]" in shown.error
    assert layout_of(node) == [(0, "1g.10gb", "6:1")]


def test_a_plan_and_a_stack_file_exclude_each_other(planned: Shown, terminal: Terminal) -> None:
    shown = terminal.type("up", "--plan", "plan.json", "-f", "other.yaml")
    assert shown.status == 2
    assert "leave the stack file out" in shown.error


@pytest.mark.parametrize("option", [("--moves", "0"), ("--drain", "0")])
def test_a_plan_on_file_takes_no_further_rules(
    planned: Shown, terminal: Terminal, option: tuple[str, str]
) -> None:
    shown = terminal.type("up", "--plan", "plan.json", *option)
    assert shown.status == 2
    assert "is carried out as it is" in shown.error


def test_up_takes_the_same_rules_as_plan(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, SERVED)
    shown = terminal.type("up", "--moves", "0", "--drain", "0", "--yes")
    assert shown.status == 4
    assert "every GPU that this stack may use is to be drained" in shown.error
