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


def test_a_fault_strikes_the_commands_that_come(terminal: Terminal) -> None:
    added = terminal.type(
        "simulate", "fault", "add", "error", "unknown", "--call", "nvmlDeviceGetMigMode"
    )

    assert "answers UNKNOWN, at call 1 of nvmlDeviceGetMigMode" in added.out
    assert terminal.type("gpus").status == 5
    assert terminal.type("gpus").status == 0
    assert terminal.type("simulate", "fault", "list", "--json").json["faults"][0]["struck"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("error", "IN_USE", "--afterwards", "--times", "0"), "does what was asked and then"),
        (("hang", "--seconds", "0.5", "--at", "90"), "hangs for 0.5 s, at call 90"),
        (("client", "0", "--start", "4"), "process 4711 holds GPU 0 on the slice at 4"),
        (("lose-gpu", "0", "--at", "3"), "GPU 0 falls off the bus, at call 3"),
        (("mode-pending", "0"), "left pending with NOT_SUPPORTED"),
        (("reboot",), "the machine restarts"),
        (("reset-fails",), "answers UNKNOWN, from call 1 of nvidia-smi --gpu-reset on"),
        (("lacking", "gpm"), "FUNCTION_NOT_FOUND, from call 1 of nvmlGpmMetricsGet on"),
        (("uneven-memory", "0"), "has +128 MiB"),
    ],
)
def test_a_fault_of_each_kind_can_be_added_and_is_listed(
    terminal: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    added = terminal.type("simulate", "fault", "add", *arguments)
    listed = terminal.type("simulate", "fault", "list")

    assert "SIMULATED GPU" in added.out
    assert words in " ".join(added.out.split())
    assert words in " ".join(listed.out.split())


def test_clearing_mends_what_faults_have_done(terminal: Terminal) -> None:
    for fault in (("lose-gpu", "0"), ("client", "0", "--times", "0"), ("uneven-memory", "0")):
        terminal.type("simulate", "fault", "add", *fault)
    assert terminal.type("gpus").status == 5
    listed = terminal.type("simulate", "fault", "list").out
    assert "GPU 0 has fallen off the bus." in listed
    assert "Process 4711 holds GPU 0." in listed

    assert "Faults taken away: 2." in terminal.type("simulate", "fault", "clear").out

    assert terminal.type("gpus").status == 0
    assert "There are no faults." in terminal.type("simulate", "fault", "list").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("error", "BUSY"), "bad-fault"),
        (("error", "IN_USE", "--call", "nvmlDeviceGetNam"), "bad-fault"),
        (("lose-gpu", "1"), "unknown-gpu"),
        (("error", "IN_USE", "--gpu", "7"), "unknown-gpu"),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(
    terminal: Terminal, arguments: tuple[str, ...], code: str
) -> None:
    shown = terminal.type("simulate", "fault", "add", *arguments)

    assert shown.status in (4, 5)
    assert f"[{code}]" in shown.error
    assert terminal.type("simulate", "fault", "list", "--json").json["faults"] == []


def test_the_machine_is_shown_as_nvidia_smi_shows_one(terminal: Terminal, node: Node) -> None:
    made = make_slice(node, "2g.20gb", 0)
    shown = terminal.type("simulate", "show").out
    assert "SIMULATED GPU" in shown
    assert f"  MIG 2g.20gb     Device  0: (UUID: {made.uuid})\n" in shown
    assert "|   0  MIG 2g.20gb           14        3          0:2     |\n" in shown


def test_each_listing_can_be_asked_for_in_either_width(terminal: Terminal) -> None:
    asked = ("simulate", "show", "--list", "gipp", "--list", "gip")
    wide, narrow = terminal.type(*asked).out, terminal.type(*asked, "--narrow").out
    assert "GPU  0 Profile ID  0 Placement : {0}:8\n" in wide
    assert max(map(len, wide.splitlines())) - max(map(len, narrow.splitlines())) == 2


def test_a_listing_that_nobody_knows_is_refused_with_those_there_are(terminal: Terminal) -> None:
    shown = terminal.type("simulate", "show", "--list", "gpu")
    assert shown.status == 2
    assert "gip, gipp, gi, ci, cip" in shown.error
