"""Demands for a machine: how much, how important, by which slices, and tied to whom.

Separate from the machines they are for (`property.strategies_planner`).
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from gpuslice.model.demand import Demand, NamedProfile, Rate, Target
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu

OFTEN = st.sampled_from((True, True, True, False))
SELDOM = st.sampled_from((False, False, False, True))
PRIORITIES = st.sampled_from((0, 0, 0, 1, 7))
MOVE_COSTS = st.sampled_from((1, 1, 1, 0, 3))


@st.composite
def demands_for(
    draw: st.DrawFn, machine: list[Gpu], budget: int, most_demands: int, aiming: bool
) -> tuple[Demand, ...]:
    """Demands of one replica or more each, mostly for what lies there."""
    choices = profiles_of(machine)
    lying = {s.profile for gpu in machine for s in gpu.slices}
    there = [(p, name) for p, name in choices if p.name in lying]
    demands: list[Demand] = []
    for number in range(draw(st.integers(1, min(most_demands, budget)))):
        replicas = draw(st.integers(1, budget - (len(demands) == 0 and budget > 1)))
        budget -= replicas
        demand = Demand(
            model=f"model-{number}",
            replicas=replicas,
            priority=draw(PRIORITIES),
            move_cost=draw(MOVE_COSTS),
        )
        fits_there, aims = draw(OFTEN), draw(OFTEN) and aiming
        likely = there if there and fits_there else choices
        demands.append(
            replace(demand, target=draw(_targets(likely))) if aims else draw(_sized(demand, likely))
        )
        if not budget:
            break
    return tuple(demands)


@st.composite
def _sized(draw: st.DrawFn, demand: Demand, choices: list[tuple[Profile, str]]) -> Demand:
    """A demand that says which slices will do: by name, by name on a board, or by size."""
    profile, board = draw(st.sampled_from(choices))
    match draw(st.sampled_from(("named", "named here", "two", "memory", "both"))):
        case "named":
            return replace(demand, profiles=(NamedProfile(profile=profile.name),))
        case "named here":
            return replace(demand, profiles=(NamedProfile(profile=profile.name, board=board),))
        case "two":
            other, there = draw(st.sampled_from(choices))
            either = (
                NamedProfile(profile=profile.name),
                NamedProfile(profile=other.name, board=there),
            )
            return replace(demand, profiles=either)
        case "memory":
            return replace(demand, memory_mib=profile.memory_mib)
        case _:
            compute = draw(st.integers(0, profile.compute_slices))
            return replace(demand, memory_mib=profile.memory_mib, compute_slices=compute)


@st.composite
def _targets(draw: st.DrawFn, choices: list[tuple[Profile, str]]) -> Target:
    """A target that one to about four slices of one to three profiles reach."""
    some = draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique_by=id))
    rates = [
        Rate(
            named=NamedProfile(profile=profile.name, board=draw(st.sampled_from((board, "")))),
            milli_per_s=draw(st.integers(1, 5)) * 700,
        )
        for profile, board in some
    ]
    return Target(milli_per_s=draw(st.integers(1, 7)) * 700, rates=tuple(rates))


@st.composite
def tied_demands(draw: st.DrawFn, demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """Pin, spread, join and part the demands, such that each could still be served somewhere."""
    models = [demand.model for demand in demands if demand.target is None]
    pairs = [(a, b) for a in models for b in models if a != b]
    near = {pair for pair in pairs if draw(st.integers(0, 4)) == 4}
    together = [_companions(model, near) for model in models]
    away = {
        (a, b)
        for a, b in pairs
        if draw(st.booleans()) and not any({a, b} <= company for company in together)
    }
    return tuple(
        replace(
            demand,
            pinned=draw(SELDOM),
            most_per_gpu=draw(st.sampled_from((None, None, 1, 2))),
            near=tuple(b for a, b in sorted(near) if a == demand.model),
            away=tuple(b for a, b in sorted(away) if a == demand.model),
        )
        if demand.target is None
        else demand
        for demand in demands
    )


def _companions(model: str, near: set[tuple[str, str]]) -> set[str]:
    """Every model that has to lie where one lies, itself included."""
    found = {model}
    while more := {b for a, b in near if a in found} - found:
        found |= more
    return found


def profiles_of(machine: list[Gpu] | tuple[Gpu, ...]) -> list[tuple[Profile, str]]:
    """Every profile in the machine, with the product that offers it."""
    return [(p, gpu.name) for gpu in machine if gpu.geometry for p in gpu.geometry.profiles]
