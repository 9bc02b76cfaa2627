"""Answering a small question by looking at every combination of patterns; no solver.

Separate from the integer program because it needs nothing but Python, and because two methods that
must agree are a test of each other.

Combinations are looked at by the number of slices they hold, most first. Every slice of a pattern
has to be used, so where all wants are of one priority the first number with any feasible
combination is the largest number of replicas that can be served, and only its combinations are
compared. As everything was looked at, the bound of every objective is the value reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, groupby, product
from math import comb, prod

from gpuslice.errors import PlanningError
from gpuslice.model.certificate import Method
from gpuslice.planner.packing.objectives import level_values, objective_values
from gpuslice.planner.packing.patterns import patterns
from gpuslice.planner.packing.question import (
    Answer,
    Choice,
    Cost,
    Kind,
    Pattern,
    Proof,
    Question,
    no_layout,
    too_few_moves,
)
from gpuslice.planner.packing.states import States

_Flow = tuple[tuple[tuple[Kind, int], int], ...]
"""How many slices of a kind serve a want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combination:
    """A pattern for every GPU: for each group, those of its members in order."""

    groups: tuple[tuple[Pattern, ...], ...]

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All patterns."""
        return tuple(pattern for group in self.groups for pattern in group)

    @property
    def moves(self) -> int:
        """How many running replicas leave their slice."""
        return sum(pattern.moves for pattern in self.patterns)

    @property
    def size(self) -> int:
        """How many slices it holds."""
        return sum(len(pattern.slices) for pattern in self.patterns)


class Enumeration:
    """A question with the patterns of each of its groups; owned by the one who answers it."""

    def __init__(self, question: Question, states: States) -> None:
        self._question = question
        self._choices = [patterns(states, question, group.site) for group in question.groups]

    @property
    def work(self) -> int:
        """Estimate of what there is to look at: combinations, each with the ways to use it."""
        sizes = [len(group.members) for group in self._question.groups]
        combinations = prod(
            comb(size + len(choices) - 1, size)
            for size, choices in zip(sizes, self._choices, strict=True)
        )
        rooms = sum(len(g.members) * g.site.geometry.memory_slices for g in self._question.groups)
        ways = prod(min(want.count, rooms) + 1 for want in self._question.wants)
        return combinations * (sum(sizes) + ways)

    def answer(self) -> Answer:
        """Find the optimum by comparing every combination.

        Returns:
            An optimum with its proof; the objectives are those of `gpuslice.planner.packing.pack`.

        Raises:
            PlanningError: The rules cannot be kept with so few moves.
        """
        best: tuple[tuple[int, ...], Choice] | None = None
        limit = self._question.most_moves
        ordered = sorted(self._combinations(limit), key=lambda combination: -combination.size)
        for size, same_size in groupby(ordered, key=lambda combination: combination.size):
            found = self._best(size, same_size)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
            if best is not None and self._settled(best[0]):
                break
        if best is None:
            raise self._refusal()
        choice = best[1]
        bounds = objective_values(self._question, choice)
        proof = Proof(method=Method.ENUMERATION, bounds=bounds)
        return Answer(patterns=choice.patterns, flow=choice.flow, proof=proof)

    def _settled(self, values: tuple[int, ...]) -> bool:
        """Tell whether fewer slices cannot be better: one priority, or everybody served."""
        priorities = {want.priority for want in self._question.wants}
        everybody = level_values(self._question, [want.count for want in self._question.wants])
        return len(priorities) < 2 or values[: len(everybody)] == everybody

    def _refusal(self) -> PlanningError:
        """Say how many moves the rules need, or that they cannot be kept at all."""
        most = self._question.most_moves
        feasible = (each for each in self._combinations(None) if any(self._uses(each)))
        fewest = min((combination.moves for combination in feasible), default=None)
        return no_layout("") if fewest is None or most is None else too_few_moves(fewest, most)

    def _combinations(self, limit: int | None) -> Iterator[_Combination]:
        """Walk every choice of patterns; members of a group are interchangeable.

        Args:
            limit: How many running replicas may leave their slice, or None for any number.
        """
        question = self._question
        choices = (
            combinations_with_replacement(patterns_, len(group.members))
            for group, patterns_ in zip(question.groups, self._choices, strict=True)
        )
        for groups in product(*choices):
            combination = _Combination(groups=groups)
            if combination.size <= question.wanted and (
                limit is None or combination.moves <= limit
            ):
                yield combination

    def _best(
        self, size: int, combinations: Iterable[_Combination]
    ) -> tuple[tuple[int, ...], Choice] | None:
        """Choose the best of several combinations of one size, or None when none is feasible."""
        best: tuple[tuple[int, ...], _Combination, _Flow] | None = None
        ideal = level_values(self._question, self._ideal(size))
        for combination in sorted(combinations, key=self._loss):
            for served, flow in self._uses(combination):
                values = level_values(self._question, served)
                if best is None or values < best[0]:
                    best = (values, combination, flow)
            if best is not None and best[0] == ideal:
                break  # what follows costs more and cannot serve better
        if best is None:
            return None
        choice = Choice(patterns=best[1].groups, flow=best[2])
        return objective_values(self._question, choice), choice

    def _ideal(self, size: int) -> tuple[int, ...]:
        """Serve as many replicas as there are slices, earlier wants first."""
        served: list[int] = []
        for want in self._question.wants:
            served.append(min(want.count, size - sum(served)))
        return tuple(served)

    def _loss(self, combination: _Combination) -> tuple[tuple[int, ...], int]:
        """What combinations that serve equally are compared by, less is better."""
        costs = (Cost(), *(pattern.cost for pattern in combination.patterns))
        positions = sum(
            member
            for group, chosen in zip(self._question.groups, combination.groups, strict=True)
            for member, pattern in zip(group.members, chosen, strict=True)
            if pattern.slices
        )
        return tuple(map(sum, zip(*costs, strict=True))), positions

    def _uses(self, combination: _Combination) -> Iterator[tuple[tuple[int, ...], _Flow]]:
        """Find every number of replicas by want that a combination can serve, with one way each."""
        staying: Counter[int] = Counter()
        supply: Counter[Kind] = Counter()
        for pattern in combination.patterns:
            staying.update({want: count for (want,), count in pattern.staying})
            supply.update(dict(pattern.supply))
        counts = [want.count for want in self._question.wants]
        start = tuple(staying[want] for want in range(len(counts)))
        states: dict[tuple[int, ...], tuple[tuple[Kind, int], ...]] = {start: ()}
        if any(here > most for here, most in zip(start, counts, strict=True)):
            return
        for kind, count in sorted(supply.items()):
            for _ in range(count):
                states = _with_one_more(states, kind, counts)
        for served, uses in states.items():
            yield served, tuple(sorted(Counter(uses).items()))


def _with_one_more(
    states: dict[tuple[int, ...], tuple[tuple[Kind, int], ...]], kind: Kind, counts: list[int]
) -> dict[tuple[int, ...], tuple[tuple[Kind, int], ...]]:
    """Give one more slice of a kind to each want that accepts it and is not served in full."""
    following: dict[tuple[int, ...], tuple[tuple[Kind, int], ...]] = {}
    for before, uses in states.items():
        for want in kind:
            if before[want] < counts[want]:
                served = (*before[:want], before[want] + 1, *before[want + 1 :])
                following.setdefault(served, (*uses, (kind, want)))
    return following
