"""Finding the price of a GPU."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders import a_board_gpu
from gpuslice.cost.price import Per, Price, find_prices
from gpuslice.errors import PriceMissingError

MONTHLY = Price(amount=Decimal(1380), per=Per.MONTH, currency="EUR")
HOURLY = Price(amount=Decimal("2.50"), per=Per.HOUR, currency="USD")
A100 = a_board_gpu()


def test_a_month_has_730_hours() -> None:
    assert HOURLY.per_month == Decimal(1825)
    assert HOURLY.per_hour == Decimal("2.50")
    assert replace(MONTHLY, amount=Decimal(730)).per_hour == 1


@pytest.mark.parametrize(
    "name", ["NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", "nvidia a100-sxm4-80gb", "a100-sxm4-80gb"]
)
def test_a_product_is_found_under_the_names_people_write(name: str) -> None:
    assert find_prices([A100], {name: MONTHLY}) == {"GPU-0": MONTHLY}


def test_the_exact_name_goes_before_a_similar_one() -> None:
    prices = {"a100-sxm4-80gb": HOURLY, "NVIDIA A100-SXM4-80GB": MONTHLY}
    assert find_prices([A100], prices)["GPU-0"] == MONTHLY


def test_every_missing_price_is_shown_as_the_line_to_add() -> None:
    with pytest.raises(PriceMissingError, match="NVIDIA A30, NVIDIA H200") as caught:
        find_prices(
            [A100, a_board_gpu("h200", index=1), a_board_gpu("a30", index=2)],
            {A100.name: MONTHLY},
        )
    assert caught.value.details == (
        "prices:",
        '  "NVIDIA A30": {per_month: 0.00, currency: EUR}',
        '  "NVIDIA H200": {per_month: 0.00, currency: EUR}',
    )
