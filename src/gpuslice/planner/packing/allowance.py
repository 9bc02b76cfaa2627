"""How long the solver may still take.

Separate from the solver's module, so that a plan which needs no solver does not load it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Allowance:
    """Time that several solves share; owned by the one plan they belong to.

    The clock is the solver's own: the planner reads none.

    Attributes:
        limit_s: What there was in the beginning, seconds.
        spent_s: What the solver has taken of it, seconds.
        whole_s: What it is a part of, seconds; None where it is the whole.
    """

    limit_s: float
    spent_s: float = 0.0
    whole_s: float | None = None

    @property
    def left_s(self) -> float:
        """What is left, seconds, never negative."""
        return max(0.0, self.limit_s - self.spent_s)

    @property
    def stated_s(self) -> float:
        """The limit that somebody stated, seconds, whatever part of it this is."""
        return self.limit_s if self.whole_s is None else self.whole_s

    def part(self, share: float, least_s: float) -> Allowance:
        """Set a part of what is left aside; whoever gets it reports what it spent.

        Args:
            share: Which share of what is left, 0 to 1.
            least_s: At least so much, seconds, where so much is left.
        """
        limit_s = min(self.left_s, max(least_s, share * self.left_s))
        return Allowance(limit_s=limit_s, whole_s=self.stated_s)
