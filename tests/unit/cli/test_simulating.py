"""The simulated machine itself: which boards there are, other tools on it, restarting it."""

from __future__ import annotations

import os

import pytest

from gpuslice.agent.node import Node
from gpuslice.hardware import load_boards
from machines import layout_of, make_slice
from terminal import Terminal


def test_every_board_is_listed_with_its_profiles(terminal: Terminal) -> None:
    shown = terminal.type("simulate", "boards").out
    for board in load_boards():
        assert board.key in shown
    assert "no MIG" in shown


def test_a_restart_takes_the_slices_away(terminal: Terminal, node: Node) -> None:
    make_slice(node, "2g.20gb", 0)
    assert "restarted" in terminal.type("simulate", "reboot").out
    assert layout_of(node) == []


def test_another_tool_is_run_with_the_simulated_binding_in_its_way(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, list[str], dict[str, str]]] = []

    def run(program: str, command: list[str], environment: dict[str, str]) -> None:
        ran.append((program, command, environment))

    monkeypatch.setattr(os, "execvpe", run)
    terminal.type("simulate", "run", "--", "some-tool", "--json")
    ((program, command, environment),) = ran
    assert (program, command) == ("some-tool", ["some-tool", "--json"])
    changed = {k: v for k, v in environment.items() if os.environ.get(k) != v}
    assert str(terminal.machine.simulator_dir) in changed.values()


@pytest.mark.parametrize(
    "arguments", [("run", "--", "no-such-tool"), ("run", "--simulate", "", "--", "true")]
)
def test_a_tool_that_is_not_there_is_wrong_usage(
    terminal: Terminal, arguments: tuple[str, ...]
) -> None:
    simulation = None if "no-such-tool" in arguments else ""
    shown = terminal.type("simulate", *arguments, simulate=simulation)
    assert shown.status == 2


def test_a_real_machine_is_never_rebooted(terminal: Terminal) -> None:
    shown = terminal.type("simulate", "reboot", simulate="")
    assert shown.status == 2
    assert "name the simulated GPUs" in shown.error


def test_the_simulation_may_stand_before_or_after_the_command(terminal: Terminal) -> None:
    before = terminal.type("--simulate", "a30", "gpus", "--json", simulate="").json
    after = terminal.type("gpus", "--json", "--simulate", "a30", simulate="").json
    assert [gpu["name"] for gpu in before["gpus"]] == ["NVIDIA A30"]
    assert before["gpus"] == after["gpus"]
