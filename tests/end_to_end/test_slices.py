"""Slices by real commands and a real agent: killed, interrupted, and beside a stack."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from end_to_end.conftest import Stand, tiny
from end_to_end.test_stack import ask
from gpuslice import simulator

HALVES = [(0, "3g.40gb", "0:4"), (0, "3g.40gb", "4:4")]
LAYOUT = """\
version: v1
mig-configs:
  halves: [{devices: all, mig-enabled: true, mig-devices: {"3g.40gb": 2}}]
"""


def hang_at_the_second_slice(stand: Stand) -> None:
    """Let the change stand still in its middle: MIG is on and one slice is there."""
    create = "nvmlDeviceCreateGpuInstanceWithPlacement"
    stand.run("simulate", "fault", "add", "hang", "--call", create, "--at", "2")


def agents(stand: Stand) -> list[int]:
    return [
        pid
        for pid in stand.processes()
        if b"gpuslice.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_the_agent_comes_for_one_change_and_leaves(stand: Stand) -> None:
    (stand.folder / "halves.yaml").write_text(LAYOUT)

    shown = stand.run("slices", "apply", "halves.yaml", "--yes", "--show-commands")

    assert "$ nvidia-smi mig -i 0 -cgi 9:0 -C" in shown
    assert stand.slices() == HALVES
    stand.wait_for(lambda: stand.processes() == [], "the agent to leave")
    assert not stand.machine.gateway_file.exists(), "no gateway was thought of"


def test_an_agent_killed_in_the_middle_is_undone_by_the_next_command(stand: Stand) -> None:
    (stand.folder / "halves.yaml").write_text(LAYOUT)
    hang_at_the_second_slice(stand)
    process = stand.start("slices", "apply", "halves.yaml", "--yes")
    stand.wait_for(lambda: stand.slices() == HALVES[:1], "the middle")
    [agent] = agents(stand)

    os.kill(agent, signal.SIGKILL)

    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    stand.run("simulate", "fault", "clear")
    shown = stand.run("slices", "apply", "halves.yaml", "--yes")
    assert "An earlier change was interrupted; undoing it first." in shown
    assert shown.index("destroy 3g.40gb at 0:4") < shown.index("the slices are as planned")
    assert stand.slices() == HALVES


def test_ctrl_c_in_the_middle_ends_where_it_began(stand: Stand) -> None:
    (stand.folder / "halves.yaml").write_text(LAYOUT)
    hang_at_the_second_slice(stand)
    process = stand.start("slices", "apply", "halves.yaml", "--yes")
    stand.wait_for(lambda: stand.slices() == HALVES[:1], "the middle")

    process.send_signal(signal.SIGINT)
    stand.run("simulate", "fault", "clear")

    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    stand.assert_nothing_is_left()


def test_a_step_that_the_driver_refuses_is_undone(stand: Stand) -> None:
    (stand.folder / "halves.yaml").write_text(LAYOUT)
    create = "nvmlDeviceCreateGpuInstanceWithPlacement"
    stand.run("simulate", "fault", "add", "error", "UNKNOWN", "--call", create, "--at", "2")

    shown = stand.run("slices", "apply", "halves.yaml", "--yes", expect=1)

    assert "Undoing." in shown
    assert "everything is as it was before" in shown
    stand.assert_nothing_is_left()


def test_a_stack_is_planned_around_slices_and_slices_around_a_stack(stand: Stand) -> None:
    stand.run("slices", "create", "3g.40gb", "--gpu", "0", "--at", "4", "--yes")
    stand.write(tiny("chat", profile="2g.20gb"))

    stand.run("up", "-d", "--yes")
    stand.run("slices", "create", "1g.10gb", "--yes")
    refused = stand.run("slices", "destroy", stack_slice(stand), "--yes", expect=1)

    assert "stack-slices" in refused
    assert ask(stand.port, "chat").startswith("I am chat.")
    assert len(stand.slices()) == 3
    stand.run("down", "--slices")
    assert [profile for _, profile, _ in stand.slices()] == ["1g.10gb", "3g.40gb"]
    stand.run("slices", "destroy", "--all-ours", "--yes")
    assert stand.slices() == []


def stack_slice(stand: Stand) -> str:
    """The slice of the running stack, as `gpuslice slices list` names it."""
    [found] = [s["id"] for s in stand.json("slices", "list")["slices"] if s["stack"]]
    return str(found)


def test_what_was_there_before_a_restart_comes_back_by_the_boot_units_command(stand: Stand) -> None:
    stand.run("slices", "create", "2g.20gb", "--gpu", "0", "--at", "2", "--yes")
    stand.run("slices", "checkpoint", "saved.json")
    simulator.reboot(stand.machine.simulator_dir)
    assert stand.slices() == []

    shown = stand.run("slices", "restore", "saved.json", "--at-boot")

    assert "SIMULATED GPU" in shown
    assert "Restored." in shown
    assert stand.slices() == [(0, "2g.20gb", "2:2")]
    assert stand.processes() == [], "no agent stays behind"
