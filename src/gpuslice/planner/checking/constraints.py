"""Do the replicas of a plan keep to what they asked of each other and of moving?

Separate because these rules speak of the final state as a whole, and because they judge any
outcome, not only a plan's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from gpuslice.model.demand import Demand
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.outcome import Outcome, Seats


def constraint_violations(outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Check pinned replicas, the number of moves, spreading, and who is near or away from whom."""
    for replica in outcome.moved:
        if facts.demand_of[replica.model].pinned:
            yield f"{replica} is pinned, but does not stay where it runs"
    most = facts.rules.most_moves
    if most is not None and len(outcome.moved) > most:
        yield f"{len(outcome.moved)} running replicas leave their slice, and at most {most} may"
    for uuid, models in company(outcome.seats, facts).items():
        for model in models:
            yield from _company_violations(uuid, facts.demand_of[model], models)


def company(seats: Seats, facts: Facts) -> Mapping[str, Counter[str]]:
    """Count replicas by GPU and model; nothing where nobody minds who else is on a GPU."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    if any(d.most_per_gpu is not None or d.near or d.away for d in facts.demands):
        for replica, slice_ in seats.items():
            found[slice_.gpu_uuid][replica.model] += 1
    return found


def _company_violations(uuid: str, demand: Demand, models: Counter[str]) -> Iterator[str]:
    """Check what one demand asks of a GPU that holds a replica of it."""
    count, most = models[demand.model], demand.most_per_gpu
    if most is not None and count > most:
        yield f"{uuid} holds {count} replicas of {demand.model}, and at most {most} may be there"
    for model in demand.near:
        if not models[model]:
            yield f"{uuid} holds {demand.model} and no replica of {model}, which has to be near"
    for model in demand.away:
        if models[model]:
            yield f"{uuid} holds {demand.model} beside {model}, which has to be away"
