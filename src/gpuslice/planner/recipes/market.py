"""What recipes are chosen from, as the caller states it and as arrays.

Separate because every part of the choice reads it. `Market` is for callers; `Instance` is the same
thing with what is alike put together and prices counted in their greatest common divisor, so that
every total is an integer and a bound can be rounded up to the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A kind of GPU that may be used.

    Attributes:
        price: What using one of them costs, an integer from 0 (in use anyway) to 2**30 times the
            greatest common divisor of all prices.
        most: How many there are.
        layouts: What one of them can supply: counts by article. Slices may stay unused, so maximal
            layouts are enough.
    """

    price: int
    most: int
    layouts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One throughput target.

    Attributes:
        target: What its slices have to reach together, thousandths per second; positive.
        rates: What one slice contributes, by article, thousandths per second; 0 where it cannot be
            used.
        most: At most so many slices.
    """

    target: int
    rates: tuple[int, ...]
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A fixed number of slices wanted beside the services.

    Attributes:
        accepts: Articles, any of which will do for each slice.
        count: How many slices.
    """

    accepts: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything recipes are chosen from; an *article* is a profile of a board geometry.

    Attributes:
        offers: Kinds of GPUs.
        services: Throughput targets.
        orders: Fixed demands.
        articles: How many articles there are.
    """

    offers: tuple[Offer, ...]
    services: tuple[Service, ...]
    orders: tuple[Order, ...]
    articles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A market as arrays; offers that are alike are one, and so are orders that accept the same.

    Attributes:
        unit: The price that counts as 1.
        prices: By offer, in units.
        most: By offer; never more than could all be of use.
        layouts: Supply by layout and article, undominated layouts only.
        offer_of: Offer by layout.
        targets: By service.
        rates: By service and article.
        limits: Slices by service; never more than a minimal recipe can have.
        wants: Slices by order.
        accepts: By order and article.
    """

    unit: int
    prices: Ints
    most: Ints
    layouts: Ints
    offer_of: Ints
    targets: Ints
    rates: Ints
    limits: Ints
    wants: Ints
    accepts: Flags

    @property
    def articles(self) -> int:
        """How many articles there are."""
        return int(self.layouts.shape[1])

    @property
    def ticks(self) -> int:
        """Parts of the unit in which slices are priced: as fine as 64 bits allow.

        A recipe is to have a price, and no slice is priced above four times the dearest GPU (see
        `gpuslice.planner.recipes.bound`).
        """
        dearest = 4 * int(self.prices.max(initial=1)) * int(self.limits.max(initial=1))
        return 1 << min(30, max(0, 62 - dearest.bit_length()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An answer in whole numbers.

    Attributes:
        recipes: Counts by service and article.
        layouts: How many GPUs get each layout.
        uses: What serves each order, counts by order and article.
    """

    recipes: Ints
    layouts: Ints
    uses: Ints

    def price(self, instance: Instance) -> int:
        """What its GPUs cost, in units."""
        return sum((instance.prices[instance.offer_of] * self.layouts).tolist())

    def keeps(self, instance: Instance) -> bool:
        """Put the answer into every rule of the market."""
        used = np.bincount(instance.offer_of, self.layouts, len(instance.most))
        demand = self.recipes.sum(axis=0) + self.uses.sum(axis=0)
        return all(
            bool(np.all(rule))
            for rule in (
                self.recipes >= 0,
                self.recipes[instance.rates == 0] == 0,
                (self.recipes * instance.rates).sum(axis=1) >= instance.targets,
                self.recipes.sum(axis=1) <= instance.limits,
                self.uses >= 0,
                self.uses[~instance.accepts] == 0,
                self.uses.sum(axis=1) == instance.wants,
                self.layouts >= 0,
                used <= instance.most,
                demand <= self.layouts @ instance.layouts,
            )
        )


def instance_of(market: Market) -> Instance | None:
    """Write a market as arrays.

    Returns:
        The arrays, or None where a service or an order cannot be met by any number of GPUs.
    """
    supply = _supply(market)
    targets, rates, limits = _services(market, supply)
    wants, accepts = _orders(market, supply)
    fastest = rates.max(axis=1, initial=0)
    if np.any(fastest * limits < targets) or np.any((wants > 0) & ~accepts.any(axis=1)):
        return None
    useful: Flags = np.any(rates > 0, axis=0) | np.any(accepts[wants > 0], axis=0)
    offers = _merged(market.offers, useful)
    unit = gcd(*(price for price, _ in offers)) or 1
    need = int(limits.sum() + wants.sum())
    return Instance(
        unit=unit,
        prices=_row(price // unit for price, _ in offers),
        most=_row(min(most, need) for most in offers.values()),
        layouts=_table((layout for _, own in offers for layout in own), market.articles),
        offer_of=_row(number for number, (_, own) in enumerate(offers) for _ in own),
        targets=targets,
        rates=rates,
        limits=limits,
        wants=wants,
        accepts=accepts,
    )


def with_substitutes(instance: Instance) -> Instance:
    """Ask how many slices are missing, whatever the GPUs cost.

    Returns:
        The instance with GPUs that cost nothing, and behind them for each article any number of
        substitutes for a single slice, which cost one unit each.
    """
    width = instance.articles
    need = int(instance.limits.sum() + instance.wants.sum())
    substitutes = np.arange(width) + len(instance.most)
    return replace(
        instance,
        prices=np.concatenate((np.zeros_like(instance.prices), np.ones(width, np.int64))),
        most=np.concatenate((instance.most, np.full(width, need))),
        layouts=np.concatenate((instance.layouts, np.eye(width, dtype=np.int64))),
        offer_of=np.concatenate((instance.offer_of, substitutes)),
    )


def _supply(market: Market) -> Ints:
    """How many slices of each article there could be at the most."""
    supply = np.zeros(market.articles, dtype=np.int64)
    for offer in market.offers:
        supply += _table(offer.layouts, market.articles).max(axis=0, initial=0) * offer.most
    return supply


def _services(market: Market, supply: Ints) -> tuple[Ints, Ints, Ints]:
    """Targets, rates and limits; nobody needs more slices than of the slowest alone."""
    targets = _row(service.target for service in market.services)
    rates = _table((service.rates for service in market.services), market.articles) * (supply > 0)
    slowest = np.where(rates > 0, rates, _ENDLESS).min(axis=1, initial=_ENDLESS)
    most = int(supply.sum())
    limits = _row(max(0, min(service.most, most)) for service in market.services)
    return targets, rates, np.minimum(limits, -(-targets // slowest))


def _orders(market: Market, supply: Ints) -> tuple[Ints, Flags]:
    """Wants, and which articles serve them."""
    wants: Counter[frozenset[int]] = Counter()
    for order in market.orders:
        wants[frozenset(order.accepts)] += order.count
    accepts = np.zeros((len(wants), market.articles), dtype=np.bool_)
    for number, articles in enumerate(wants):
        accepts[number, list(articles)] = True
    return _row(wants.values()), accepts & (supply > 0)


def _merged(
    offers: Iterable[Offer], useful: Flags
) -> dict[tuple[int, tuple[tuple[int, ...], ...]], int]:
    """Count offers by price and undominated layouts, articles of no use left out."""
    merged: Counter[tuple[int, tuple[tuple[int, ...], ...]]] = Counter()
    for offer in offers:
        layouts = _table(offer.layouts, len(useful)) * useful
        merged[offer.price, _undominated(layouts)] += offer.most
    return {offer: most for offer, most in merged.items() if most > 0 and offer[1]}


def _undominated(layouts: Ints) -> tuple[tuple[int, ...], ...]:
    """Layouts that supply something, and of which no other supplies as much of everything."""
    distinct = np.unique(layouts, axis=0)
    covers = (distinct[:, None, :] >= distinct[None, :, :]).all(axis=2)
    kept = distinct[(covers.sum(axis=0) == 1) & distinct.any(axis=1)]
    return tuple(tuple(layout) for layout in kept.tolist())


def _row(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _table(rows: Iterable[Iterable[int]], width: int) -> Ints:
    return np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, width)
