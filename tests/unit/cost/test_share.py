"""What part of a card a slice is charged for."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gpuslice.cost.share import scale, share_of
from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Placement


@pytest.mark.parametrize(
    ("key", "profile", "at", "share"),
    [
        ("a100-80gb", "7g.80gb", (0, 8), Fraction(1)),
        ("a100-80gb", "4g.40gb", (0, 4), Fraction(4, 7)),
        ("a100-80gb", "3g.40gb", (4, 4), Fraction(1, 2)),
        ("a100-80gb", "2g.20gb", (0, 2), Fraction(2, 7)),
        ("a100-80gb", "1g.20gb", (0, 2), Fraction(1, 4)),
        ("a100-80gb", "1g.10gb", (6, 1), Fraction(1, 7)),
        ("a30", "1g.6gb", (0, 1), Fraction(1, 4)),
        ("rtx-pro-6000", "1g.24gb", (3, 3), Fraction(1, 4)),
    ],
)
def test_the_larger_of_compute_and_memory_decides(
    key: str, profile: str, at: tuple[int, int], share: Fraction
) -> None:
    assert share_of(board(key).geometry, profile, Placement(*at)) == share


def test_a_profile_the_card_no_longer_offers_is_judged_by_its_memory() -> None:
    share = share_of(board("a100-80gb").geometry, "3g.20gb", Placement(0, 4))
    assert share == Fraction(1, 2)


def test_shares_beyond_the_card_are_scaled_down_to_it() -> None:
    scaled = scale([Fraction(4, 7), Fraction(1, 2)])
    assert sum(scaled) == 1
    assert scaled[0] / scaled[1] == Fraction(8, 7)


def test_shares_within_the_card_are_left_alone() -> None:
    assert scale([Fraction(1, 7), Fraction(1, 2)]) == (Fraction(1, 7), Fraction(1, 2))
