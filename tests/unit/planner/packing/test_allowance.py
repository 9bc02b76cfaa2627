"""Time that several solves share."""

from __future__ import annotations

import pytest

from gpuslice.planner.packing.allowance import Allowance


def test_what_is_left_is_never_negative() -> None:
    assert Allowance(limit_s=5.0, spent_s=2.0).left_s == 3.0
    assert Allowance(limit_s=5.0, spent_s=6.0).left_s == 0.0


@pytest.mark.parametrize(
    ("left_s", "part_s"), [(100.0, 5.0), (20.0, 1.0), (4.0, 0.5), (0.3, 0.3), (0.0, 0.0)]
)
def test_a_part_is_a_share_of_what_is_left_or_the_least_where_there_is_so_much(
    left_s: float, part_s: float
) -> None:
    allowance = Allowance(limit_s=left_s + 7.0, spent_s=7.0)
    assert allowance.part(0.05, 0.5).left_s == pytest.approx(part_s)


def test_a_part_of_a_part_knows_what_limit_was_stated() -> None:
    whole = Allowance(limit_s=60.0, spent_s=59.0)
    part = whole.part(0.5, 0.1).part(0.5, 0.1)
    assert (whole.stated_s, part.stated_s) == (60.0, 60.0)
    assert part.left_s < 1.0
