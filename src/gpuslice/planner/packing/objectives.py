"""What every objective of the packing comes to for one choice of patterns.

Separate because both ways of answering, the choice between two answers and the certificate read
the same list. Everything is counted so that less is better; the order is that of
`gpuslice.planner.packing.pack`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gpuslice.planner.packing.question import Choice, Cost, Pattern, Question


def serve_levels(question: Question) -> tuple[tuple[int, ...], ...]:
    """List the wants whose served replicas are counted together, most important first.

    First all wants of each priority, then each want alone.
    """
    priorities = sorted({want.priority for want in question.wants}, reverse=True)
    numbers = range(len(question.wants))
    return (
        *(tuple(n for n in numbers if question.wants[n].priority == p) for p in priorities),
        *((number,) for number in numbers),
    )


def served_by_want(question: Question, choice: Choice) -> tuple[int, ...]:
    """Count the replicas of each want that get a slice."""
    served = [0] * len(question.wants)
    for (_, want), count in choice.flow:
        served[want] += count
    for pattern, count in chosen(choice):
        for (want,), staying in pattern.staying:
            served[want] += staying * count
    return tuple(served)


def level_values(question: Question, served: Sequence[int]) -> tuple[int, ...]:
    """Turn replicas served by want into the values of the serve levels, less is better."""
    return tuple(-sum(served[want] for want in level) for level in serve_levels(question))


def objective_values(question: Question, choice: Choice) -> tuple[int, ...]:
    """Count every objective.

    Args:
        question: What was asked.
        choice: Patterns and flow.

    Returns:
        The serve levels (negated), then the entries of `Cost`. Of two choices the
        lexicographically smaller one is better.
    """
    totals = [0] * len(Cost._fields)
    for pattern, count in chosen(choice):
        for level, value in enumerate(pattern.cost):
            totals[level] += value * count
    return (*level_values(question, served_by_want(question, choice)), *totals)


def moves(choice: Choice) -> int:
    """Count the running replicas that leave their slice."""
    return sum(pattern.moves * count for pattern, count in chosen(choice))


def chosen(choice: Choice) -> list[tuple[Pattern, int]]:
    """Count how often each pattern is chosen; one and the same object is counted once."""
    counts = Counter(id(pattern) for group in choice.patterns for pattern in group)
    patterns = {id(pattern): pattern for group in choice.patterns for pattern in group}
    return [(patterns[key], count) for key, count in counts.items()]
