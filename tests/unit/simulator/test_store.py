"""The state on disk: shared, private, replaced whole, and never silently wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import time
from pathlib import Path

import pytest

from gpuslice.errors import SimulatorStateError
from gpuslice.simulator.state import (
    MachineState,
    new_machine,
    state_from_json,
    state_to_json,
)
from gpuslice.simulator.store import Store


def renamed(state: MachineState) -> tuple[MachineState, str]:
    return dataclasses.replace(state, driver_version="999.0"), "done"


def test_a_machine_is_made_on_first_use_and_found_again(tmp_path: Path) -> None:
    first = Store.open(tmp_path / "sim", "a100:2").read()

    again = Store.open(tmp_path / "sim", "a100-80gb:1,a100-80gb").read()

    assert again == first
    assert len(first.gpus) == 2


def test_new_machines_have_identities_of_their_own() -> None:
    one, other = new_machine("a100-80gb:2"), new_machine("a100-80gb:2")
    uuids = {gpu.uuid for gpu in (*one.gpus, *other.gpus)}

    assert len(uuids) == 4
    assert one.boot_id != other.boot_id


def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "sim", "a30")

    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700


def test_a_change_is_seen_by_others_at_once(tmp_path: Path) -> None:
    one, other = Store.open(tmp_path, "a30"), Store.open(tmp_path, "a30")
    other.read()

    assert one.change(renamed) == "done"

    assert other.read().driver_version == "999.0"


def test_a_change_that_the_time_stamp_does_not_show_is_seen(tmp_path: Path) -> None:
    """Clocks of files are coarse: two changes of one moment may look the same from outside."""
    store = Store.open(tmp_path, "a30")
    shown = time.time_ns() + 3_600_000_000_000  # never older than a moment, however slow the test
    os.utime(store.file, ns=(shown, shown))
    before = store.read().driver_version

    store.file.write_text(store.file.read_text().replace(before, before[::-1]))
    os.utime(store.file, ns=(shown, shown))

    assert store.read().driver_version == before[::-1]


def test_a_refused_change_leaves_no_trace(tmp_path: Path) -> None:
    store = Store.open(tmp_path, "a30")
    before = store.file.read_bytes()

    def refuse(state: MachineState) -> tuple[MachineState, None]:
        raise ValueError(state.boot_id)

    with pytest.raises(ValueError, match="-"):
        store.change(refuse)

    assert store.file.read_bytes() == before
    assert store.change(renamed) == "done"


def test_a_directory_of_another_simulation_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path, "a30")

    with pytest.raises(SimulatorStateError, match="'a30', not 'h200'"):
        Store.open(tmp_path, "h200")


def damaged(change: object) -> str:
    document = state_to_json(new_machine("a100-80gb"))
    assert isinstance(change, dict)
    return json.dumps({**document, **change})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        damaged({"format": 99}),
        damaged({"gpus": None}),
        damaged({"gpus": [{}]}),
        damaged({"surprise": 1}),
    ],
)
def test_damaged_state_says_which_file_to_remove(tmp_path: Path, content: str) -> None:
    store = Store.open(tmp_path, "a100-80gb")
    store.file.write_text(content)

    with pytest.raises(SimulatorStateError) as caught:
        Store.open(tmp_path, "a100-80gb")

    assert str(store.file) in caught.value.hint


def test_an_instance_of_a_profile_the_board_lacks_is_damage() -> None:
    document = state_to_json(new_machine("a30"))
    document["gpus"][0]["instances"] = [
        {"id": 3, "profile_id": 19, "placement": {"start": 0, "size": 1}, "serial": 1}
        | {"compute_instances": []}
    ]

    with pytest.raises(ValueError, match="no profile 19"):
        state_from_json(document)


def test_state_that_was_taken_away_is_an_error_not_a_new_machine(tmp_path: Path) -> None:
    store = Store.open(tmp_path, "a30")
    store.file.unlink()

    with pytest.raises(SimulatorStateError, match="cannot be read"):
        store.read()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")

    with pytest.raises(SimulatorStateError, match="taken"):
        Store.open(tmp_path / "taken" / "sim", "a30")
