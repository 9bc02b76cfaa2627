"""How good a plan is, goal by goal, and how that is known.

Values only, and separate from the plan because they say something about it that can be counted
again from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Goal(StrEnum):
    """What a plan is judged by, most important first; each is settled before the next is looked at.

    The order is that of `gpuslice.planner.packing.pack`. Goals count the GPUs the stack may use.
    """

    SERVED = "replicas served"
    SERVED_OF_MODEL = "replicas of a model served"
    ADDED = "price of the GPUs that have to be added"
    COST = "price of the GPUs that are not whole afterwards"
    MOVED = "cost of the moves of running replicas"
    DESTROYED = "slices of ours destroyed"
    SWITCHED = "GPUs on which MIG mode is switched on"
    OURS = "GPUs that hold slices of ours"
    MEMORY = "memory slices given"
    ROOM = "room left: memory slices times how many still fit, over all plain profiles"
    COMPUTE = "compute slices given"

    @property
    def most(self) -> bool:
        """True where more is better."""
        return self in (Goal.SERVED, Goal.SERVED_OF_MODEL, Goal.ROOM, Goal.COMPUTE)


class Method(StrEnum):
    """How the layout was found."""

    ENUMERATION = "enumeration"
    HIGHS = "HiGHS"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One goal: what the plan reaches, and what no plan could exceed.

    Attributes:
        goal: Which goal.
        model: The model it speaks of, where it is about one.
        priority: The priority it speaks of, where it is about the demands of one priority.
        value: What the plan reaches. Prices are in thousandths of the currency per hour, or where
            there are none, each GPU counts as one.
        bound: No plan that equals this one in every goal before it is better than that; None where
            nothing was proved.
    """

    goal: Goal
    model: str = ""
    priority: int | None = None
    value: int
    bound: int | None

    @property
    def gap(self) -> int | None:
        """Distance between value and bound, 0 when proved optimal, None when unknown."""
        return None if self.bound is None else abs(self.value - self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The proof that comes with a plan, goal by goal.

    Attributes:
        method: How the layout was found.
        objectives: By importance: served by priority (highest first), served of each model in the
            same order, then every other goal; `Goal.ADDED` only where GPUs may be added.
        currency: Of the prices, or "" where each GPU counts as one.
        note: Why the proof is not complete, in words; "" where it is.
    """

    method: Method
    objectives: tuple[Objective, ...]
    currency: str = ""
    note: str = ""

    @property
    def optimal(self) -> bool:
        """True when every goal reaches its bound."""
        return all(objective.gap == 0 for objective in self.objectives)

    @property
    def open(self) -> Objective | None:
        """The most important goal that is not proved optimal, or None."""
        return next((objective for objective in self.objectives if objective.gap != 0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePrice:
    """What one more slice would cost at the margin, in GPUs.

    Attributes:
        board: Product name of the GPU, such as ``NVIDIA A100-SXM4-80GB``.
        profile: Profile name on that board.
        gpus: Share of a GPU, 0 or more.
    """

    board: str
    profile: str
    gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """One corner of the trade of GPUs against moves.

    Attributes:
        cost: Least price of the GPUs in use that so many moves can reach, as in `Goal.COST`.
        gpus: How many GPUs that is.
        moves: Fewest running replicas that have to move for it.
        proved: True when both are proved: no plan with as many moves is cheaper, and none that is
            as cheap moves fewer.
    """

    cost: int
    gpus: int
    moves: int
    proved: bool
