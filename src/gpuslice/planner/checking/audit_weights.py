"""Weights of demands, and how much of them a GPU can carry: the duals of `audit_bound`.

Separate because this is the geometry of the bound, and the other the money.

A weighing gives every demand a weight. A slice serves one replica, so it carries at most the weight
of the heaviest demand that accepts it, or of a throughput target the share that the slice reaches.
A GPU carries at most the heaviest placements that lie side by side, which a table over its memory
slices finds. The weights tried are the demands' least share of a GPU's memory, of its compute and
of both, once as it is and once times the price; of all demands, and of only those above a
threshold, weighed or counted.

Source: thresholds as in Fekete and Schepers, "New classes of fast lower bounds for bin packing
problems", Mathematical Programming 91 (2001).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.model.gpu import Gpu
from gpuslice.planner.checking.catalogue import Layout

_UNIT = 5040
"""A whole GPU in a weighing; the sizes of grids and the numbers of compute slices divide it."""

_THRESHOLDS = 8
"""How many thresholds are tried with each weighing, at most."""

_Product = tuple[str, int]
"""A product name and a geometry, by identity."""

_Shares = dict[tuple[_Product, str], tuple[int, int]]
"""What share of a demand one slice of a product's profile serves, as numerator and denominator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """Weights of demands, and what they make of slices.

    Attributes:
        weights: What one replica of each model weighs, or its met target.
        worth: The most that a slice of each profile can carry.
    """

    weights: dict[str, int]
    worth: dict[tuple[_Product, str], int]

    def carries(self, gpu: Gpu, fixed: Layout) -> int:
        """Return the most that a GPU can carry beside what lies there and stays."""
        geometry = gpu.geometry
        if geometry is None:
            return 0
        ending: dict[int, list[tuple[int, int]]] = {}
        for profile in geometry.profiles:
            worth = self.worth.get((_product(gpu), profile.name), 0)
            for at in profile.placements if worth else ():
                if not any(at.start < start + size and start < at.end for _, start, size in fixed):
                    ending.setdefault(at.end, []).append((at.start, worth))
        best = [0]
        for end in range(1, geometry.memory_slices + 1):
            options = (best[start] + worth for start, worth in ending.get(end, ()))
            best.append(max(best[-1], max(options, default=0)))
        return best[-1]


def could_serve(demand: Demand, gpus: Sequence[Gpu]) -> bool:
    """Tell whether any of the GPUs has a profile that serves a demand."""
    return bool(_shares(demand, _products(gpus)))


def weighings(demands: Sequence[Demand], gpus: Sequence[tuple[Gpu, int]]) -> Iterator[Weighing]:
    """List the weighings to try.

    Args:
        demands: Those of which anything is to be served; some GPU could serve each.
        gpus: At least one GPU of every product, with its price.
    """
    products = _products([gpu for gpu, _ in gpus])
    prices = {_product(gpu): price for gpu, price in gpus}
    shares = {demand.model: _shares(demand, products) for demand in demands}
    scales = [dict.fromkeys(prices, 1)]
    if len(set(prices.values())) > 1:
        scales.append(prices)
    for measure, scale in product((_memory, _compute, _both), scales):
        sizes = {
            (key, profile.name): measure(profile, geometry) * scale[key]
            for key, geometry in products.items()
            for profile in geometry.profiles
        }
        whole = {
            model: min(sizes[key] * of // part for key, (part, of) in accepted.items())
            for model, accepted in shares.items()
        }
        for weights in _thresholded(whole):
            yield Weighing(weights=weights, worth=_worth(weights, shares))


def _memory(profile: Profile, geometry: Geometry) -> int:
    return _UNIT * profile.memory_slices // geometry.memory_slices


def _compute(profile: Profile, geometry: Geometry) -> int:
    return _UNIT * profile.compute_slices // (geometry.compute_slices or 1)


def _both(profile: Profile, geometry: Geometry) -> int:
    return _memory(profile, geometry) + _compute(profile, geometry)


def _product(gpu: Gpu) -> _Product:
    return gpu.name, id(gpu.geometry)


def _products(gpus: Sequence[Gpu]) -> dict[_Product, Geometry]:
    return {_product(gpu): gpu.geometry for gpu in gpus if gpu.geometry is not None}


def _shares(demand: Demand, products: dict[_Product, Geometry]) -> _Shares:
    """Say what share of a demand one slice of each profile serves, where it serves any."""
    return {
        (key, profile.name): _share(demand, profile, key[0])
        for key, geometry in products.items()
        for profile in geometry.profiles
        if profile.placements and demand.accepts(profile, key[0])
    }


def _share(demand: Demand, profile: Profile, board: str) -> tuple[int, int]:
    if demand.target is None:
        return 1, 1
    whole = demand.target.milli_per_s
    return min(whole, demand.target.rate(profile, board)), whole


def _thresholded(whole: dict[str, int]) -> Iterator[dict[str, int]]:
    """Weigh, or count, only the demands above each of a few thresholds."""
    values = sorted(set(whole.values()))
    step = -(-len(values) // _THRESHOLDS) or 1
    for least in values[::step]:
        yield {model: weight if weight >= least else 0 for model, weight in whole.items()}
        yield {model: _UNIT if weight >= least else 0 for model, weight in whole.items()}


def _worth(weights: dict[str, int], shares: dict[str, _Shares]) -> dict[tuple[_Product, str], int]:
    """Give every profile the weight of the heaviest demand, or share of one, that it serves."""
    worth: dict[tuple[_Product, str], int] = {}
    for model, accepted in shares.items():
        for key, (part, of) in accepted.items():
            worth[key] = max(worth.get(key, 0), -(-weights[model] * part // of))
    return worth
