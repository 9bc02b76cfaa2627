"""What every objective of the packing comes to for one choice of patterns.

Separate because both ways of answering, the choice between two answers and the certificate read
the same list. Everything is counted so that less is better; the order is that of
`gpuslice.planner.packing`.
"""

from __future__ import annotations

from gpuslice.planner.question import Choice, Cost, Question


def objective_values(question: Question, choice: Choice) -> tuple[int, ...]:
    """Count every objective.

    Args:
        question: What was asked.
        choice: Patterns and flow.

    Returns:
        Replicas served (negated), those of each demand (negated), replicas that stay (negated), the
        entries of `Cost`, and the positions of the GPUs that get a pattern with slices. Of two
        choices the lexicographically smaller one is better.
    """
    served = [0] * len(question.wanted)
    stays = 0
    for (kind, demand), count in choice.flow:
        served[demand] -= count
        stays -= count if kind.incumbent == demand else 0
    costs = [pattern.cost for group in choice.patterns for pattern in group]
    totals = tuple(map(sum, zip(*costs, strict=True))) if costs else (0,) * len(Cost._fields)
    return (sum(served), *served, stays, *totals, _positions(question, choice))


def _positions(question: Question, choice: Choice) -> int:
    """Add up the positions of the GPUs that get slices."""
    return sum(
        member
        for group, chosen in zip(question.groups, choice.patterns, strict=True)
        for member, pattern in zip(group.members, chosen, strict=True)
        if pattern.slices
    )
