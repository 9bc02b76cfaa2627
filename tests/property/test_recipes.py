"""Recipes are legal and cheapest: held against all recipes times all layouts of small markets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement, product

import highspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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

Counts = tuple[int, ...]

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def offers(draw: st.DrawFn, articles: int) -> Offer:
    layout = st.tuples(*[st.integers(0, 3)] * articles)
    return Offer(
        price=draw(st.sampled_from((0, 1, 2, 3, 4, 6))),
        most=draw(st.integers(0, 3)),
        layouts=tuple(draw(st.lists(layout, min_size=1, max_size=3))),
    )


@st.composite
def services(draw: st.DrawFn, articles: int) -> Service:
    return Service(
        target=draw(st.integers(1, 20)),
        rates=draw(st.tuples(*[st.sampled_from((0, 1, 3, 4, 7, 10))] * articles)),
        most=draw(st.integers(1, 5)),
    )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    articles = draw(st.integers(1, 3))
    accepts = st.sets(st.integers(0, articles - 1), max_size=2).map(lambda a: tuple(sorted(a)))
    order = st.builds(Order, accepts=accepts, count=st.integers(0, 3))
    return Market(
        offers=tuple(draw(st.lists(offers(articles), min_size=1, max_size=2))),
        services=tuple(draw(st.lists(services(articles), max_size=3))),
        orders=tuple(draw(st.lists(order, max_size=2))),
        articles=articles,
    )


def choose(market: Market, limit_s: float = 60.0) -> RecipeChoice | None:
    return choose_recipes(market, Allowance(limit_s=limit_s))


@given(market=markets())
@quick
def test_no_recipes_and_layouts_whatever_are_cheaper(market: Market) -> None:
    choice = choose(market)
    assert (None if choice is None else choice.price) == least_price(market)


@given(market=markets())
@quick
def test_what_is_chosen_is_proved_to_be_the_cheapest(market: Market) -> None:
    choice = choose(market)
    assert choice is None or (choice.bound, choice.note) == (choice.price, "")


@given(market=markets(), steps=st.integers(0, 2))
@quick
def test_steps_that_see_few_recipes_arrive_at_the_same_price(market: Market, steps: int) -> None:
    """What large markets do: decide services by the relaxation, open others, search in parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "STEPS", (Step(services=9, recipes=2, nodes=3),) * steps)
        patch.setattr(knapsacks, "_LISTED", 2)
        choice = choose(market)
    assert (None if choice is None else choice.price) == least_price(market)
    assert choice is None or choice.bound == choice.price


@given(market=markets(), limit_s=st.sampled_from((0.0, 1e-4, 1e-3, 60.0)))
@quick
def test_recipes_can_be_supplied_at_their_price_however_short_the_time(
    market: Market, limit_s: float
) -> None:
    choice = choose(market, limit_s)
    least = least_price(market)
    if choice is not None:
        assert least is not None
        assert choice.bound <= least <= choice.price
        for service, recipe in zip(market.services, choice.recipes, strict=True):
            assert sum(n * rate for n, rate in zip(recipe, service.rates, strict=True)) >= (
                service.target
            )
            assert sum(recipe) <= service.most
            assert all(rate or not n for n, rate in zip(recipe, service.rates, strict=True))
        fixed = Order(accepts=(), count=0)
        bought = [
            Order(accepts=(article,), count=recipe[article])
            for recipe in choice.recipes
            for article in range(market.articles)
        ]
        decided = replace(market, services=(), orders=(*market.orders, *bought, fixed))
        supplied = least_price(decided)
        assert supplied is not None
        assert supplied <= choice.price


@given(market=markets(), factor=st.integers(2, 1_000_000))
@quick
def test_other_money_changes_nothing(market: Market, factor: int) -> None:
    dearer = tuple(replace(offer, price=offer.price * factor) for offer in market.offers)
    choice = choose(market)
    other = choose(replace(market, offers=dearer))
    assert other == (
        choice and replace(choice, price=choice.price * factor, bound=choice.bound * factor)
    )


@given(market=markets())
@quick
def test_equal_markets_have_equal_choices(market: Market) -> None:
    assert choose(market) == choose(market)


@given(market=markets())
@quick
def test_a_solver_that_fails_costs_proof_but_nothing_else(market: Market) -> None:
    def broken(_: highspy.Highs) -> None:
        raise RuntimeError("out of luck")

    choice = choose_recipes(market, Allowance(limit_s=60.0), broken)
    least = least_price(market)
    if choice is not None:
        assert least is not None
        assert choice.bound <= least <= choice.price
        assert choice.bound == choice.price or "out of luck" in choice.note


def least_price(market: Market) -> int | None:
    """Try all layouts of all GPUs, the cheapest first."""
    per_offer = [list(_bought(offer, market.articles)) for offer in market.offers]
    totals = {
        (sum(price for price, _ in bought), _sum((s for _, s in bought), market.articles))
        for bought in product(*per_offer)
    }
    recipes = [list(_minimal_recipes(service)) for service in market.services]
    return next(
        (p for p, supply in sorted(totals) if _enough(supply, recipes, market.orders)), None
    )


def _bought(offer: Offer, articles: int) -> Iterator[tuple[int, Counts]]:
    for count in range(offer.most + 1):
        for layouts in combinations_with_replacement(offer.layouts, count):
            yield count * offer.price, _sum(layouts, articles)


def _minimal_recipes(service: Service) -> Iterator[Counts]:
    for recipe in product(range(service.most + 1), repeat=len(service.rates)):
        reached = sum(n * rate for n, rate in zip(recipe, service.rates, strict=True))
        used = [rate for n, rate in zip(recipe, service.rates, strict=True) if n]
        if sum(recipe) <= service.most and reached >= service.target > reached - min(used):
            yield recipe


def _enough(supply: Counts, recipes: list[list[Counts]], orders: tuple[Order, ...]) -> bool:
    """Take a recipe for each service in turn, then serve the orders slice by slice."""
    if recipes:
        return any(
            _enough(left, recipes[1:], orders)
            for recipe in recipes[0]
            if min(left := tuple(s - n for s, n in zip(supply, recipe, strict=True))) >= 0
        )
    if not orders:
        return True
    first, *others = orders
    if first.count <= 0:
        return _enough(supply, [], tuple(others))
    return any(
        _enough(_without(supply, article), [], (replace(first, count=first.count - 1), *others))
        for article in first.accepts
        if supply[article]
    )


def _without(supply: Counts, article: int) -> Counts:
    return tuple(s - (number == article) for number, s in enumerate(supply))


def _sum(vectors: Iterator[Counts] | Counts | tuple[Counts, ...], width: int) -> Counts:
    return tuple(map(sum, zip((0,) * width, *vectors, strict=True)))
