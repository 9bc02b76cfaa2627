"""The text given to ``--simulate``."""

from __future__ import annotations

import pytest

from gpuslice.errors import BadSimulationError, UnknownBoardError
from gpuslice.simulator import canonical_simulation, parse_simulation


def test_boards_and_counts_are_read_in_order() -> None:
    assert parse_simulation("a100-80gb:2,h100-80gb") == (("a100-80gb", 2), ("h100-80gb", 1))


def test_blanks_and_capitals_do_not_matter() -> None:
    assert parse_simulation(" A100-80GB : 2 , H200 ") == (("a100-80gb", 2), ("h200", 1))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a100-80gb:1", "a100-80gb"),
        ("a100", "a100-80gb"),
        ("a100,a100-80gb:2,h200,a100", "a100-80gb:3,h200,a100-80gb"),
    ],
)
def test_equal_machines_are_written_alike(text: str, canonical: str) -> None:
    assert canonical_simulation(text) == canonical
    assert canonical_simulation(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "without a board"),
        ("a100,", "without a board"),
        (":2", "without a board"),
        ("a100:", "where a number of GPUs belongs"),
        ("a100:two", "'two'"),
        ("a100:-1", "'-1'"),
        ("a100:²", "where a number"),
        ("a100:0", "asks for 0"),
        ("a100:65", "1 to 64"),
        ("a100:64,h200", "asks for 65 GPUs"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, complaint: str) -> None:
    with pytest.raises(BadSimulationError, match=complaint) as caught:
        parse_simulation(text)

    assert "a100-80gb:2,h100-80gb" in caught.value.hint


def test_a_board_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownBoardError, match="a100-80bg"):
        parse_simulation("a100-80bg:2")
