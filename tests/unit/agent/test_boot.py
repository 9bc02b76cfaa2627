"""What is restored when the machine starts, and the unit that does it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agents import running_agent
from changing import FailingDriver
from gpuslice import simulator
from gpuslice.agent import boot
from gpuslice.agent.__main__ import hold_lock
from gpuslice.agent.boot import CHECKPOINT, UNIT, WANTS, install, restore_at_boot, uninstall
from gpuslice.agent.boot_unit import UNIT_NAME, command_word, quoted, unit_text
from gpuslice.agent.checkpoint import checkpoint_of, checkpoint_text
from gpuslice.agent.node import Node
from gpuslice.errors import (
    AgentError,
    CheckpointError,
    DriverError,
    FileNotWrittenError,
    ForeignSlicesError,
    PermissionDeniedError,
)
from gpuslice.model.event import Event
from gpuslice.model.machine import Machine
from machines import layout_of, make_slice, modes_of, open_simulated

COMMAND = ("/opt/gpu slice/bin/python", "-m", "gpuslice", "slices", "restore", "/etc/x.json")
LAID = [(0, "3g.40gb", "4:4"), (1, "2g.20gb", "0:2")]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """An Ampere and a Hopper card with a slice each."""
    node = open_simulated(tmp_path / "home", "a100-80gb,h100-80gb")
    make_slice(node, "3g.40gb", 4, gpu=0)
    make_slice(node, "2g.20gb", 0, gpu=1)
    return node


def saved(node: Node, folder: Path) -> Path:
    path = folder / "saved.json"
    path.write_text(checkpoint_text(checkpoint_of(node.driver.read())))
    return path


def restored(node: Node, path: Path) -> list[str]:
    events: list[Event] = []
    restore_at_boot(node.machine, path, events.append)
    return [event.text for event in events]


def test_a_restart_takes_slices_and_hoppers_mode_and_both_come_back(
    node: Node, tmp_path: Path
) -> None:
    path = saved(node, tmp_path)
    simulator.reboot(node.machine.simulator_dir)
    assert (layout_of(node), modes_of(node)) == ([], [True, False])

    told = restored(node, path)

    assert sorted(told) == [  # GPUs are changed side by side, in no order
        "GPU 0: create 3g.40gb at 4:4",
        "GPU 1: create 2g.20gb at 0:2",
        "GPU 1: enable MIG mode",
    ]
    assert (layout_of(node), modes_of(node)) == (LAID, [True, True])
    assert [owned.stack for owned in node.read_record().owned] == ["", ""]
    assert node.store.read_journal() is None
    assert restored(node, path) == [], "a second start of the unit has nothing to do"


def test_mode_is_switched_off_again_where_it_was_off(node: Node, tmp_path: Path) -> None:
    bare = open_simulated(tmp_path / "bare")
    path = saved(bare, tmp_path)
    bare.driver.set_mig_mode(bare.driver.read().gpus[0].uuid, enabled=True)
    simulator.reboot(bare.machine.simulator_dir)
    assert modes_of(bare) == [True], "Ampere keeps its mode over a restart"

    restored(bare, path)

    assert modes_of(bare) == [False]


def test_gpus_that_are_there_are_restored_before_missing_ones_are_told(
    node: Node, tmp_path: Path
) -> None:
    observed = node.driver.read()
    gone = replace(observed.gpus[0], uuid="GPU-gone")
    path = tmp_path / "saved.json"
    path.write_text(
        checkpoint_text(checkpoint_of(replace(observed, gpus=(gone, observed.gpus[1]))))
    )
    simulator.reboot(node.machine.simulator_dir)

    with pytest.raises(CheckpointError, match=r"1 GPUs of .* the others are restored") as caught:
        restored(node, path)

    assert caught.value.details == ("GPU-gone (NVIDIA A100-SXM4-80GB, was GPU 0)",)
    assert layout_of(node) == LAID[1:]


def test_slices_that_somebody_else_made_meanwhile_are_not_touched(
    node: Node, tmp_path: Path
) -> None:
    path = saved(node, tmp_path)
    simulator.reboot(node.machine.simulator_dir)
    make_slice(node, "1g.10gb", 5, gpu=0)

    with pytest.raises(ForeignSlicesError, match="nothing was changed"):
        restored(node, path)

    assert layout_of(node) == [(0, "1g.10gb", "5:1")]


def test_a_restore_that_fails_ends_where_it_began(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(node, tmp_path)
    simulator.reboot(node.machine.simulator_dir)
    driver = FailingDriver(
        node.driver, fails_at=2, error=lambda: DriverError("no such luck"), afterwards=True
    )
    failing = replace(node, driver=driver, another_driver=None)
    monkeypatch.setattr(boot, "open_node", lambda _: failing)

    with pytest.raises(DriverError, match="no such luck"):
        restored(node, path)

    assert (layout_of(node), modes_of(node)) == ([], [True, False])
    assert node.store.read_journal() is None


def test_while_an_agent_lives_nobody_else_changes_anything(tmp_path: Path) -> None:
    with running_agent(tmp_path / "home") as agent:
        path = saved(agent.node, tmp_path)
        machine = agent.node.machine
        descriptor = hold_lock(machine)
        try:
            with pytest.raises(AgentError, match="Another agent"):
                restore_at_boot(machine, path, lambda _: None)
        finally:
            os.close(descriptor)


def a_real_machine(folder: Path) -> Machine:
    return Machine(root=folder / "state" / "host")


def test_installing_writes_checkpoint_unit_and_link_and_uninstalling_removes_them(
    node: Node, tmp_path: Path
) -> None:
    root, told = tmp_path / "root", []
    checkpoint = checkpoint_of(node.driver.read())

    files = install(
        a_real_machine(tmp_path), checkpoint, root=root, reload=lambda: told.append("reload")
    )
    again = install(a_real_machine(tmp_path), checkpoint, root=root, reload=lambda: None)

    assert files == again == (root / CHECKPOINT, root / UNIT, root / WANTS)
    assert [stat.S_IMODE(path.stat().st_mode) for path in files[:2]] == [0o600, 0o644]
    assert files[0].read_text() == checkpoint_text(checkpoint)
    assert str(files[2].readlink()) == f"/etc/systemd/system/{UNIT_NAME}"
    assert f'"{files[0]}" "--at-boot"' in files[1].read_text()

    gone = uninstall(root=root, reload=lambda: told.append("reload"))

    assert set(gone) == set(files)
    assert not any(path.exists() or path.is_symlink() for path in files)
    assert told == ["reload", "reload"]
    assert uninstall(root=root, reload=lambda: None) == ()


def test_a_simulated_machine_is_not_started_by_systemd(node: Node, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="simulated machine is not started by systemd"):
        install(node.machine, checkpoint_of(node.driver.read()), root=tmp_path)

    assert not (tmp_path / "etc").exists()


def test_a_folder_that_cannot_be_written_is_told(node: Node, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "etc").write_text("a file where a folder has to be")

    with pytest.raises(FileNotWrittenError, match="cannot be written"):
        install(a_real_machine(tmp_path), checkpoint_of(node.driver.read()), root=tmp_path / "root")


def test_whoever_is_not_root_is_told_to_be(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/gpuslice")

    monkeypatch.setattr(boot, "_write", refused)

    with pytest.raises(PermissionDeniedError, match="Permission denied") as caught:
        install(a_real_machine(tmp_path), checkpoint_of(node.driver.read()), root=tmp_path)

    assert "sudo" in caught.value.hint


def test_the_unit_comes_before_whatever_hands_gpus_out() -> None:
    text = unit_text(COMMAND, Path("/etc/x.json"), Path("/var/lib/gpuslice"))
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    before, after = set(lines["Before"].split()), set(lines["After"].split())
    assert {"docker.service", "containerd.service", "crio.service", "podman.service"} <= before
    assert {"kubelet.service", "nvidia-dcgm.service"} <= before
    assert {"nvidia-persistenced.service", "nvidia-fabricmanager.service"} <= after
    assert (lines["Type"], lines["RemainAfterExit"]) == ("oneshot", "yes")
    assert lines["ExecStart"].startswith('"/opt/gpu slice/bin/python" "-m" "gpuslice"')


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", '"plain"'),
        ("a b", '"a b"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
    ],
)
def test_a_word_of_the_command_reaches_the_program_as_it_is(word: str, written: str) -> None:
    assert command_word(word) == written


def test_a_dollar_is_doubled_only_in_commands() -> None:
    assert quoted("GPUSLICE_HOME=/a$b") == '"GPUSLICE_HOME=/a$b"'


def verified(unit: Path) -> tuple[int, str]:
    """What systemd thinks of a unit: its exit status and what it says."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("DID NOT RUN: systemd-analyze is missing; apt install systemd, and run again")
    command = [verify, "verify", str(unit)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.returncode, found.stdout + found.stderr


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "a program with $1 50%"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT_NAME
    unit.write_text(
        unit_text((str(program), *COMMAND[1:]), tmp_path / "100% x.json", tmp_path / "home $x")
    )

    assert verified(unit) == (0, "")


def test_systemd_would_find_what_is_wrong(tmp_path: Path) -> None:
    unit = tmp_path / UNIT_NAME
    text = unit_text(("/no/such/program",), tmp_path / "x.json", tmp_path)
    unit.write_text(text.replace("ProtectClock=yes", "ProtectClock=maybe"))

    _, told = verified(unit)

    assert "Failed to parse boolean value, ignoring: maybe" in told
    assert "/no/such/program is not executable" in told
