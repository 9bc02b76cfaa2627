"""Every way to lay out one GPU that could be part of an optimum, as whole patterns.

Separate from the states (`gpuslice.planner.packing.states`), whose stays and arrivals a fleet's
program takes apart: looking at every combination of a few GPUs wants whole layouts.
"""

from __future__ import annotations

from collections import Counter

from gpuslice.planner.packing.question import Cost, Pattern, Question, Site
from gpuslice.planner.packing.states import Arrival, States, Stay


def patterns(states: States, question: Question, site: Site) -> tuple[Pattern, ...]:
    """Derive the patterns of one site.

    Args:
        states: What may stay and come.
        question: The question they belong to.
        site: The GPU.

    Returns:
        The cheapest pattern for every supply, in a stable order: more slices first, then cheaper,
        then by placement. Where moves are limited, fewer moves count as another supply.
    """
    best: dict[tuple[object, ...], Pattern] = {}
    for stay, room in states.stays(site):
        for arrival in states.arrivals(room):
            pattern = join(stay, arrival)
            moves = pattern.moves if question.most_moves is not None else 0
            key = (_whole_supply(pattern), moves)
            rival = best.get(key)
            if rival is None or _rank(pattern) < _rank(rival):
                best[key] = pattern
    return tuple(sorted(best.values(), key=lambda p: (-len(p.slices), *_rank(p))))


def join(stay: Stay, arrival: Arrival) -> Pattern:
    """Put what stays and what comes together."""
    supply = Counter(dict(stay.supply))
    supply.update(dict(arrival.supply))
    both = (*stay.slices, *arrival.slices)
    return Pattern(
        slices=tuple(sorted(both, key=lambda part: (part.placement, part.profile))),
        supply=tuple(sorted(supply.items())),
        staying=stay.staying,
        moves=stay.moves,
        cost=Cost(*map(sum, zip(stay.cost, arrival.cost, strict=True))),
    )


def _whole_supply(pattern: Pattern) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Count slices by whom they serve, whether a replica stays on them or not."""
    whole = Counter(dict(pattern.supply))
    whole.update(dict(pattern.staying))
    return tuple(sorted(whole.items()))


def _rank(pattern: Pattern) -> tuple[Cost, tuple[tuple[object, ...], ...]]:
    """Order patterns of one supply: cheaper first, then smaller placements."""
    places = tuple((part.placement, part.profile, not part.kept) for part in pattern.slices)
    return pattern.cost, places
