"""Everything that goes wrong: bad servers, taken ports, Ctrl-C, kill -9; and what is left of it."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import sys
from pathlib import Path

import pytest

from end_to_end.conftest import Stand, listens, tiny
from end_to_end.test_stack import ask, make_foreign_slice, pids


def test_a_server_that_exits_at_once_is_reported_with_its_last_lines_and_undone(
    stand: Stand,
) -> None:
    command = json.dumps([sys.executable, "-c", "print('boom: no such tensor'); exit(3)"])
    stand.write(f"{tiny('chat')}\nbad: {{engine: command, slice: 1g.10gb, command: {command}}}")

    shown = stand.run("up", "-d", "--yes", expect=8)

    assert "server-exited" in shown
    assert "boom: no such tensor" in shown
    stand.assert_nothing_is_left()


def test_a_failed_change_of_a_running_stack_ends_with_the_stack_before(stand: Stand) -> None:
    stand.write(f"{tiny('chat')}\n{tiny('old', profile='2g.20gb')}")
    stand.run("up", "-d", "--yes")
    before, slices = pids(stand), stand.slices()
    command = json.dumps([sys.executable, "-c", "exit(1)"])
    bad = f"bad: {{engine: command, slice: 3g.40gb, command: {command}}}"
    stand.write(f"{tiny('chat')}\n{bad}")

    stand.run("up", "-d", "--yes", expect=8)

    assert stand.slices() == slices
    stand.wait_for(lambda: ask_quietly(stand, "old") == "I am old.", "the old model to be back")
    after = pids(stand)
    assert after["chat/0"] == before["chat/0"]
    assert set(after) == set(before)


def test_a_taken_port_is_refused_before_anything_is_touched(stand: Stand) -> None:
    stand.write(tiny("chat"))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", stand.port))
        taken.listen()

        shown = stand.run("up", "-d", "--yes", expect=9)

    assert "port-in-use" in shown
    assert f"pid {os.getpid()}" in shown
    stand.assert_nothing_is_left()


def test_a_gateway_that_cannot_start_is_reported_with_its_last_lines_and_undone(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = stand.folder / "site" / "smg"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit('this gateway is broken')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    stand.write(tiny("chat"))

    shown = stand.run("up", "-d", "--yes", expect=9)

    assert "gateway-failed" in shown
    assert "this gateway is broken" in shown
    stand.assert_nothing_is_left()


@pytest.mark.parametrize("moment", ["creating", "starting", "running"])
def test_ctrl_c_at_any_moment_ends_where_it_began(stand: Stand, moment: str) -> None:
    stand.write(tiny("chat", delay_s=0.0 if moment == "running" else 30.0))
    process = stand.start("up", "--yes")
    waits = {
        "creating": lambda: any(stand.mig_modes()),
        "starting": lambda: len(stand.processes()) >= 3,
        "running": lambda: ask_quietly(stand, "chat") == "I am chat.",
    }
    stand.wait_for(waits[moment], moment)

    process.send_signal(signal.SIGINT)

    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    stand.assert_nothing_is_left()


def test_a_closed_terminal_is_a_ctrl_c(stand: Stand) -> None:
    stand.write(tiny("chat"))
    process = stand.start("up", "--yes")
    stand.wait_for(lambda: ask_quietly(stand, "chat") == "I am chat.", "the stack to be up")

    process.kill()
    process.communicate()

    stand.wait_for(lambda: not stand.machine.journal_file.exists(), "the agent to undo")
    stand.assert_nothing_is_left()


def test_down_in_another_terminal_ends_a_foreground_stack(stand: Stand) -> None:
    stand.write(tiny("chat"))
    process = stand.start("up", "--yes")
    stand.wait_for(lambda: ask_quietly(stand, "chat") == "I am chat.", "the stack to be up")
    refused = stand.run("up", "-d", "--yes", expect=7)

    stand.run("down", "--mig-off")

    assert "foreground" in refused
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "another terminal" in err
    stand.assert_nothing_is_left()


def test_two_ups_at_the_same_time_never_both_change_the_machine(stand: Stand) -> None:
    stand.write(tiny("chat", delay_s=2.0))

    both = [stand.start("up", "-d", "--yes") for _ in range(2)]

    for process in both:
        process.communicate(timeout=60)
    statuses = sorted(process.returncode for process in both)
    assert statuses[0] == 0
    assert statuses[1] in (0, 7)  # waited and found it done, or was refused
    assert len(stand.slices()) == 1
    assert len(stand.json("ps")["servers"]) == 1


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_killed_agent_leaves_a_stack_that_the_next_command_takes_over(
    each_stand: Stand, command: str
) -> None:
    stand = each_stand
    stand.write(stand.tiny("chat"))
    stand.run("up", "-d", "--yes")
    before = pids(stand)
    os.kill(stand.json("ps")["agent"]["pid"], signal.SIGKILL)
    assert ask(stand.port, "chat").startswith("I am chat.")
    assert "agent is not running" in stand.run("ps")

    if command == "up":
        stand.run("up", "-d", "--yes")
        assert pids(stand) == before
    else:
        stand.run("down", "--mig-off")
        stand.assert_nothing_is_left()


@pytest.mark.parametrize("then", ["up", "down"])
def test_an_agent_killed_in_the_middle_of_a_change_is_undone_by_the_next_command(
    each_stand: Stand, then: str
) -> None:
    stand = each_stand
    stand.write(stand.tiny("chat", delay_s=30.0))
    process = stand.start("up", "-d", "--yes")
    stand.wait_for(lambda: len(stand.slices()) == 1 and len(stand.servers()) >= 3, "the middle")
    for pid in stand.processes():
        if b"gpuslice.agent" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 10, err

    if then == "up":
        stand.write(stand.tiny("chat"))
        assert "interrupted" in stand.run("up", "-d", "--yes")
        assert ask(stand.port, "chat").startswith("I am chat.")
    else:
        stand.run("down", "--mig-off")
        stand.assert_nothing_is_left()


@pytest.mark.parametrize("victim", ["chat/0", "gateway"])
def test_what_is_killed_comes_back_and_answers_again(stand: Stand, victim: str) -> None:
    stand.write(f"{tiny('chat')}\n{tiny('coder')}")
    stand.run("up", "-d", "--yes")
    before = pids(stand)

    os.kill(before[victim], signal.SIGKILL)

    stand.wait_for(lambda: pids(stand)[victim] not in (None, before[victim]), "the restart")
    stand.wait_for(lambda: ask_quietly(stand, "chat") == "I am chat.", "chat to answer")
    stand.wait_for(lambda: ask_quietly(stand, "coder") == "I am coder.", "coder to answer")
    after = pids(stand)
    assert {name for name in after if after[name] != before[name]} == {victim}


def test_a_plan_made_before_the_gpus_changed_is_refused(stand: Stand) -> None:
    stand.write(tiny("chat"))
    # The question is answered only after somebody else has made a slice.
    master, slave = pty.openpty()
    process = stand.start("up", "-d", stdin=slave)
    assert process.stderr is not None
    shown = ""
    while "Go ahead?" not in shown:
        shown += process.stderr.read(1)
    make_foreign_slice(stand, "1g.10gb")
    os.write(master, b"y\n")
    _, err = process.communicate(timeout=60)
    os.close(master)
    os.close(slave)

    assert process.returncode == 7, err
    assert "state-moved" in err
    assert stand.slices() == [(0, "1g.10gb", "0:1")]


def ask_quietly(stand: Stand, model: str) -> str:
    """First sentence of an answer, or "" while there is none."""
    if not listens(stand.port):
        return ""
    try:
        return ask(stand.port, model).partition(" You said")[0]
    except OSError:
        return ""
