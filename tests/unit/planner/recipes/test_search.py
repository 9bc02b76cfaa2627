"""The search over many services, where not every recipe can be looked at."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.recipes import knapsacks, search
from gpuslice.planner.recipes.choose import (
    Market,
    Offer,
    Order,
    RecipeChoice,
    Service,
    choose_recipes,
)
from gpuslice.planner.recipes.search import Step

SMALL = Offer(
    price=1,
    most=2_000,
    layouts=((7, 0, 0, 0), (2, 1, 1, 0), (0, 2, 1, 0), (0, 0, 2, 0), (3, 2, 0, 0)),
)
LARGE = Offer(price=2, most=2_000, layouts=((0, 0, 0, 3), (1, 0, 1, 2), (0, 3, 0, 1)))


def some_services(count: int) -> tuple[Service, ...]:
    """Services of rates and targets that have nothing in common."""
    random = Random(7)
    return tuple(
        Service(
            target=int(1000 * random.lognormvariate(2, 1)),
            rates=tuple(int(1000 * size**0.9 * random.uniform(0.8, 1.2)) for size in (1, 2, 3, 5)),
            most=64,
        )
        for _ in range(count)
    )


def choose(market: Market, limit_s: float = 60.0) -> RecipeChoice:
    choice = choose_recipes(market, Allowance(limit_s=limit_s))
    assert choice is not None
    return choice


@pytest.mark.parametrize("offers", [(SMALL,), (SMALL, LARGE)], ids=["one board", "two boards"])
def test_hundreds_of_services_have_recipes_that_are_proved_cheapest(
    offers: tuple[Offer, ...],
) -> None:
    services = some_services(300)
    market = Market(offers=offers, services=services, orders=(), articles=4)
    choice = choose(market)
    assert (choice.bound, choice.note) == (choice.price, "")
    for service, recipe in zip(services, choice.recipes, strict=True):
        assert sum(n * r for n, r in zip(recipe, service.rates, strict=True)) >= service.target
        assert sum(recipe) <= service.most
    total = (sum(counts) for counts in zip(*choice.recipes, strict=True))
    orders = tuple(Order(accepts=(article,), count=n) for article, n in enumerate(total))
    supplied = choose(Market(offers=offers, services=(), orders=orders, articles=4))
    assert supplied.price == choice.price


@pytest.mark.parametrize(
    "steps",
    [(), (Step(services=99, recipes=6, nodes=9),), (Step(services=1, recipes=999, nodes=0),) * 2],
    ids=["proofs only", "a step over few recipes", "steps that end before they prove"],
)
@pytest.mark.parametrize("count", [9, 14, 25])
def test_whatever_the_steps_see_the_proofs_settle_the_price(
    count: int, steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = (replace(SMALL, price=7), replace(LARGE, price=13))
    market = Market(offers=offers, services=some_services(count), orders=(), articles=4)
    usual = choose(market)
    monkeypatch.setattr(search, "STEPS", steps)
    monkeypatch.setattr(knapsacks, "_LISTED", 40)
    other = choose(market)
    assert other.price == other.bound == usual.price == usual.bound


def test_a_limit_leaves_a_gap_and_says_so() -> None:
    market = Market(offers=(SMALL, LARGE), services=some_services(300), orders=(), articles=4)
    hurried, patient = choose(market, limit_s=0.01), choose(market)
    assert hurried.bound <= patient.bound <= patient.price < hurried.price
    assert hurried.note == "the solver reached its limit of 0.01 s"
