"""The table of GPUs against moves."""

from __future__ import annotations

import pytest

from gpuslice.cli.render.frontier import frontier_json, frontier_view
from gpuslice.model.certificate import FrontierPoint
from gpuslice.model.demand import Prices, Rules
from gpuslice.model.plan import Plan
from proposals import a_proposal
from terminal import screen

POINTS = (
    FrontierPoint(cost=22_680, gpus=12, moves=9, proved=True),
    FrontierPoint(cost=24_570, gpus=13, moves=4, proved=False),
    FrontierPoint(cost=28_350, gpus=15, moves=0, proved=True),
)
NOTHING = Plan(gpus=(), seats=())


def rows(rules: Rules) -> list[list[str]]:
    text = screen(frontier_view(a_proposal(NOTHING, rules=rules), POINTS))
    return [line.split() for line in text.splitlines() if "--moves" in line]


def test_each_point_has_a_row_with_the_option_that_leads_there() -> None:
    assert rows(Rules()) == [
        ["12", "9", "--moves", "9", "proved", "←", "this", "plan"],
        ["13", "4", "--moves", "4", "not", "proved"],
        ["15", "0", "--moves", "0", "proved"],
    ]


def test_with_prices_money_stands_beside_the_gpus() -> None:
    prices = Prices(currency="EUR", milli_per_hour=())
    assert [row[:3] for row in rows(Rules(prices=prices))] == [
        ["12", "22.680", "9"],
        ["13", "24.570", "4"],
        ["15", "28.350", "0"],
    ]


@pytest.mark.parametrize(("most", "taken"), [(None, 0), (9, 0), (8, 1), (4, 1), (3, 2), (0, 2)])
def test_the_plan_is_at_the_cheapest_point_within_its_moves(most: int | None, taken: int) -> None:
    found = frontier_json(a_proposal(NOTHING, rules=Rules(most_moves=most)), POINTS)
    assert [point["taken"] for point in found] == [n == taken for n in range(3)]
    assert found[0]["cost"] == 22_680
