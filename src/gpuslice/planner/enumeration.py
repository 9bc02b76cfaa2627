"""Answering a small question by looking at every combination of patterns; no solver.

Separate from the integer program because it needs nothing but Python, and because two methods that
must agree are a test of each other.

Combinations are looked at by the number of slices they hold, most first. Every slice of a pattern
has to be used, so the first number with any feasible combination is the largest number of replicas
that can be served, and only its combinations are compared. As everything was looked at, the bound
of every objective is the value reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, groupby, product
from math import comb, prod
from typing import NamedTuple

from gpuslice.model.plan import Method
from gpuslice.planner.objectives import objective_values
from gpuslice.planner.patterns import patterns
from gpuslice.planner.question import Answer, Choice, Pattern, Proof, Question, SliceKind

_Use = tuple[SliceKind, int]
"""One slice of a kind serves one demand."""


class _Assignment(NamedTuple):
    """A way to use every slice of a combination; of equally many slices the greater is better.

    Attributes:
        served: Replicas served, by demand.
        stays: Running replicas that stay where they are.
    """

    served: tuple[int, ...]
    stays: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combination:
    """A pattern for every GPU: for each group, those of its members in order."""

    groups: tuple[tuple[Pattern, ...], ...]

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All patterns."""
        return tuple(pattern for group in self.groups for pattern in group)

    @property
    def size(self) -> int:
        """How many slices it holds."""
        return sum(len(pattern.slices) for pattern in self.patterns)


def work(question: Question) -> int:
    """Estimate how much there is to look at: combinations, each with the ways to use its slices."""
    combinations = prod(
        comb(
            len(group.members) + len(patterns(group.site, question.wanted)) - 1, len(group.members)
        )
        for group in question.groups
    )
    gpus = sum(len(group.members) for group in question.groups)
    room = sum(len(g.members) * g.site.geometry.memory_slices for g in question.groups)
    ways = prod(min(count, room) + 1 for count in question.wanted)
    return combinations * (gpus + ways)


def pack_by_enumeration(question: Question) -> Answer:
    """Find the optimum by comparing every combination.

    Args:
        question: Groups of GPUs and what is wanted.

    Returns:
        An optimum with its proof; the objectives are those of `gpuslice.planner.packing`.
    """
    ordered = sorted(_combinations(question), key=lambda combination: -combination.size)
    for _, same_size in groupby(ordered, key=lambda combination: combination.size):
        best = _best(question, same_size)
        if best is not None:
            return best
    raise AssertionError("the empty combination serves nobody and is always feasible")


def _combinations(question: Question) -> Iterator[_Combination]:
    """Walk every choice of patterns; members of a group are interchangeable."""
    choices = (
        combinations_with_replacement(patterns(group.site, question.wanted), len(group.members))
        for group in question.groups
    )
    combinations = (_Combination(groups=groups) for groups in product(*choices))
    return (each for each in combinations if each.size <= sum(question.wanted))


def _best(question: Question, combinations: Iterable[_Combination]) -> Answer | None:
    """Choose the best of several combinations of one size, or None when none is feasible."""
    best: tuple[_Assignment, _Combination, Counter[_Use]] | None = None
    for combination in sorted(combinations, key=lambda each: _loss(question, each)):
        for assignment, uses in _assignments(combination, question.wanted):
            if best is None or assignment > best[0]:
                best = (assignment, combination, uses)
        if best is not None and best[0] == _ideal(question, combination.size):
            break  # what follows costs more and cannot be better assigned
    if best is None:
        return None
    choice = Choice(patterns=best[1].groups, flow=tuple(sorted(best[2].items())))
    reached = objective_values(question, choice)
    return Answer(
        patterns=choice.patterns,
        flow=choice.flow,
        proof=Proof(method=Method.ENUMERATION, bounds=reached),
    )


def _ideal(question: Question, size: int) -> _Assignment:
    """Bound every assignment of a number of slices: earlier demands served first, all staying."""
    served: list[int] = []
    for count in question.wanted:
        served.append(min(count, size - sum(served)))
    incumbents = Counter(
        own.incumbent for group in question.groups for own in group.site.own for _ in group.members
    )
    stays = sum(min(incumbents[demand], count) for demand, count in enumerate(served))
    return _Assignment(served=tuple(served), stays=stays)


def _loss(question: Question, combination: _Combination) -> tuple[tuple[int, ...], int]:
    """What equally well assigned combinations are compared by, less is better."""
    cost = tuple(map(sum, zip(*(pattern.cost for pattern in combination.patterns), strict=True)))
    positions = sum(
        member
        for group, chosen in zip(question.groups, combination.groups, strict=True)
        for member, pattern in zip(group.members, chosen, strict=True)
        if pattern.slices
    )
    return cost, positions


def _assignments(
    combination: _Combination, wanted: tuple[int, ...]
) -> Iterator[tuple[_Assignment, Counter[_Use]]]:
    """Find, for each number of replicas served by demand, the way with most stays.

    A walk over the slices that remembers one way for each number served so far: exact, as what
    comes later depends on nothing else.
    """
    states: dict[tuple[int, ...], tuple[int, tuple[_Use, ...]]] = {(0,) * len(wanted): (0, ())}
    for pattern in combination.patterns:
        for kind, count in pattern.supply:
            for _ in range(count):
                states = _with_one_more(states, kind, wanted)
    for served, (stays, uses) in states.items():
        yield _Assignment(served=served, stays=stays), Counter(uses)


def _with_one_more(
    states: dict[tuple[int, ...], tuple[int, tuple[_Use, ...]]],
    kind: SliceKind,
    wanted: tuple[int, ...],
) -> dict[tuple[int, ...], tuple[int, tuple[_Use, ...]]]:
    """Give one more slice of a kind to each demand that accepts it and wants more."""
    following: dict[tuple[int, ...], tuple[int, tuple[_Use, ...]]] = {}
    for before, (stays, uses) in states.items():
        for demand in kind.accepts:
            if before[demand] == wanted[demand]:
                continue
            served = (*before[:demand], before[demand] + 1, *before[demand + 1 :])
            staying = stays + (demand == kind.incumbent)
            if served not in following or staying > following[served][0]:
                following[served] = (staying, (*uses, (kind, demand)))
    return following
