"""What a choice of seats is worth, goal by goal, told from the facts alone.

Separate from the search: plans, brute force and hand-made choices are all judged by this. No code
shared with the planner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gpuslice.model.certificate import Certificate, Goal
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Plan
from property.case import (
    Case,
    Place,
    Seating,
    foreign,
    geometry_of,
    movers,
    on,
    ours,
    price,
    profile_of,
    usable,
)

Worth = tuple[int, ...]
"""Every objective in the order of the certificate, all of them less is better."""

Lying = tuple[tuple[str, Placement], ...]


class Expense(NamedTuple):
    """What follows the goals of serving, all of it less is better; adds up over GPUs."""

    added: int
    cost: int
    moved: int
    destroyed: int
    switched: int
    ours: int
    memory: int
    room: int
    compute: int

    def plus(self, other: Expense) -> Expense:
        """The sum, goal by goal."""
        return Expense(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Expense(0, 0, 0, 0, 0, 0, 0, 0, 0)

_GOALS = (
    Goal.ADDED,
    Goal.COST,
    Goal.MOVED,
    Goal.DESTROYED,
    Goal.SWITCHED,
    Goal.OURS,
    Goal.MEMORY,
    Goal.ROOM,
    Goal.COMPUTE,
)


def goals(case: Case) -> list[tuple[Goal, str, int | None]]:
    """Every objective as (goal, model, priority), most important first."""
    priorities = sorted({demand.priority for demand in case.demands}, reverse=True)
    by_importance = sorted(case.demands, key=lambda demand: -demand.priority)
    return [
        *((Goal.SERVED, "", priority) for priority in priorities),
        *((Goal.SERVED_OF_MODEL, demand.model, None) for demand in by_importance),
        *((goal, "", None) for goal in _GOALS if goal is not Goal.ADDED or case.rules.addable),
    ]


def stated_goals(certificate: Certificate) -> list[tuple[Goal, str, int | None]]:
    """The same, as a certificate says it."""
    return [(o.goal, o.model, o.priority) for o in certificate.objectives]


def stated_values(certificate: Certificate) -> Worth:
    """The values of a certificate, in the form of a worth."""
    return tuple(-o.value if o.goal.most else o.value for o in certificate.objectives)


def stated_bounds(certificate: Certificate) -> tuple[int | None, ...]:
    """The bounds of a certificate, in the form of a worth."""
    return tuple(
        None if o.bound is None else -o.bound if o.goal.most else o.bound
        for o in certificate.objectives
    )


def proved_values(certificate: Certificate) -> Worth:
    """The values of the first goals, as far as they are proved to be the best."""
    values = stated_values(certificate)
    gaps = [objective.gap for objective in certificate.objectives]
    return values[: next((n for n, gap in enumerate(gaps) if gap != 0), len(gaps))]


def seating_of(made: Plan) -> Seating:
    """Who sits where by a plan, and nothing else that it says of itself."""
    return tuple(
        (
            seat.replica,
            Place(
                seat.slice.gpu_uuid,
                seat.slice.profile,
                seat.slice.placement,
                seat.kept.gpu_instance_id if seat.kept else None,
            ),
        )
        for seat in made.seats
    )


def worth_of_plan(case: Case, made: Plan) -> Worth:
    """Judge a plan by who sits where."""
    return worth(case, seating_of(made))


def worth(case: Case, seating: Seating) -> Worth:
    """Judge who sits where."""
    total = NOTHING._replace(destroyed=destroyed_anyway(case))
    for gpu in usable(case):
        total = total.plus(expense(case, gpu, on(gpu, seating)))
    leavers = movers(case, seating)
    demands = {demand.model: demand for demand in case.demands}
    moved = sum(demands[replica.model].move_cost for replica in leavers)
    counts = Counter(replica.model for replica, _ in seating)
    served = [int(counts[d.model] > 0) if d.target else counts[d.model] for d in case.demands]
    return assemble(case, served, total._replace(moved=moved))


def assemble(case: Case, served: Sequence[int], total: Expense) -> Worth:
    """Put everything in the order of the certificate; ``served`` is by demand."""
    reached = {d.model: count for d, count in zip(case.demands, served, strict=True)}
    parts: list[int] = []
    for goal, model, priority in goals(case):
        if goal is Goal.SERVED:
            parts.append(-sum(reached[d.model] for d in case.demands if d.priority == priority))
        elif goal is Goal.SERVED_OF_MODEL:
            parts.append(-reached[model])
    return (*parts, *(total if case.rules.addable else total[1:]))


def destroyed_anyway(case: Case) -> int:
    """How many slices of ours go with the GPUs that may not be used."""
    open_ = {gpu.uuid for gpu in usable(case)}
    return sum(len(ours(case, gpu)) for gpu in case.observed.gpus if gpu.uuid not in open_)


def expense(case: Case, gpu: Gpu, places: Sequence[Place]) -> Expense:
    """What one usable GPU costs with those slices of ours on it, but for the moves."""
    lying = [(s.profile, s.placement) for s in foreign(case, gpu)]
    lying += [(place.profile, place.placement) for place in places]
    kept = sum(place.gpu_instance_id is not None for place in places)
    cost = price(case, gpu) if lying else 0
    is_on = gpu.mig is not None and gpu.mig.current
    return Expense(
        added=cost if gpu.uuid in case.rules.addable else 0,
        cost=cost,
        moved=0,
        destroyed=len(ours(case, gpu)) - kept,
        switched=int(bool(places) and not is_on),
        ours=int(bool(places)),
        memory=sum(place.placement.size for place in places),
        room=-_room(geometry_of(gpu), tuple(sorted(lying))),
        compute=-sum(profile_of(gpu, place.profile).compute_slices for place in places),
    )


@lru_cache(maxsize=50_000)
def _room(geometry: Geometry, lying: Lying) -> int:
    plain = [profile for profile in geometry.profiles if not profile.attributes]
    return sum(profile.memory_slices * geometry.free(lying, profile) for profile in plain)
