"""``gpus``, ``profiles`` and ``doctor`` as a person and as a script reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.agent.node import Node
from gpuslice.cli.render.hardware import gpus_table, placements_text, profiles_table
from gpuslice.model.gpu import MigMode
from gpuslice.simulator.machine import set_lost, set_privileged
from machines import make_slice
from terminal import Terminal, screen


def profile_row(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


def test_gpus_show_product_memory_mode_and_slices(terminal: Terminal, node: Node) -> None:
    make_slice(node, "2g.20gb", 4)
    shown = terminal.type("gpus").out
    row = next(line for line in shown.splitlines() if "NVIDIA A100-SXM4-80GB" in line)
    for part in ("81,920 MiB", " on ", "2g.20gb@4:2", "GPU-"):
        assert part in row


def test_gpus_as_json_have_slices_and_no_geometry(terminal: Terminal, node: Node) -> None:
    slice_ = make_slice(node, "2g.20gb", 4)
    found = terminal.type("gpus", "--json").json
    (gpu,) = found["gpus"]
    assert found["simulated"] is True
    assert found["driver_version"]
    assert (gpu["index"], gpu["architecture"]) == (0, "ampere")
    assert gpu["mig"] == {"current": True, "pending": True}
    assert gpu["slices"][0]["uuid"] == slice_.uuid
    assert "geometry" not in gpu


@pytest.mark.parametrize(
    ("current", "pending", "words"),
    [
        (True, True, "on"),
        (False, False, "off"),
        (False, True, "off → on after a reset"),
        (True, False, "on → off after a reset"),
    ],
)
def test_mode_now_and_pending_are_told_apart(current: bool, pending: bool, words: str) -> None:
    gpu = replace(a_board_gpu(), mig=MigMode(current=current, pending=pending))
    assert f" {words} " in screen(gpus_table(an_observed(gpu)))


def test_a_gpu_without_mig_is_listed_as_such() -> None:
    gpu = a_board_gpu("l4")
    assert " none " in screen(gpus_table(an_observed(gpu)))
    assert "no MIG on this product. A30, A100" in screen(profiles_table(gpu))


def test_profiles_show_what_is_free_beside_what_lies_there() -> None:
    gpu = with_slices(a_board_gpu(), ("3g.40gb", 0))
    text = screen(profiles_table(gpu))
    assert profile_row(text, "3g.40gb") == [
        "3g.40gb", "9", "40,192", "3/7", "42", "1/2", "{0,4}:4",
    ]  # fmt: skip
    assert profile_row(text, "7g.80gb")[5] == "0/1"
    assert profile_row(text, "2g.20gb")[5] == "1/3"


def test_the_two_profiles_that_are_often_confused_stand_with_their_ids(terminal: Terminal) -> None:
    shown = terminal.type("profiles").out
    assert profile_row(shown, "2g.20gb")[1] == "14"
    assert profile_row(shown, "1g.20gb")[1] == "15"


def test_profiles_as_json_have_every_placement_and_what_is_free(
    terminal: Terminal, node: Node
) -> None:
    make_slice(node, "3g.40gb", 0)
    found = terminal.type("profiles", "--json").json
    by_name = {p["name"]: p for p in found["gpus"][0]["profiles"]}
    assert by_name["3g.40gb"]["placements"] == [{"start": 0, "size": 4}, {"start": 4, "size": 4}]
    assert by_name["3g.40gb"]["free"] == 1
    assert by_name["1g.10gb"]["free"] == 3


def test_profiles_of_a_gpu_without_mig_are_null_for_scripts(terminal: Terminal) -> None:
    found = terminal.type("profiles", "--json", simulate="a30,l4").json
    assert [gpu["profiles"] is None for gpu in found["gpus"]] == [False, True]


def test_placements_are_written_as_nvidia_smi_does() -> None:
    geometry = a_board_gpu().geometry
    assert geometry is not None
    profile = geometry.named("2g.20gb")
    assert profile is not None
    assert placements_text(profile) == "{0,2,4}:2"


def test_doctor_ends_well_on_a_simulated_a100_and_badly_without_mig(terminal: Terminal) -> None:
    good = terminal.type("doctor")
    assert good.status == 0
    assert "NVIDIA A100-SXM4-80GB" in good.out
    bad = terminal.type("doctor", simulate="l4")
    assert bad.status == 1
    assert "mend" in bad.out
    assert "→ A30, A100" in bad.out


def test_doctor_as_json_has_each_finding_with_verdict_and_remedy(terminal: Terminal) -> None:
    shown = terminal.type("doctor", "--json", simulate="l4")
    assert shown.status == 1
    verdicts = {f["subject"]: f["verdict"] for f in shown.json["findings"]}
    assert verdicts["MIG"] == "bad"
    assert verdicts["driver"] == "good"
    assert all(f.keys() == {"subject", "verdict", "text", "remedy"} for f in shown.json["findings"])


# --- What could not be seen -----------------------------------------------------------------------


@pytest.fixture
def hidden(terminal: Terminal, node: Node) -> Terminal:
    """A terminal of somebody who may not list the slices there are."""
    make_slice(node, "3g.40gb", 0)
    set_privileged(node.machine.simulator_dir, privileged=False)
    return terminal


def test_gpus_do_not_show_a_gpu_as_empty_whose_slices_are_out_of_sight(hidden: Terminal) -> None:
    shown = hidden.type("gpus")
    assert shown.status == 0
    row = next(line for line in shown.out.splitlines() if "NVIDIA A100-SXM4-80GB" in line)
    assert " ? " in row
    assert "note GPU 0: its slices could not be listed" in shown.out
    (gpu,) = hidden.type("gpus", "--json").json["gpus"]
    assert gpu["unseen"][0]["what"] == "slices"


def test_profiles_do_not_count_what_is_free_where_slices_are_out_of_sight(
    hidden: Terminal,
) -> None:
    shown = hidden.type("profiles")
    assert profile_row(shown.out, "3g.40gb")[5] == "?/2"
    assert "note GPU 0: its slices could not be listed" in shown.out
    (gpu,) = hidden.type("profiles", "--json").json["gpus"]
    assert {profile["free"] for profile in gpu["profiles"]} == {None}
    assert gpu["unseen"][0]["what"] == "slices"


def test_what_runs_is_listed_with_what_could_not_be_seen(hidden: Terminal) -> None:
    assert "note GPU 0: its slices could not be listed" in hidden.type("ps").out


def test_with_everything_in_sight_there_is_no_note(terminal: Terminal, node: Node) -> None:
    make_slice(node, "3g.40gb", 0)
    for command in ("gpus", "profiles", "ps"):
        assert "could not be" not in terminal.type(command).out


def test_a_lost_gpu_is_told_and_does_not_hide_the_others(terminal: Terminal) -> None:
    terminal.simulation = "a100-80gb:2"
    assert terminal.type("gpus", "--json").json["lost"] == []
    set_lost(terminal.machine.simulator_dir, 1, lost=True)
    shown = terminal.type("gpus")
    assert shown.status == 0
    assert "note GPU 1 has fallen off the bus" in shown.out
    assert terminal.type("gpus", "--json").json["lost"] == [1]
    assert "GPU 1 has fallen off the bus" in terminal.type("slices", "list").out
    told = terminal.type("doctor")
    assert told.status == 1
    assert "has fallen off the bus" in told.out
