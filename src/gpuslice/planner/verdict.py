"""What a plan says to a person who asked for more than fits.

Separate from the plan itself, for which a replica without a slice is part of the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gpuslice.errors import NoRoomError
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.plan import plan

_NAMED = 8
"""How many replicas an error names before it only counts them."""

_NO_RULES = Rules()


def what_would_fit(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules = _NO_RULES,
) -> str:
    """Say how many replicas of each model fit together at most, and which do not and why.

    Takes the arguments of `gpuslice.planner.plan.plan`, and raises what it raises.

    Returns:
        One line: ``chat x2 and coder x1 fit; coder x1 does not: …``.
    """
    return summarise_fit(demands, plan(observed, demands, owned, rules))


def summarise_fit(demands: Sequence[Demand], made: Plan) -> str:
    """Say the same of a plan that is already made."""
    fitting = _fitting(demands, made)
    many = len(made.seats) > 1
    parts = [f"{fitting} {'fit' if many else 'fits'}" if fitting else "nothing fits"]
    reasons = _reasons(made)
    left = Counter(unplaced.replica.model for unplaced in made.unplaced)
    parts += [
        f"{model} x{count} {'do' if count > 1 else 'does'} not: {reasons[model]}"
        for model, count in left.items()
    ]
    if made.addition:
        parts.append(f"with {_addition(made)} more all of it fits")
    return "; ".join(parts)


def check_all_placed(demands: Sequence[Demand], made: Plan) -> None:
    """Refuse a plan that leaves a replica without a slice.

    Raises:
        NoRoomError: Names the replicas, with the reason for each model, and what would fit: of what
            was asked for on these GPUs, and all of it on which more.
    """
    if not made.unplaced:
        return
    names = ", ".join(str(unplaced.replica) for unplaced in made.unplaced[:_NAMED])
    more = len(made.unplaced) - _NAMED
    fitting = _fitting(demands, made)
    hint = f"This would fit: {fitting}." if fitting else "None of it fits."
    if made.addition:
        hint += f" Or add {_addition(made)} and all of it fits."
    raise NoRoomError(
        f"no slice for {names}" + (f" and {more} more" if more > 0 else ""),
        hint=hint,
        details=tuple(f"{model}: {reason}" for model, reason in _reasons(made).items()),
    )


def _fitting(demands: Sequence[Demand], made: Plan) -> str:
    """List what is served: ``chat x2, coder x1 and drafts x1``."""
    served = Counter(seat.replica.model for seat in made.seats)
    return _join([f"{d.model} x{served[d.model]}" for d in demands if served[d.model]])


def _addition(made: Plan) -> str:
    """List the GPUs with which everything would fit: ``1 NVIDIA A30 and 2 NVIDIA H200``."""
    return _join([f"{more.count} {more.board}" for more in made.addition])


def _join(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _reasons(made: Plan) -> dict[str, str]:
    """Give the reason for each model that is not served in full."""
    return {unplaced.replica.model: unplaced.reason for unplaced in made.unplaced}
