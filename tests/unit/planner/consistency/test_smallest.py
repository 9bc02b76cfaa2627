"""The smallest set of things that cannot all hold, against trying every set."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.planner.consistency import smallest
from gpuslice.planner.consistency.smallest import smallest_conflict

conflicts = st.lists(st.sets(st.integers(0, 8), min_size=1, max_size=5), min_size=1, max_size=6)


def is_possible(held: Collection[int], impossible: Collection[Collection[int]]) -> bool:
    return not any(set(each) <= set(held) for each in impossible)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(impossible=conflicts)
def test_no_smaller_set_contradicts_itself(impossible: list[set[int]]) -> None:
    found = smallest_conflict(range(9), lambda held: is_possible(held, impossible))
    assert not is_possible(found, impossible)
    assert list(found) == sorted(found)
    for size in range(len(found)):
        assert all(is_possible(other, impossible) for other in combinations(range(9), size))


def test_the_deletion_filter_alone_would_be_content_with_more() -> None:
    impossible = [{0, 8}, {5, 6, 7}]
    assert smallest_conflict(range(9), lambda held: is_possible(held, impossible)) == (0, 8)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(impossible=conflicts, limit=st.sampled_from(("_MOST_ASKED", "_MOST_TRIED")))
def test_with_too_much_work_nothing_can_be_left_out_all_the_same(
    impossible: list[set[int]], limit: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smallest, limit, 1)
        found = smallest_conflict(range(9), lambda held: is_possible(held, impossible))
    assert not is_possible(found, impossible)
    for thing in found:
        assert is_possible([other for other in found if other != thing], impossible)
