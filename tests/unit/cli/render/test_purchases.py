"""What is in use, what has to be bought, and what would have to be."""

from __future__ import annotations

import pytest

from builders import a_board_gpu
from gpuslice.cli.render.lanes import lanes_of
from gpuslice.cli.render.purchases import hourly, purchase_lines
from gpuslice.model.certificate import Certificate, Goal, Method, Objective
from gpuslice.model.demand import Prices, Rules
from gpuslice.model.plan import Addition, GpuPlan, Plan
from proposals import a_planned, a_proposal, on_new_slices

A100, A30 = "NVIDIA A100-SXM4-80GB", "NVIDIA A30"
PRICES = Prices(currency="EUR", milli_per_hour=((A100, 1890), (A30, 411)))


def a_certificate(currency: str = "") -> Certificate:
    cost = Objective(goal=Goal.COST, value=2301 if currency else 2, bound=2)
    return Certificate(method=Method.HIGHS, objectives=(cost,), currency=currency)


def lines(plan: Plan, **rules: object) -> list[str]:
    gpus = (a_board_gpu(), *(a_board_gpu("a30", index=n) for n in (1, 2)))
    return [*purchase_lines(a_proposal(plan, *gpus, rules=Rules(**rules)))]  # type: ignore[arg-type] # any field


@pytest.mark.parametrize(
    ("milli", "said"),
    [
        (1890, "1.89 EUR an hour"),
        (1894, "1.894 EUR an hour"),
        (5, "0.005 EUR an hour"),
        (12_345_670, "12,345.67 EUR an hour"),
        (0, "0.00 EUR an hour"),
    ],
)
def test_thousandths_are_told_as_money(milli: int, said: str) -> None:
    assert hourly(milli, "EUR") == said


def test_without_prices_gpus_are_counted() -> None:
    plan = on_new_slices(a_planned(), certificate=a_certificate())
    assert lines(plan) == ["GPUs in use afterwards: 1."]


def test_with_prices_the_gpus_in_use_are_told_in_money() -> None:
    plan = on_new_slices(a_planned(), certificate=a_certificate("EUR"))
    assert lines(plan, prices=PRICES) == ["GPUs in use afterwards: 1 (2.301 EUR an hour)."]


def test_gpus_to_be_added_are_counted_by_product_with_their_price() -> None:
    plan = on_new_slices(a_planned(), a_planned(gpu=1), a_planned(gpu=2))
    added = frozenset({"GPU-1", "GPU-2"})
    assert lines(plan, addable=added) == ["To be added: 2 × NVIDIA A30."]
    assert lines(plan, addable=added, prices=PRICES) == [
        "To be added: 2 × NVIDIA A30 (0.822 EUR an hour)."
    ]


def test_where_nothing_has_to_be_added_that_is_said() -> None:
    plan = on_new_slices(a_planned())
    assert lines(plan, addable=frozenset({"GPU-1"})) == ["No GPU has to be added."]


def test_the_cheapest_addition_is_told_where_something_does_not_fit() -> None:
    addition = (Addition(board=A100, count=1), Addition(board=A30, count=3))
    assert lines(Plan(gpus=(), seats=(), addition=addition), prices=PRICES) == [
        f"Everything would fit with 1 × {A100} and 3 × {A30} (3.123 EUR an hour) more."
    ]


def test_gpus_that_need_not_be_added_are_counted_and_not_drawn() -> None:
    plan = on_new_slices(a_planned(gpu=1))
    spared = tuple(GpuPlan(gpu_uuid=f"GPU-{n}") for n in (0, 2))
    gpus = (a_board_gpu(), *(a_board_gpu("a30", index=n) for n in (1, 2)))
    whole = Plan(gpus=(spared[0], *plan.gpus, spared[1]), seats=plan.seats)
    rules = Rules(addable=frozenset({"GPU-1", "GPU-2"}))
    lanes = lanes_of(a_proposal(whole, *gpus, rules=rules))
    assert [(lane.heading.split()[1], lane.added) for lane in lanes.shown] == [
        ("0", False),
        ("1", True),
    ]
    assert lanes.left_out == "not needed of those that may be added: 1 × NVIDIA A30"
