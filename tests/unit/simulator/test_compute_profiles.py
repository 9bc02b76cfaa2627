"""Compute instance profiles, against recorded ``nvidia-smi mig -lcip``."""

from __future__ import annotations

import pytest

from gpuslice.hardware import Board, board, load_boards
from gpuslice.simulator.compute_profiles import compute_geometry, compute_profile_name

Row = tuple[str, int, int, int]


def rows(board_key: str, profile_name: str) -> list[Row]:
    """(name, id, how many, SMs) as the listing has them."""
    profile = board(board_key).geometry.named(profile_name)
    assert profile is not None
    return [
        (compute_profile_name(profile, row), row.id, row.max_instances, row.sm_count)
        for row in compute_geometry(board_key, profile.id).profiles
    ]


def spans(board_key: str, profile_name: str) -> list[str]:
    profile = board(board_key).geometry.named(profile_name)
    assert profile is not None
    return [str(row.placements[-1]) for row in compute_geometry(board_key, profile.id).profiles]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1g.5gb", [("1g.5gb", 0, 1, 14)]),
        ("1g.5gb+me", [("1g.5gb", 0, 1, 14)]),
        ("2g.10gb", [("1c.2g.10gb", 0, 2, 14), ("2g.10gb", 1, 1, 28)]),
        ("3g.20gb", [("1c.3g.20gb", 0, 3, 14), ("2c.3g.20gb", 1, 1, 28), ("3g.20gb", 2, 1, 42)]),
        ("4g.20gb", [("1c.4g.20gb", 0, 4, 14), ("2c.4g.20gb", 1, 2, 28), ("4g.20gb", 3, 1, 56)]),
    ],
)
def test_a100_lists_what_was_recorded(name: str, expected: list[Row]) -> None:
    assert rows("a100-40gb", name) == expected


def test_a_whole_gpu_can_hold_parts_of_one_two_three_and_four_slices() -> None:
    assert [row[:3] for row in rows("a100-40gb", "7g.40gb")] == [
        ("1c.7g.40gb", 0, 7),
        ("2c.7g.40gb", 1, 3),
        ("3c.7g.40gb", 2, 2),
        ("4c.7g.40gb", 3, 1),
        ("7g.40gb", 4, 1),
    ]


def test_the_double_memory_instance_has_profile_seven_from_hopper_on() -> None:
    assert rows("a100-80gb", "1g.20gb") == [("1g.20gb", 0, 1, 14)]
    assert rows("h100-94gb", "1g.24gb") == [("1g.24gb", 7, 1, 26)]
    assert spans("h100-94gb", "1g.24gb") == ["0:2"]


def test_spans_are_aligned_from_hopper_on() -> None:
    assert spans("a100-80gb", "3g.40gb") == ["2:1", "0:2", "0:3"]
    assert spans("h100-80gb", "3g.40gb") == ["2:1", "0:2", "0:4"]
    assert spans("h100-80gb", "7g.80gb") == ["6:1", "4:2", "4:4", "0:4", "0:8"]
    assert spans("rtx-pro-6000", "4g.96gb") == ["3:1", "2:2", "0:4"]


def test_a_compute_instance_that_fills_its_instance_has_all_its_sms() -> None:
    assert rows("h100-80gb", "3g.40gb")[-1] == ("3g.40gb", 2, 1, 60)


@pytest.mark.parametrize("known", load_boards(), ids=lambda known: known.key)
def test_every_instance_can_be_filled_by_one_compute_instance(known: Board) -> None:
    for profile in known.geometry.profiles:
        geometry = compute_geometry(known.key, profile.id)
        full = [row for row in geometry.profiles if row.compute_slices == profile.compute_slices]

        assert [row.sm_count for row in full] == [profile.sm_count]


def test_a_profile_the_board_lacks_has_no_compute_profiles() -> None:
    with pytest.raises(KeyError):
        compute_geometry("a30", 19)
