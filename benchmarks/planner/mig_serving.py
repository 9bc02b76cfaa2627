"""MIG-Serving's fast algorithm: whole GPUs, each with the configuration that helps most just then.

Separate because it is the one rival that chooses the slices of a throughput target together with
their GPU. A slice helps a service by the share of its need that it provides, times the share that
is still lacking; a configuration scores the sum, its slices going where they help most.

Source: arXiv 2109.11067 (Tan et al.), its greedy algorithm. Only the abstract could be read, which
names a heuristic greedy algorithm, a genetic one and tree search; the score is from memory and
**could not be checked**. Two things are ours: the score is divided by the price of the GPU, which
changes nothing where there is one product, and a slice never counts for more than what is lacking.
The paper's genetic algorithm and tree search, which improve the answer for hours, are not here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nlargest

from benchmarks.planner.instance import Chosen, Instance, geometry_of
from benchmarks.planner.rearranging import layouts
from benchmarks.planner.rooms import Fleet, Lying, Room
from benchmarks.planner.segments import products

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu

_Helps = Mapping[str, Mapping[str, float]]
"""For each profile of a product, the share of its need that one slice gives to each service."""

_Staffed = list[tuple[str, Placement, str]]
"""Slices of a configuration, each with the service that gets it."""

_ENOUGH = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """What is known of one product beforehand.

    Attributes:
        helps: What its slices give.
        configurations: Its layouts to which nothing can be added.
        price: Of one GPU.
    """

    helps: _Helps
    configurations: tuple[Lying, ...]
    price: int


def mig_serving_greedy(instance: Instance) -> list[Chosen]:
    """Configure one empty GPU after the other until all services have what they need."""
    fleet = Fleet(instance)
    known = {gpu.name: _product(fleet, instance, gpu) for gpu in products(instance)}
    lacking = {demand.model: 1.0 for demand in instance.demands if demand.replicas}
    waiting = _replicas(instance)
    chosen: list[Chosen] = []
    while any(share > _ENOUGH for share in lacking.values()):
        options = [
            (score / known[room.board].price, -rank, staffed)
            for room, rank in fleet.rooms()
            if not room.lying
            for score, staffed in [_best(known[room.board], lacking)]
        ]
        score, rank, staffed = max(options, default=(0.0, 0, _Staffed()))
        if score <= _ENOUGH:
            break
        for name, at, model in staffed:
            gpu = fleet.order[-rank]
            lacking[model] -= known[fleet.room_of(gpu).board].helps[name][model]
            chosen.append(fleet.put(waiting[model].popleft(), gpu, name, at))
    return chosen


def _product(fleet: Fleet, instance: Instance, gpu: Gpu) -> _Product:
    """Work out what the slices of a product give, and its maximal layouts."""
    geometry = geometry_of(gpu)
    helps = {
        profile.name: {
            demand.model: share
            for demand in instance.demands
            if (share := _share(demand, gpu, profile.name)) > 0
        }
        for profile in geometry.profiles
    }
    names = frozenset(name for name, services in helps.items() if services)
    empty = fleet.building.like(Room(geometry, (), gpu.name), ())
    found = tuple(layouts(fleet.building, empty, names))
    return _Product(
        helps=helps,
        configurations=tuple(parts for parts in found if _maximal(fleet, empty, parts, names)),
        price=max(1, instance.price(gpu)),
    )


def _share(demand: Demand, gpu: Gpu, name: str) -> float:
    """Say what share of a demand one slice gives."""
    profile = geometry_of(gpu).named(name)
    assert profile is not None, "asked for the profiles of the GPU"
    if demand.target is not None:
        return demand.target.rate(profile, gpu.name) / demand.target.milli_per_s
    return 1 / demand.replicas if demand.replicas and demand.accepts(profile, gpu.name) else 0.0


def _maximal(fleet: Fleet, room: Room, parts: Lying, names: frozenset[str]) -> bool:
    """Tell whether nothing can be added to a layout."""
    full = fleet.building.like(room, parts)
    return not any(fleet.building.starts(full, name) for name in names)


def _best(product: _Product, lacking: Mapping[str, float]) -> tuple[float, _Staffed]:
    """Return the highest score of a configuration of a product, and whom its slices go to."""
    most = max((len(parts) for parts in product.configurations), default=0)
    neediest = {
        name: nlargest(
            most,
            ((_worth(share, lacking[model]), model) for model, share in services.items()),
        )
        for name, services in product.helps.items()
    }
    options = [_staff(product, parts, lacking, neediest) for parts in product.configurations]
    return max(options, key=lambda option: option[0], default=(0.0, _Staffed()))


def _worth(share: float, lacking: float) -> float:
    """Score one slice for a service that lacks a share of its need."""
    return min(share, lacking) * lacking if lacking > _ENOUGH else 0.0


def _staff(
    product: _Product,
    parts: Lying,
    lacking: Mapping[str, float],
    neediest: Mapping[str, list[tuple[float, str]]],
) -> tuple[float, _Staffed]:
    """Give each slice of a configuration, the largest first, to the service it helps most."""
    left: dict[str, float] = {}
    score, staffed = 0.0, _Staffed()
    for name, at in sorted(parts, key=lambda part: -part[1].size):
        worth, model = max(
            (
                (_worth(product.helps[name][model], left.get(model, lacking[model])), model)
                for _, model in neediest[name]
            ),
            default=(0.0, ""),
        )
        if worth > 0:
            left[model] = left.get(model, lacking[model]) - product.helps[name][model]
            score += worth
            staffed.append((name, at, model))
    return score, staffed


def _replicas(instance: Instance) -> dict[str, deque[ReplicaId]]:
    """List the replicas of each demand that wait; of a target as many as it may have."""
    waiting: dict[str, deque[ReplicaId]] = {demand.model: deque() for demand in instance.demands}
    for replica in instance.arrivals:
        waiting[replica.model].append(replica)
    for demand in instance.targets:
        numbers = range(demand.replicas)
        waiting[demand.model].extend(ReplicaId(demand.model, number) for number in numbers)
    return waiting
