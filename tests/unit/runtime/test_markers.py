from __future__ import annotations

from pathlib import Path

import pytest

from builders import a_launch
from gpuslice.model.server import Role
from gpuslice.runtime.markers import Marker, marker_of, read_marker, write_marker

ROOT = Path("/state/host")


def written(**changes: str) -> dict[str, str]:
    return write_marker(marker_of(a_launch(), started_at=1.25), ROOT) | changes


@pytest.mark.parametrize(
    "marker",
    [
        marker_of(a_launch(), started_at=1763819057.123456789),
        marker_of(a_launch(replica=None, role=Role.GATEWAY, slice_uuid=""), started_at=0.1),
    ],
)
def test_marker_survives_being_written_and_read(marker: Marker) -> None:
    assert read_marker(write_marker(marker, ROOT), ROOT) == marker


def test_marker_of_another_machine_is_not_ours() -> None:
    assert read_marker(written(), Path("/state/sim-a100-80gb")) is None


def test_process_without_a_marker_is_not_ours() -> None:
    assert read_marker({"PATH": "/bin"}, ROOT) is None


@pytest.mark.parametrize(
    "garbled",
    [
        {"GPUSLICE_PORT": "http"},
        {"GPUSLICE_ROLE": "king"},
        {"GPUSLICE_REPLICA": ""},
        {"GPUSLICE_STARTED": "yesterday"},
    ],
)
def test_garbled_marker_is_not_ours(garbled: dict[str, str]) -> None:
    assert read_marker(written(**garbled), ROOT) is None


def test_incomplete_marker_is_not_ours() -> None:
    environment = written()
    del environment["GPUSLICE_HOST"]
    assert read_marker(environment, ROOT) is None


def test_process_titles_are_kept_from_overwriting_the_marker() -> None:
    assert written()["SPT_NOENV"] == "1"
