"""What there is in the end: who sits where, and what that takes.

Separate because more than one part of the check asks it, and because a plan is not the only thing
that has an outcome: `gpuslice.planner.checking.audit_rival` compares it with that of doing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Plan, PlannedSlice
from gpuslice.planner.checking.facts import Facts

Seats = Mapping[ReplicaId, Slice | PlannedSlice]
"""The slice of every replica that has one; no other slices of ours are there in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A state to reach, as far as demands and objectives see it.

    Attributes:
        seats: Who sits where.
        moved: Every incumbent that does not end on its slice.
        destroyed: How many slices of ours go.
        switched: On how many GPUs MIG mode is switched on.
    """

    seats: Seats
    moved: tuple[ReplicaId, ...]
    destroyed: int
    switched: int


def outcome_of(plan: Plan, facts: Facts) -> Outcome:
    """Work out what a plan comes to whose slices and seats are right."""
    seats = {seat.replica: seat.slice for seat in plan.seats}
    return Outcome(
        seats=seats,
        moved=tuple(r for r, slice_ in facts.incumbents.items() if not same(seats.get(r), slice_)),
        destroyed=sum(len(gpu_plan.destroy) for gpu_plan in plan.gpus),
        switched=sum(gpu_plan.enable_mig for gpu_plan in plan.gpus),
    )


def same(one: Slice | PlannedSlice | None, other: Slice | PlannedSlice) -> bool:
    """Tell whether two slices are equal; quick where they are one object, as they mostly are."""
    return one is other or one == other
