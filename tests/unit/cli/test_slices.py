"""The slice commands as they are typed, on simulated H100s, with the shipped agent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents import Agent, running_agent
from builders import a_desired
from gpuslice.agent.node import Node, open_node
from gpuslice.model.demand import ReplicaId
from gpuslice.model.plan import Owned
from machines import layout_of, make_slice, modes_of, record_owned
from terminal import Terminal

SIMULATION = "h100-80gb:2"
BALANCED = '{"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1}'
FILE = f"""\
version: v1
mig-configs:
  off: [{{devices: all, mig-enabled: false}}]
  balanced: [{{devices: all, mig-enabled: true, mig-devices: {BALANCED}}}]
  halves: [{{devices: [0], mig-enabled: true, mig-devices: {{"3g.40gb": 2}}}}]
  three: [{{devices: [0], mig-enabled: true, mig-devices: {{"3g.40gb": 3}}}}]
  elsewhere: [{{devices: [7], mig-enabled: false}}]
"""


@pytest.fixture
def agent(terminal: Terminal) -> Iterator[Agent]:
    """The agent that the commands find; one that is started has tests of its own, end to end."""
    with running_agent(terminal.home, SIMULATION) as agent:
        yield agent


@pytest.fixture
def shop(terminal: Terminal, agent: Agent, tmp_path: Path) -> Terminal:
    """A terminal on two simulated H100s, in a folder with a layout file."""
    terminal.simulation = SIMULATION
    (tmp_path / "config.yaml").write_text(FILE)
    assert agent.is_idle()
    return terminal


@pytest.fixture
def node(shop: Terminal) -> Node:
    return open_node(shop.machine)


def test_a_layout_is_applied_and_applied_again_changes_nothing(shop: Terminal, node: Node) -> None:
    first = shop.type("slices", "apply", "config.yaml#balanced", "--yes")
    before = node.driver.read()
    again = shop.type("slices", "apply", "config.yaml#balanced")

    assert (first.status, again.status) == (0, 0)
    assert "the slices are as planned" in first.error
    assert layout_of(node) == [
        (gpu, profile, at)
        for gpu in (0, 1)
        for profile, at in [
            ("2g.20gb", "0:2"),
            ("1g.10gb", "2:1"),
            ("1g.10gb", "3:1"),
            ("3g.40gb", "4:4"),
        ]
    ]
    assert "GPU 0, 1: as it should be, nothing to do." in again.out
    assert node.driver.read() == before
    assert [o.stack for o in node.read_record().owned] == [""] * 8


def test_the_difference_is_shown_before_anything_is_asked(shop: Terminal, node: Node) -> None:
    shop.type("slices", "apply", "config.yaml#balanced", "--yes")

    shown = shop.type("slices", "apply", "config.yaml#halves")

    assert shown.status == 64  # no terminal to ask on, and no --yes
    assert "SIMULATED GPU" in shown.out
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "- destroy 2g.20gb 0:2 0/3 gpuslice" in lines
    assert "= keep 3g.40gb 4:4 0/2 gpuslice" in lines
    assert "+ create 3g.40gb 0:4" in lines
    assert "4. GPU 0: create 3g.40gb at 0:4 nvidia-smi mig -i 0 -cgi 9:0 -C" in lines
    assert len(layout_of(node)) == 8


def test_a_dry_run_changes_nothing_and_says_by_its_status_whether_it_would(
    shop: Terminal, node: Node
) -> None:
    would = shop.type("slices", "apply", "config.yaml#balanced", "--dry-run")

    assert (would.status, layout_of(node), modes_of(node)) == (2, [], [False, False])
    assert shop.type("slices", "apply", "config.yaml#off", "--dry-run").status == 0


def test_a_slice_that_is_wanted_is_the_same_slice_afterwards(shop: Terminal, node: Node) -> None:
    kept = make_slice(node, "3g.40gb", 4)

    shown = shop.type("slices", "apply", "config.yaml#halves", "--yes")

    assert shown.status == 0
    assert kept in node.driver.read().gpus[0].slices
    assert node.read_record().owner_of(kept.key) is None, "somebody else's stays theirs"


def test_json_has_the_whole_plan_and_what_has_to_be_allowed(shop: Terminal, node: Node) -> None:
    make_slice(node, "2g.20gb", 0, gpu=1)

    shown = shop.type("slices", "apply", "config.yaml#off", "--dry-run", "--json")

    assert shown.status == 2
    assert shown.json["simulated"] is True
    assert shown.json["changes"] is True
    assert [gpu["index"] for gpu in shown.json["gpus"]] == [0, 1]
    assert [need["allow"] for need in shown.json["needs"]] == ["foreign-slices"]
    assert [step["by_hand"] for step in shown.json["steps"]][-1] == "nvidia-smi -i 1 -mig 0"


def test_assert_says_what_differs_and_where(shop: Terminal, node: Node) -> None:
    make_slice(node, "2g.20gb", 0)

    differs = shop.type("slices", "assert", "config.yaml#halves")

    assert differs.status == 2
    assert differs.out.splitlines()[1:] == [
        "GPU 0: 2g.20gb at 0:2 is there and should not be",
        "GPU 0: 3g.40gb should be there and is not",
        "GPU 0: 3g.40gb should be there and is not",
    ]
    as_json = shop.type("slices", "assert", "config.yaml#halves", "--json")
    assert (as_json.status, as_json.json["equal"]) == (2, False)
    assert as_json.json["differences"] == differs.out.splitlines()[1:]


def test_assert_is_content_with_what_apply_has_made(shop: Terminal) -> None:
    shop.type("slices", "apply", "config.yaml#balanced", "--yes")

    equal = shop.type("slices", "assert", "config.yaml#balanced")

    assert equal.status == 0
    assert "the GPUs are as it says" in equal.out


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("gone.yaml#a", "stack-not-found"),
        ("config.yaml", "unknown-label"),
        ("config.yaml#three", "no-room"),
        ("config.yaml#elsewhere", "nothing-matched"),
    ],
)
def test_assert_fails_with_1_whatever_the_reason(shop: Terminal, file: str, code: str) -> None:
    shown = shop.type("slices", "assert", file)

    assert shown.status == 1
    assert f"[{code}]" in shown.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("assert",),
        ("list", "--no-such-option"),
        ("destroy",),
        ("destroy", "0/1", "--all-ours"),
        ("create", "1g.10gb", "--at", "0", "--count", "2"),
        ("create", "1g.10gb", "--count", "0"),
        ("boot",),
        ("boot", "--install", "--print"),
        ("export", "--label", "a b"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_from_a_difference(shop: Terminal, arguments: tuple[str, ...]) -> None:
    shown = shop.type("slices", *arguments)

    assert shown.status == 64
    assert "Usage: gpuslice slices" in shown.err


def test_somebody_elses_slice_goes_only_when_that_is_allowed(shop: Terminal, node: Node) -> None:
    make_slice(node, "2g.20gb", 0)

    refused = shop.type("slices", "apply", "config.yaml#halves", "--yes")
    allowed = shop.type(
        "slices", "apply", "config.yaml#halves", "--yes", "--allow", "foreign-slices"
    )

    assert refused.status == 1
    assert "[foreign-slices]" in refused.error
    assert "Slices would go that gpuslice did not make" in refused.error
    assert "--allow foreign-slices" in refused.error
    assert "needs --allow foreign-slices: GPU 0: 2g.20gb at 0:2" in refused.out
    assert allowed.status == 0
    assert "allowed, foreign-slices: GPU 0: 2g.20gb at 0:2" in allowed.out
    assert layout_of(node) == [(0, "3g.40gb", "0:4"), (0, "3g.40gb", "4:4")]


def test_a_slice_of_the_running_stack_never_goes(shop: Terminal, node: Node) -> None:
    slice_ = make_slice(node, "2g.20gb", 0)
    record_owned(node, Owned(slice=slice_.key, stack="assistants", replica=ReplicaId("chat", 0)))
    node.store.write_record(replace(node.read_record(), desired=a_desired()))

    for command in (("apply", "config.yaml#halves"), ("destroy", "0/3")):
        shown = shop.type("slices", *command, "--yes", "--allow", "foreign-slices")

        assert shown.status == 1
        assert "[stack-slices]" in shown.error
        assert "running stack 'assistants'" in shown.error
        assert "gpuslice down" in shown.error
    assert layout_of(node) == [(0, "2g.20gb", "0:2")]


def test_a_slice_that_is_in_use_goes_only_when_that_is_allowed(shop: Terminal, node: Node) -> None:
    import subprocess

    slice_ = make_slice(node, "2g.20gb", 0)
    record_owned(node, Owned(slice=slice_.key, stack=""))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": slice_.uuid or ""}
    sleeper = (sys.executable, "-c", "import time; print(flush=True); time.sleep(600)")
    with subprocess.Popen(sleeper, env=environment, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        shown = shop.type("slices", "destroy", "0/3", "--yes")
        listed = shop.type("slices", "list", "--json").json["slices"]
        holder.kill()

    assert shown.status == 1
    assert "[slices-in-use]" in shown.error
    assert f"(pid {holder.pid})" in shown.error
    assert [p["pid"] for p in listed[0]["processes"]] == [holder.pid]
    assert shop.type("slices", "destroy", "0/3", "--yes").status == 0
    assert layout_of(node) == []


def test_slices_are_created_listed_and_destroyed(shop: Terminal, node: Node) -> None:
    shop.type("slices", "create", "3g.40gb", "--gpu", "1", "--at", "0", "--yes")
    theirs = make_slice(node, "1g.10gb", 6, gpu=1)

    listed = shop.type("slices", "list", "--json").json["slices"]
    table = shop.type("slices", "list").out

    assert [(s["gpu"], s["profile"], s["ours"]) for s in listed] == [
        (1, "3g.40gb", True),
        (1, "1g.10gb", False),
    ]
    assert "MiB  gpuslice " in table
    assert "somebody else" in table
    assert "GPU 0: no slices, MIG off" in table
    assert all(s["uuid"] in table for s in listed)

    gone = shop.type("slices", "destroy", "--all-ours", "--yes")

    assert gone.status == 0
    assert node.driver.read().gpus[1].slices == (theirs,)
    assert modes_of(node) == [False, True], "destroying leaves MIG mode as it is"
    assert shop.type("slices", "destroy", "--all-ours", "--yes").status == 1


def test_a_slice_is_named_by_gpu_and_id_or_by_uuid(shop: Terminal, node: Node) -> None:
    one = make_slice(node, "1g.10gb", 0)
    other = make_slice(node, "1g.10gb", 1)
    record_owned(node, *(Owned(slice=s.key, stack="") for s in (one, other)))

    assert shop.type("slices", "destroy", f"0/{one.gpu_instance_id}", "--yes").status == 0
    assert shop.type("slices", "destroy", str(other.uuid), "--yes").status == 0
    unknown = shop.type("slices", "destroy", "0/99", "--yes")

    assert layout_of(node) == []
    assert unknown.status == 1
    assert "[unknown-slice] there is no slice 0/99" in unknown.error


def test_an_export_is_applied_again_without_a_change(shop: Terminal, tmp_path: Path) -> None:
    shop.type("slices", "apply", "config.yaml#halves", "--yes")

    written = shop.type("slices", "export", "now.yaml", "--label", "now")
    printed = shop.type("slices", "export", "--label", "now")
    assert shop.type("slices", "export", "-", "--label", "now").out == printed.out

    assert written.status == 0
    assert printed.out == (tmp_path / "now.yaml").read_text()
    assert printed.out.startswith("# simulated GPUs: NVIDIA H100")
    assert shop.type("slices", "assert", "now.yaml#now").status == 0


def test_a_checkpoint_is_restored_place_by_place(shop: Terminal, node: Node) -> None:
    shop.type("slices", "create", "1g.10gb", "--gpu", "0", "--at", "2", "--yes")
    assert shop.type("slices", "checkpoint", "saved.json").status == 0
    shop.type("slices", "destroy", "--all-ours", "--yes")
    shop.type("slices", "create", "1g.10gb", "--gpu", "0", "--at", "3", "--yes")

    differs = shop.type("slices", "restore", "saved.json", "--dry-run")
    restored = shop.type("slices", "restore", "saved.json", "--yes")

    assert (differs.status, restored.status) == (2, 0)
    assert layout_of(node) == [(0, "1g.10gb", "2:1")]
    assert shop.type("slices", "restore", "saved.json").status == 0


def test_a_checkpoint_of_a_missing_gpu_is_refused_unless_it_may_be_left_out(
    shop: Terminal, tmp_path: Path
) -> None:
    shop.type("slices", "checkpoint", "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text())
    saved["gpus"][1]["uuid"] = "GPU-gone"
    (tmp_path / "saved.json").write_text(json.dumps(saved))

    refused = shop.type("slices", "restore", "saved.json")

    assert refused.status == 1
    assert "[checkpoint-file] 1 of the 2 GPUs" in refused.error
    assert "GPU-gone" in refused.error
    assert shop.type("slices", "restore", "saved.json", "--skip-missing").status == 0


def test_down_leaves_slices_that_were_made_without_a_stack(shop: Terminal, node: Node) -> None:
    shop.type("slices", "create", "3g.40gb", "--gpu", "0", "--yes")

    shown = shop.type("down", "--slices")

    assert shown.status == 0
    assert "Nothing of it is left" in shown.out
    assert layout_of(node) == [(0, "3g.40gb", "4:4")]


def test_the_boot_unit_can_be_looked_at_without_being_root(shop: Terminal) -> None:
    shown = shop.type("slices", "boot", "--print")

    assert shown.status == 0
    assert "Before=docker.service containerd.service" in shown.out
    assert '"--simulate" "h100-80gb:2"' in shown.out
    assert "of SIMULATED GPUs, h100-80gb:2 (gpuslice)" in shown.out
    refused = shop.type("slices", "boot", "--install")
    assert refused.status == 1
    assert "A simulated machine is not started by systemd" in refused.error


def test_commands_run_around_a_change_with_the_plan_on_standard_input(
    shop: Terminal, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after it.json"

    done = shop.type(
        *("slices", "create", "1g.10gb", "--gpu", "0", "--yes"),
        *("--before", f"tee {before}", "--after", f"tee '{after}'"),
    )

    assert done.status == 0
    told = json.loads(before.read_text())
    assert (told["change"], told["simulated"]) == ("slices", True)
    assert told["steps"][-1]["do"] == "create"
    assert json.loads(after.read_text()) == told


def test_a_command_that_fails_beforehand_stops_the_change(shop: Terminal, node: Node) -> None:
    was = node.driver.read()
    arguments = ("slices", "create", "1g.10gb", "--gpu", "0", "--yes", "--before", "false")
    assert shop.type(*arguments).status == 1
    assert node.driver.read() == was
    missing = shop.type(*arguments[:-1], "no-such-program")
    assert "[hook-failed]" in missing.err
    assert node.driver.read() == was


@pytest.mark.parametrize("command", ["", "echo 'half"])
def test_a_command_has_to_have_words(shop: Terminal, command: str) -> None:
    shown = shop.type("slices", "create", "1g.10gb", "--yes", "--after", command)
    assert shown.status == 64
