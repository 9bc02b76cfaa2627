"""The smallest set of things that cannot all hold, among all such sets.

Separate from what the things are (`gpuslice.planner.consistency.contradiction`): here it is only
asked whether some of them are possible together, where fewer never make it harder.

*Method.* The deletion filter (Chinneck and Dravnieks 1991) leaves out whatever is not needed: large
parts first, then one by one. What is left is irreducible, but another set may have fewer. So the
smallest set is approached from below (Ignatiev, Previti, Liffiton and Marques-Silva 2015): whatever
contradicts itself has something in common with every set whose *absence* makes all the rest
possible. Of a few of those *corrections* the smallest set that meets all is looked for. If it
contradicts itself it is the smallest of all; if not, it is filled up to a largest possible set, and
what had to stay outside is one more correction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Possible = Callable[[Collection[T]], bool]
"""Tells whether things are possible together; what is possible stays so when some are left out."""

_MOST_ASKED, _MOST_TRIED = 3_000, 100_000
"""How often it is asked what is possible, and how many sets are looked at, before a set that is
irreducible is told as it is."""


def smallest_conflict(things: Sequence[T], possible: Possible[T]) -> tuple[T, ...]:
    """Find the smallest set that is not possible together.

    Args:
        things: All of them, which together are not possible; equal input gives an equal answer.
        possible: Tells whether some of them are.

    Returns:
        A smallest set, in the order of ``things``. Where that is too much work, one of which
        nothing can be left out.
    """
    search = _Search(things, possible)
    found = search.smallest_below(search.irreducible())
    return tuple(thing for thing in things if thing in found)


class _Search(Generic[T]):
    """One search; owned by `smallest_conflict`."""

    def __init__(self, things: Sequence[T], possible: Possible[T]) -> None:
        self._things = list(things)
        self._asks = possible
        self._asked = 0
        self._tried = 0

    def irreducible(self) -> list[T]:
        """Leave out everything without which the rest stays impossible."""
        held = list(self._things)
        size = len(held)
        while size:
            start = 0
            while start < len(held):
                rest = held[:start] + held[start + size :]
                if self._asks(rest):
                    start += size
                else:
                    held = rest
            size = 0 if size == 1 else (size + 1) // 2
        return held

    def smallest_below(self, known: list[T]) -> Collection[T]:
        """Look for a set with fewer members than a known one."""
        corrections: list[list[T]] = []
        while True:
            candidate = self._meet_all(corrections, len(known) - 1)
            if candidate is None or self._asked > _MOST_ASKED:
                return known
            if not self._possible(candidate):
                return candidate
            corrections.append(self._correction(candidate))

    def _possible(self, held: Collection[T]) -> bool:
        self._asked += 1
        return self._asks(held)

    def _correction(self, candidate: frozenset[T]) -> list[T]:
        """Fill a possible set up, and return what has to stay outside."""
        held, outside = list(candidate), []
        for thing in self._things:
            if thing in candidate:
                continue
            if self._possible([*held, thing]):
                held.append(thing)
            else:
                outside.append(thing)
        return outside

    def _meet_all(self, corrections: Sequence[Sequence[T]], most: int) -> frozenset[T] | None:
        """Find the smallest set that has a member of every correction, or None."""
        for size in range(most + 1):
            found = self._meet(frozenset(), corrections, size)
            if found is not None:
                return found
        return None

    def _meet(
        self, chosen: frozenset[T], corrections: Sequence[Sequence[T]], left: int
    ) -> frozenset[T] | None:
        missed = [each for each in corrections if chosen.isdisjoint(each)]
        if not missed:
            return chosen
        self._tried += 1
        if not left or self._tried > _MOST_TRIED:
            return None
        for thing in min(missed, key=len):
            found = self._meet(chosen | {thing}, missed, left - 1)
            if found is not None:
                return found
        return None
