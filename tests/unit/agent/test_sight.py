"""Somebody who may look at a machine, but not at the slices on it. Out of sight is not empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import owned
from gpuslice.agent.doctor import Verdict, examine
from gpuslice.agent.node import Node
from gpuslice.agent.sight import unseen_notes
from gpuslice.agent.situation import read_situation
from gpuslice.errors import PermissionDeniedError
from gpuslice.simulator.machine import set_privileged
from machines import make_slice, open_simulated, prepared, record_owned, write_stack

SERVED = 'chat: {engine: command, slice: 2g.20gb, command: ["my-server", "{port}"]}'


@pytest.fixture
def two(tmp_path: Path) -> Node:
    """Two A100; a slice lies on the first, and who looks may not list it."""
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    make_slice(node, "3g.40gb", 0)
    set_privileged(node.machine.simulator_dir, privileged=False)
    return node


@pytest.fixture
def one(tmp_path: Path) -> Node:
    """The same with one A100 only."""
    node = open_simulated(tmp_path / "home")
    make_slice(node, "3g.40gb", 0)
    set_privileged(node.machine.simulator_dir, privileged=False)
    return node


def test_a_gpu_whose_slices_are_out_of_sight_is_left_out_of_the_plan(
    two: Node, tmp_path: Path
) -> None:
    made = prepared(two, write_stack(tmp_path, SERVED))
    hidden, shown = made.observed.gpus
    assert {seat.slice.gpu_uuid for seat in made.plan.seats} == {shown.uuid}
    assert made.rules.gpus == frozenset({shown.uuid})
    (note,) = [note for note in made.notes if "left out" in note]
    assert note.startswith(f"GPU {hidden.index} is left out of this plan: its slices could not be")
    assert "1 × 3g.40gb" in note


def test_with_everything_in_sight_nothing_is_left_out(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    make_slice(node, "3g.40gb", 0)
    made = prepared(node, write_stack(tmp_path, SERVED))
    assert made.rules.gpus is None
    assert not [note for note in made.notes if "left out" in note]


def test_where_no_gpu_shows_its_slices_nothing_is_planned(one: Node, tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="What lies on GPU 0 could not be") as caught:
        prepared(one, write_stack(tmp_path, SERVED))
    assert "mig/monitor" in caught.value.hint
    assert "3g.40gb" in caught.value.details[0]


def test_a_chosen_gpu_whose_slices_are_out_of_sight_is_not_replaced_by_another(
    two: Node, tmp_path: Path
) -> None:
    with pytest.raises(PermissionDeniedError, match="GPU 0"):
        prepared(two, write_stack(tmp_path, SERVED, more="gpus: [0]"))


def test_a_slice_of_ours_that_is_out_of_sight_is_not_taken_for_gone(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    record_owned(node, owned(make_slice(node, "2g.20gb", 0), "chat"))
    set_privileged(node.machine.simulator_dir, privileged=False)
    with pytest.raises(PermissionDeniedError, match="slices of GPU 0 could not be listed"):
        prepared(node, write_stack(tmp_path, SERVED))
    with pytest.raises(PermissionDeniedError, match="slices of GPU 0 could not be listed"):
        read_situation(node)


def test_what_runs_is_shown_with_a_note_where_nothing_of_ours_is_out_of_sight(two: Node) -> None:
    (note,) = unseen_notes(read_situation(two).observed)
    assert note.startswith("GPU 0: its slices could not be listed")


def test_the_doctor_says_what_it_could_not_see(two: Node) -> None:
    found = [finding for finding in examine(two.machine) if finding.subject == "GPU 0"]
    assert "slices out of sight" in found[0].text
    (note,) = [finding for finding in found if finding.verdict is Verdict.NOTE]
    assert "MIG devices in sight: 1 × 3g.40gb" in note.text
    assert "sudo" in note.remedy
