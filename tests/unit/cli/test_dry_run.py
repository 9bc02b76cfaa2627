"""A dry run says what would be done, in the words of what does it, and does nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builders import a_desired, a_record, owned
from gpuslice.agent.node import open_node
from gpuslice.apply.record import Journal
from gpuslice.model.desired import Hooks, Record
from machines import layout_of, make_slice, modes_of, write_stack
from terminal import Terminal

CHAT = 'chat: {engine: command, slice: 2g.20gb, command: ["my-server", "{port}"]}'
HOOKS = "hooks: {before: [[systemctl, stop, '[kubelet]']]}"


def test_up_shows_the_plan_and_its_hooks_and_starts_nothing(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, CHAT, more=HOOKS)
    planned = terminal.type("plan").out
    shown = terminal.type("up", "--dry-run")
    assert shown.status == 0, shown.err
    assert shown.out.startswith(planned.rstrip())
    assert "hook before: systemctl stop [kubelet]\nDry run: nothing was changed." in shown.out
    node = open_node(terminal.machine)
    assert modes_of(node) == [False]
    assert not terminal.machine.socket_file.exists()
    assert not terminal.machine.record_file.exists()


def test_down_shows_what_would_go_and_only_that(terminal: Terminal) -> None:
    node = open_node(terminal.machine)
    ours, _theirs = make_slice(node, "2g.20gb", 0), make_slice(node, "1g.10gb", 6)
    desired = replace(a_desired(), hooks=Hooks(after=(("true",),)))
    boot_id = node.driver.boot_id()
    record = a_record(owned(ours, "chat"), desired=desired, boot_id=boot_id)
    node.store.write_record(record)

    assert "No slice and no mode has to change" in terminal.type("down", "--dry-run").out
    shown = terminal.type("down", "--slices", "--mig-off", "--dry-run")
    assert shown.status == 0, shown.err
    assert "GPU 0: destroy 2g.20gb at 0:2" in shown.out
    assert "nvidia-smi mig -i 0 -dci" in shown.out
    assert "1g.10gb" not in shown.out
    assert "disable MIG" not in shown.out, "somebody else's slice keeps the mode on"
    assert "hook after: true" in shown.out
    assert layout_of(node) == [(0, "2g.20gb", "0:2"), (0, "1g.10gb", "6:1")]
    assert node.read_record() == record


def test_down_names_the_mode_where_nothing_else_lies(terminal: Terminal) -> None:
    node = open_node(terminal.machine)
    ours = make_slice(node, "2g.20gb", 0)
    node.store.write_record(a_record(owned(ours, "chat"), boot_id=node.driver.boot_id()))
    shown = terminal.type("down", "--mig-off", "--dry-run")
    assert shown.out.index("destroy 2g.20gb") < shown.out.index("GPU 0: disable MIG mode")
    assert modes_of(node) == [True]


def test_a_change_that_was_cut_off_is_told_and_left_as_it_is(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, CHAT)
    node = open_node(terminal.machine)
    node.store.write_journal(Journal(before=Record()))
    assert "would undo it first" in terminal.type("up", "--dry-run").error
    assert "would be undone first" in terminal.type("down", "--dry-run").error
    assert node.store.read_journal() is not None


def test_a_refusal_that_does_not_exist_cannot_be_allowed(terminal: Terminal) -> None:
    shown = terminal.type("down", "--allow", "slices-in-us")
    assert shown.status == 2
    assert "slices-in-use" in shown.error
