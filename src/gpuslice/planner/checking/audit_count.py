"""Every objective counted from what there is in the end.

Separate from comparing the counts with a certificate, because a rival's outcome is counted in the
same way. Values come one by one, in the order of importance, so that whoever stops early has not
paid for the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gpuslice.model.certificate import Goal, Objective
from gpuslice.model.demand import Demand
from gpuslice.model.gpu import Gpu
from gpuslice.planner.checking.catalogue import Layout, Part, part_of
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.outcome import Outcome, Seats
from gpuslice.planner.checking.seats import rates


class Key(NamedTuple):
    """Which objective is meant."""

    goal: Goal
    model: str = ""
    priority: int | None = None

    def __str__(self) -> str:
        about = self.model or ("" if self.priority is None else f"priority {self.priority}")
        return f"{self.goal} ({about})" if about else f"{self.goal}"


def key_of(objective: Objective) -> Key:
    """Say which objective a certificate speaks of."""
    return Key(objective.goal, objective.model, objective.priority)


def unpriced(facts: Facts) -> tuple[str, ...]:
    """List the products that may be used and have no price, where prices are given."""
    known = _prices(facts)
    boards = {gpu.name for gpu in facts.usable_gpus}
    return tuple(sorted(boards - set(known))) if facts.rules.prices is not None else ()


def count(outcome: Outcome, facts: Facts) -> Iterator[tuple[Key, int]]:
    """Count every objective, most important first.

    Args:
        outcome: What there is in the end; legal, and on GPUs that have prices.
        facts: What the plan was made from.
    """
    yield from served(outcome.seats, facts)
    lying = whats_lying(outcome.seats, facts)
    used = [gpu for gpu, parts in lying if parts]
    if facts.rules.addable:
        added = [gpu for gpu in used if gpu.uuid in facts.rules.addable]
        yield Key(Goal.ADDED), _price(added, facts)
    yield Key(Goal.COST), _price(used, facts)
    yield Key(Goal.MOVED), sum(facts.demand_of[r.model].move_cost for r in outcome.moved)
    yield Key(Goal.DESTROYED), outcome.destroyed
    yield Key(Goal.SWITCHED), outcome.switched
    yield Key(Goal.OURS), len({slice_.gpu_uuid for slice_ in outcome.seats.values()})
    yield Key(Goal.MEMORY), sum(s.placement.size for s in outcome.seats.values())
    yield Key(Goal.ROOM), _room(lying, facts)
    yield Key(Goal.COMPUTE), _compute(outcome, facts)


def served(seats: Seats, facts: Facts) -> Iterator[tuple[Key, int]]:
    """Count what is served, by priority and then by model."""
    seated = Counter(replica.model for replica in seats)
    supply = rates(seats, facts)

    def answered(demand: Demand) -> int:
        if demand.target is None:
            return seated[demand.model]
        return int(supply.get(demand.model, 0) >= demand.target.milli_per_s)

    for priority in sorted({demand.priority for demand in facts.demands}, reverse=True):
        equal = [demand for demand in facts.demands if demand.priority == priority]
        yield Key(Goal.SERVED, priority=priority), sum(map(answered, equal))
    # The sort is stable: demands of equal priority stay in their order.
    for demand in sorted(facts.demands, key=lambda demand: -demand.priority):
        yield Key(Goal.SERVED_OF_MODEL, demand.model), answered(demand)


def whats_lying(seats: Seats, facts: Facts) -> list[tuple[Gpu, Layout]]:
    """List what lies on each usable GPU in the end, ours and foreign, sorted."""
    parts: dict[str, list[Part]] = {}
    for slice_ in seats.values():
        parts.setdefault(slice_.gpu_uuid, []).append(part_of(slice_))
    for uuid, slices in facts.foreign.items():
        parts.setdefault(uuid, []).extend(map(part_of, slices))
    return [(gpu, tuple(sorted(parts.get(gpu.uuid, ())))) for gpu in facts.usable_gpus]


def _prices(facts: Facts) -> dict[str, int]:
    return dict(facts.rules.prices.milli_per_hour) if facts.rules.prices is not None else {}


def _price(gpus: list[Gpu], facts: Facts) -> int:
    """Add up what GPUs cost; each counts as one where there are no prices."""
    if facts.rules.prices is None:
        return len(gpus)
    prices = _prices(facts)
    return sum(prices[gpu.name] for gpu in gpus)


def _room(lying: list[tuple[Gpu, Layout]], facts: Facts) -> int:
    """Weigh what is left free on all GPUs."""
    room = facts.catalogue.room
    return sum(room(gpu.geometry, parts) for gpu, parts in lying if gpu.geometry is not None)


def _compute(outcome: Outcome, facts: Facts) -> int:
    """Add up the compute slices of every seat."""
    total = 0
    for slice_ in outcome.seats.values():
        profile = facts.catalogue.profile(facts.machine[slice_.gpu_uuid], slice_.profile)
        assert profile is not None, "a legal plan seats replicas on profiles its GPUs offer"
        total += profile.compute_slices
    return total
