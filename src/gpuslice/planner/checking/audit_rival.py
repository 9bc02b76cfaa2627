"""Bounds refuted: outcomes that anybody can see, and that are better than a proof allows.

Separate from recounting, which takes the plan as it is. No bound is proved here, but one that says
"nothing is better" is wrong as soon as something is. Two rivals cost next to nothing to look at:

- everything that runs stays where it is, and nobody else is served;
- the plan as it is, with one more replica in room that it leaves free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gpuslice.model.certificate import Certificate, Goal, Objective
from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu
from gpuslice.planner.checking.audit_count import count, key_of, whats_lying
from gpuslice.planner.checking.catalogue import Layout
from gpuslice.planner.checking.constraints import company, constraint_violations
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.outcome import Outcome
from gpuslice.planner.checking.seats import rates


def rival_violations(certificate: Certificate, outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Hold the bounds of a certificate against outcomes that are easily had.

    Args:
        certificate: What is claimed; its values are the plan's.
        outcome: What the plan comes to.
        facts: What it was made from.

    Yields:
        One line for every bound that is none.
    """
    yield from _staying_violations(certificate, facts)
    yield from _room_violations(certificate, outcome, facts)


def _staying_violations(certificate: Certificate, facts: Facts) -> Iterator[str]:
    """Go down the objectives for as long as leaving everything where it is equals the plan."""
    rival = _staying(facts)
    if any(constraint_violations(rival, facts)):
        return
    for objective, (_, value) in zip(certificate.objectives, count(rival, facts), strict=False):
        if objective.bound is not None and _better(objective, value, objective.bound):
            yield f"{_claim(objective)}, but {value} is reached if all stay where they are"
        if value != objective.value:
            return


def _staying(facts: Facts) -> Outcome:
    """Work out what it comes to if nobody moves and nobody else comes.

    A target that the running slices do not reach has to be given up, with its slices.
    """
    supply = rates(facts.incumbents, facts)
    short = {
        demand.model
        for demand in facts.demands
        if demand.target and supply.get(demand.model, 0) < demand.target.milli_per_s
    }
    staying = facts.incumbents
    if short:
        staying = {r: slice_ for r, slice_ in staying.items() if r.model not in short}
    return Outcome(
        seats=staying,
        moved=tuple(replica for replica in facts.incumbents if replica not in staying),
        destroyed=sum(map(len, facts.own.values())) - len(staying),
        switched=0,
    )


def _room_violations(certificate: Certificate, outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Look for room for one more replica of a priority that is said to allow no more."""
    seated = Counter(replica.model for replica in outcome.seats)
    settled = {o.priority: o for o in certificate.objectives if _is_settled(o)}
    short = [
        demand
        for demand in facts.demands
        if demand.target is None
        and seated[demand.model] < demand.replicas
        and demand.priority in settled
    ]
    kinds = list(_kinds(outcome, facts)) if short else []
    for demand in short:
        place = next((p for kind in kinds for p in _places(demand, kind, facts)), "")
        if place:
            claim = _claim(settled[demand.priority])
            yield f"{claim}, but one more replica of {demand.model} fits: {place}"


def _is_settled(objective: Objective) -> bool:
    """Tell whether it is claimed that no more replicas of a priority can be served."""
    return (
        objective.goal is Goal.SERVED
        and objective.bound is not None
        and objective.value + 1 > objective.bound
    )


class _Kind(NamedTuple):
    """GPUs that are equal in the end, with one of them to name.

    Attributes:
        gpu: One of them.
        lying: What lies on it.
        models: How many replicas of each model are on it, where anybody minds.
    """

    gpu: Gpu
    lying: Layout
    models: Counter[str]


def _kinds(outcome: Outcome, facts: Facts) -> Iterator[_Kind]:
    """Name one GPU of each kind."""
    guests, nobody = company(outcome.seats, facts), Counter[str]()
    seen = set()
    for gpu, lying in whats_lying(outcome.seats, facts):
        assert gpu.geometry is not None, "usable GPUs have a geometry"
        models = guests.get(gpu.uuid, nobody)
        key = facts.catalogue.number(gpu.geometry), gpu.name, lying, frozenset(models.items())
        if key not in seen:
            seen.add(key)
            yield _Kind(gpu, lying, models)


def _places(demand: Demand, kind: _Kind, facts: Facts) -> Iterator[str]:
    """List where one more replica could lie on a GPU of a kind."""
    geometry, catalogue = kind.gpu.geometry, facts.catalogue
    if geometry is None or not _welcome(demand, kind.models, facts):
        return
    for profile in geometry.profiles:
        if catalogue.accepts(demand, kind.gpu, profile.name):
            for at in profile.placements:
                if catalogue.allows(geometry, kind.lying, (profile.name, at.start, at.size)):
                    yield _place(profile.name, at, kind.gpu)


def _place(profile: str, at: Placement, gpu: Gpu) -> str:
    return f"{profile} at {at} of {gpu.uuid}"


def _welcome(demand: Demand, models: Counter[str], facts: Facts) -> bool:
    """Tell whether one more replica on a GPU is what it and those that are there asked for."""
    if demand.most_per_gpu is not None and models[demand.model] >= demand.most_per_gpu:
        return False
    if any(not models[model] and model != demand.model for model in demand.near):
        return False
    if any(models[model] or model == demand.model for model in demand.away):
        return False
    return not any(demand.model in facts.demand_of[model].away for model in models)


def _claim(objective: Objective) -> str:
    """Write what is claimed."""
    return f"the certificate bounds {key_of(objective)} by {objective.bound}"


def _better(objective: Objective, value: int, bound: int) -> bool:
    """Tell whether a value is beyond a bound."""
    return value > bound if objective.goal.most else value < bound
