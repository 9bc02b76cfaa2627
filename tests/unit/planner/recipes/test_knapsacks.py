"""The cheapest recipes at given prices, held against all recipes of small services."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from gpuslice.planner.recipes import knapsacks as room
from gpuslice.planner.recipes.knapsacks import Knapsacks
from gpuslice.planner.recipes.market import Instance, Market, Offer, Service, instance_of

PRICES = ((7, 13, 22), (10, 20, 30), (0, 5, 5), (1, 1, 1), (1_000_003, 2_000_001, 2_999_999))


def some_services(seed: int, count: int = 40) -> tuple[Service, ...]:
    """Services of three articles; some have few slices, some cannot use every article."""
    random = Random(seed)
    services = (
        Service(
            target=random.randint(1, 60),
            rates=tuple(random.choice((0, 3, 7, 8, 15, 16, 24)) for _ in range(3)),
            most=random.randint(1, 9),
        )
        for _ in range(count)
    )
    return tuple(s for s in services if max(s.rates) * s.most >= s.target)


def an_instance(services: tuple[Service, ...]) -> Instance:
    offer = Offer(price=1, most=999, layouts=((1, 1, 1),))
    instance = instance_of(Market(offers=(offer,), services=services, orders=(), articles=3))
    assert instance is not None
    return instance


def minimal_recipes(service: Service) -> set[tuple[int, ...]]:
    found = set()
    for recipe in product(range(service.most + 1), repeat=3):
        reached = sum(n * rate for n, rate in zip(recipe, service.rates, strict=True))
        smallest = min(
            rate for n, rate in zip(recipe, service.rates, strict=True) if n or not reached
        )
        if sum(recipe) <= service.most and reached >= service.target > reached - smallest:
            found.add(recipe)
    return found


def cost(recipe: tuple[int, ...], prices: tuple[int, ...]) -> int:
    return sum(n * price for n, price in zip(recipe, prices, strict=True))


@pytest.mark.parametrize("prices", PRICES)
@pytest.mark.parametrize("crowded", [0, 64], ids=["compared", "not compared"])
def test_no_recipe_of_any_service_is_cheaper(
    prices: tuple[int, ...], crowded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_CROWDED", crowded)
    services = some_services(seed=1)
    found = Knapsacks(an_instance(services)).cheapest(np.array(prices))
    for service, recipe, bound in zip(
        services, found.recipes.tolist(), found.bounds.tolist(), strict=True
    ):
        least = min(cost(other, prices) for other in minimal_recipes(service))
        assert cost(tuple(recipe), prices) == bound == least
        assert (
            sum(n * rate for n, rate in zip(recipe, service.rates, strict=True)) >= service.target
        )
        assert sum(recipe) <= service.most or 0 in prices


@pytest.mark.parametrize("prices", PRICES)
@pytest.mark.parametrize("beyond", [0, 3, 20, 1_000_000])
def test_a_list_has_every_minimal_recipe_within_its_slack(
    prices: tuple[int, ...], beyond: int
) -> None:
    services = some_services(seed=2)
    knapsacks = Knapsacks(an_instance(services))
    most = knapsacks.cheapest(np.array(prices)).bounds + beyond
    listing = knapsacks.within(np.array(prices), most)
    assert not listing.open.any()
    for number, service in enumerate(services):
        listed = [tuple(recipe) for recipe in listing.recipes[listing.services == number].tolist()]
        wanted = {r for r in minimal_recipes(service) if cost(r, prices) <= most[number]}
        assert sorted(listed) == sorted(wanted)


@pytest.mark.parametrize("prices", PRICES)
def test_rough_recipes_are_legal_and_rough_bounds_are_below_all(prices: tuple[int, ...]) -> None:
    services = some_services(seed=3)
    found = Knapsacks(an_instance(services)).rough(np.array(prices))
    for service, recipe, bound in zip(
        services, found.recipes.tolist(), found.bounds.tolist(), strict=True
    ):
        least = min(cost(other, prices) for other in minimal_recipes(service))
        assert bound <= least <= cost(tuple(recipe), prices)
        assert (
            sum(n * rate for n, rate in zip(recipe, service.rates, strict=True)) >= service.target
        )
        assert sum(recipe) <= service.most


def test_a_service_with_too_many_recipes_is_open_and_bounded_from_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_PER_SERVICE", 2)
    monkeypatch.setattr(room, "_AT_ONCE", 6)
    prices = (10, 21, 32)
    services = (
        Service(target=59, rates=(3, 7, 8), most=30),
        Service(target=3, rates=(3, 0, 0), most=1),
    )
    knapsacks = Knapsacks(an_instance(services))
    found = knapsacks.cheapest(np.array(prices))
    least = min(cost(other, prices) for other in minimal_recipes(services[0]))
    assert found.bounds[0] < least <= cost(tuple(found.recipes[0].tolist()), prices)
    assert found.bounds[1] == 10
    listing = knapsacks.within(np.array(prices), found.bounds + 50)
    assert listing.open.tolist() == [True, False]
    assert listing.services.tolist() == [1]


def test_work_is_counted() -> None:
    knapsacks = Knapsacks(an_instance(some_services(seed=4)))
    knapsacks.cheapest(np.array(PRICES[0]))
    assert knapsacks.work > 0
