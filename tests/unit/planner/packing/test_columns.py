"""A fleet becomes few columns: what is alike is one, and how many there are is in no column."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gpuslice.planner.packing.columns import (
    Columns,
    Row,
    Terms,
    columns_of,
    moved,
    rows_of,
    served,
    spent,
)
from gpuslice.planner.packing.greedy import choose_greedily
from gpuslice.planner.packing.program import _values
from gpuslice.planner.packing.question import Cost, Question, Want
from gpuslice.planner.packing.states import States
from questions import a_place, a_question, a_site, ours

MENU_FOR_BOTH = (("1g.6gb", (0, 1)), ("2g.12gb", (1,)))


def columns(question: Question) -> Columns:
    return columns_of(question, States(question))


def start_of(question: Question, found: Columns) -> tuple[int, ...]:
    """The greedy choice as values of the columns."""
    filling = choose_greedily(question, States(question))
    assert filling is not None
    return _values(found, filling)


def value(terms: Terms, values: Sequence[int]) -> int:
    return sum(coefficient * values[column] for column, coefficient in terms.items())


def left_side(row: Row) -> Terms:
    _, terms, _ = row
    return terms


def test_gpus_of_which_the_same_can_be_made_are_one_class_wherever_their_slices_lie() -> None:
    left, right = (a_site(ours("1g.6gb", start, 0)) for start in (0, 1))
    other = a_site(ours("2g.12gb", 2, 1))
    found = columns(a_question((left, 2), right, other, wants=(3, 2)))
    assert [(each.groups, each.size) for each in found.classes] == [((0, 1), 3), ((2,), 1)]


def test_gpus_are_no_class_where_one_is_dearer_or_off_or_used_by_others() -> None:
    sites = (
        a_site(),
        a_site(price=2),
        a_site(mig_on=False),
        a_site(addable=True),
        a_site(fixed=(a_place("1g.6gb", 0),)),
    )
    assert len(columns(a_question(*sites, wants=(2, 2))).classes) == len(sites)


def test_rooms_of_which_the_same_can_be_made_share_a_node() -> None:
    found = columns(a_question(a_site(ours("1g.6gb", 0, 0), ours("1g.6gb", 1, 0)), wants=(4, 2)))
    nodes = [stay.node for _, stay in found.stays]
    assert len(found.node_of) == 4  # both stay, either stays, none stays
    assert len(set(found.node_of.values())) == len(set(nodes)) == 3


def test_the_number_of_gpus_and_of_replicas_stands_on_the_right_side_only() -> None:
    site, empty = a_site(ours("1g.6gb", 0, 0)), a_site()
    few, many = (
        columns(a_question((site, n), (empty, n), wants=(9 * n, 9 * n))) for n in (2, 2_000)
    )
    assert few.width == many.width
    assert [left_side(row) for row in rows_of(few)] == [left_side(row) for row in rows_of(many)]


def test_every_column_has_room_for_what_could_be_chosen() -> None:
    question = a_question((a_site(), 3), a_site(ours("1g.6gb", 0, 0)), wants=(5, 2))
    found = columns(question)
    bounds = found.upper_bounds
    assert len(bounds) == found.width
    assert bounds[: found.first_arrival] == [found.classes[n].size for n, _ in found.stays]
    assert set(bounds[found.first_arrival : found.first_use]) == {4}
    assert bounds[found.first_use :] == [5, 2]


@pytest.mark.parametrize(
    "question",
    [
        a_question((a_site(), 3), wants=(7, 2)),
        a_question((a_site(ours("1g.6gb", 1, 0)), 2), (a_site(), 2), wants=(6, 3)),
        a_question((a_site(ours("2g.12gb", 0)), 2), wants=(6, 1)),
        a_question((a_site(menu=MENU_FOR_BOTH), 3), wants=(4, 5)),
        a_question((a_site(menu=MENU_FOR_BOTH), 3), wants=(Want(count=4, most_per_gpu=1), 5)),
    ],
)
def test_the_greedy_choice_keeps_every_rule(question: Question) -> None:
    found = columns(question)
    values = start_of(question, found)
    for low, terms, high in rows_of(found):
        assert low <= value(terms, values)
        assert high is None or value(terms, values) <= high
    assert all(0 <= v <= most for v, most in zip(values, found.upper_bounds, strict=True))


def test_replicas_are_served_where_they_stay_and_where_a_slice_is_given_to_them() -> None:
    question = a_question((a_site(ours("1g.6gb", 0, 0)), 2), wants=(5, 0))
    found = columns(question)
    values = start_of(question, found)
    assert value(served(found, (0,)), values) == 5
    assert value(served(found, (1,)), values) == 0
    staying = {column: n for column, n in served(found, (0,)).items() if column < len(found.stays)}
    assert value(staying, values) == 2


def test_costs_are_added_up_over_stays_and_arrivals() -> None:
    gpus = ((a_site(ours("2g.12gb", 0), price=7), 2), a_site(price=9))
    question = a_question(*gpus, wants=(5, 0))
    found = columns(question)
    values = start_of(question, found)  # slices that nobody runs on go
    totals = Cost(*(value(spent(found, level), values) for level in range(len(Cost._fields))))
    assert (totals.price, totals.destroyed, totals.ours, totals.memory) == (14, 2, 2, 5)


def test_moves_are_counted_and_their_limit_is_no_row() -> None:
    sites = (a_site(ours("1g.6gb", 0, 0), ours("1g.6gb", 1, 0)),)
    free, limited = (a_question(*sites, wants=(2, 0), most_moves=most) for most in (None, 1))
    assert list(rows_of(columns(free))) == list(rows_of(columns(limited)))
    found = columns(limited)
    counts = moved(found)
    leaving = {stay.staying: counts.get(n, 0) for n, (_, stay) in enumerate(found.stays)}
    assert leaving == {(((0,), 2),): 0, (((0,), 1),): 1, (): 2}
