"""What follows from a question by itself."""

from __future__ import annotations

import pytest

from gpuslice.planner.packing.question import Want, no_layout, too_few_moves
from questions import a_question, a_site


@pytest.mark.parametrize(
    ("wants", "tied"),
    [
        ((3, 2), set()),
        ((Want(count=1, most_per_gpu=1), 2), {0}),
        ((Want(count=1, near=(1,)), 2, 3), {0, 1}),
        ((1, Want(count=1, away=(2,)), 3), {1, 2}),
    ],
)
def test_tied_are_those_who_mind_their_neighbours_and_whom_they_mind(
    wants: tuple[Want | int, ...], tied: set[int]
) -> None:
    assert a_question(a_site(), wants=wants).tied == tied


def test_all_that_is_wanted_is_added_up() -> None:
    assert a_question(a_site(), wants=(3, 0, 4)).wanted == 7


def test_refusals_say_what_to_do_and_what_stood_in_the_way() -> None:
    assert "at least 3 running replicas" in too_few_moves(3, 1).message
    assert no_layout("").message == "no layout was found that keeps the rules"
    assert no_layout("out of time").message.endswith("rules: out of time")
    assert too_few_moves(3, 1).hint
    assert no_layout("").hint
