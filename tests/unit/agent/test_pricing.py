"""What plans cost, up to the text on the screen: the numbers that people quote."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from builders import a_board_gpu
from gpuslice.agent.node import Node
from gpuslice.agent.pricing import plan_prices, price_plan, unpriced
from gpuslice.cli.render.cost import cost_json, cost_summary, cost_view
from gpuslice.cost.report import CostReport
from gpuslice.errors import PriceMissingError
from gpuslice.stack.schema import PriceEntry
from machines import make_slice, open_simulated, prepared, write_stack

PRICES = 'prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}'


def a_model(profile: str, *, replicas: int = 1) -> str:
    return (
        f"chat: {{engine: command, slice: {profile}, replicas: {replicas}, "
        'command: ["my-server", "{port}"]}'
    )


def report(node: Node, folder: Path, model: str, prices: str = PRICES) -> CostReport:
    return price_plan(prepared(node, write_stack(folder, model, more=prices)))


def shown(view: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("profile", "replicas", "each", "unused"),
    [
        ("7g.80gb", 1, "1,380.00", "0.00"),
        ("3g.40gb", 2, "690.00", "0.00"),
        ("1g.10gb", 7, "197.14", "0.00"),
        ("1g.10gb", 1, "197.14", "1,182.86"),
    ],
)
def test_a_slice_of_an_a100_at_1380_a_month_costs_what_its_share_says(
    node: Node, tmp_path: Path, profile: str, replicas: int, each: str, unused: str
) -> None:
    made = report(node, tmp_path, a_model(profile, replicas=replicas))
    text = shown(cost_view(made))
    rows = [line.split() for line in text.splitlines() if f"{profile}@" in line]
    assert [row[4] for row in rows] == [each] * replicas
    assert f"Cards: 1,380.00 EUR a month (1.89 an hour), {unused} of it not used" in text
    assert "172" not in text


def test_the_screen_says_on_what_share_it_is_computed(node: Node, tmp_path: Path) -> None:
    text = shown(cost_view(report(node, tmp_path, a_model("3g.40gb"))))
    assert "Share: A slice is charged for its larger share" in text
    assert "not used" in text


def test_a_plan_shows_each_model_against_cards_of_its_own(node: Node, tmp_path: Path) -> None:
    text = shown(cost_summary(report(node, tmp_path, a_model("3g.40gb", replicas=2))))
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["chat"])
    assert row == ["chat", "2", "690.00", "1,380.00", "2,760.00", "1,380.00", "EUR"]
    assert "A card for each server: 2,760.00, 2.0 times as much." in text


def test_slices_of_somebody_else_are_shown_as_such(node: Node, tmp_path: Path) -> None:
    make_slice(node, "3g.40gb", 4)
    found = cost_json(report(node, tmp_path, a_model("3g.40gb")))
    assert [(s["replica"], s["per_month"]) for s in found["slices"]] == [
        ("chat/0", "690.00"),
        (None, "690.00"),
    ]


def test_only_cards_that_carry_the_stack_are_paid_for(tmp_path: Path) -> None:
    node = open_simulated(tmp_path / "home", "a100-80gb:3")
    found = cost_json(report(node, tmp_path, a_model("3g.40gb", replicas=3)))
    assert [total["per_month"] for total in found["totals"]] == ["2760.00"]
    assert {s["gpu"] for s in found["slices"]} == {0, 1}


def test_a_price_by_the_hour_is_one_of_730_hours_a_month(node: Node, tmp_path: Path) -> None:
    prices = 'prices: {"NVIDIA A100-SXM4-80GB": {per_hour: 1.89, currency: USD}}'
    (total,) = report(node, tmp_path, a_model("7g.80gb"), prices).totals
    assert (str(total.per_month), total.currency) == ("1379.70", "USD")


def test_a_card_without_a_price_is_named(node: Node, tmp_path: Path) -> None:
    prices = 'prices: {"NVIDIA H100 80GB HBM3": {per_month: 2000}}'
    with pytest.raises(PriceMissingError) as caught:
        report(node, tmp_path, a_model("1g.10gb"), prices)
    assert "NVIDIA A100-SXM4-80GB" in str(caught.value) + "".join(caught.value.details)


A100, A30 = "NVIDIA A100-SXM4-80GB", "NVIDIA A30"
GPUS = (a_board_gpu(), a_board_gpu("a30", index=1), a_board_gpu("a30", index=2))


def by_hour(amount: float, currency: str = "EUR") -> PriceEntry:
    return PriceEntry(per_hour=amount, currency=currency)


def test_a_plan_counts_in_whole_thousandths_per_hour_rounded_half_up() -> None:
    entries = {"a100-sxm4-80gb": PriceEntry(per_month=1380), A30: by_hour(0.4125)}
    prices, note = plan_prices(GPUS, entries)
    assert note == ""
    assert prices is not None
    assert (prices.currency, prices.milli_per_hour) == ("EUR", ((A100, 1890), (A30, 413)))


def test_without_any_price_gpus_count_as_one_each_and_nothing_is_said() -> None:
    assert plan_prices(GPUS, {}) == (None, "")


def test_a_product_without_a_price_is_named_in_a_note() -> None:
    prices, note = plan_prices(GPUS, {A100: by_hour(1.89)})
    assert prices is None
    assert note == "GPUs count as one each: no price for NVIDIA A30"
    assert unpriced(GPUS, {A100: by_hour(1.89)}) == (A30,)


def test_prices_of_two_currencies_are_not_compared() -> None:
    prices, note = plan_prices(GPUS, {A100: by_hour(1.89), A30: by_hour(0.5, "USD")})
    assert prices is None
    assert note == "GPUs count as one each: their prices are in EUR and USD"


def test_products_that_no_plan_may_use_need_no_price() -> None:
    assert plan_prices(GPUS[:1], {A100: by_hour(2), "NVIDIA H200": by_hour(4, "USD")})[1] == ""
