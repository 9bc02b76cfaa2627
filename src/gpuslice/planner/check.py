"""An independent check of a plan, before anything is shown or changed.

Separate on purpose: it shares no code with the packing, only the model. It is made of parts, each
of which takes one thing the plan says and holds it against what is given (`planner.checking`):

- `gpus`: slices of ours are kept or destroyed, foreign ones untouched, new ones legal;
- `seats`, `constraints`: every demand is answered, and its conditions hold;
- `order`: the steps, as `gpuslice.planner.ordering.steps` orders them, are legal one by one;
- `servers`: what is said of each server follows from all that;
- `audit`: the certificate is recounted, and its bounds are held against what is easily had;
- `advice`: the GPUs that are said to help could help.

Everything is looked up by GPU, slice or replica in tables made once (`facts`), and questions
of geometry are asked once (`catalogue`), so the work grows with the number of slices and no
faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpuslice.errors import BadPlanError
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.checking.advice import advice_violations
from gpuslice.planner.checking.audit import certificate_violations
from gpuslice.planner.checking.constraints import constraint_violations
from gpuslice.planner.checking.facts import Facts, gather
from gpuslice.planner.checking.gpus import gpu_violations
from gpuslice.planner.checking.order import step_violations
from gpuslice.planner.checking.outcome import Outcome, outcome_of
from gpuslice.planner.checking.seats import (
    answer_violations,
    listing_violations,
    seat_violations,
    supply_violations,
)
from gpuslice.planner.checking.servers import server_violations
from gpuslice.planner.ordering.steps import steps

_NO_RULES = Rules()


def check_plan(
    plan: Plan,
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    rules: Rules = _NO_RULES,
) -> None:
    """Verify that a plan is legal, complete, can be carried out and says the truth about itself.

    Args:
        plan: The plan.
        observed: The machine it was made from.
        demands: What was asked for.
        owned: Which slices are ours.
        rules: What it had to keep to.

    Raises:
        BadPlanError: Every violation, one line each.
    """
    facts = gather(observed, demands, owned, rules)
    # Each part relies on what the parts before it found to be right.
    violations = [*_state_violations(plan, facts)]
    if not violations:
        outcome = outcome_of(plan, facts)
        violations = [*_demand_violations(outcome, facts)]
        violations = violations or [*_claim_violations(plan, outcome, facts)]
    if violations:
        raise BadPlanError(
            f"the plan breaks {len(violations)} rule(s): {violations[0]}",
            hint="Nothing was changed. Please report this, with the stack file.",
            details=tuple(violations),
        )


def _state_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check the slices, and who sits on them."""
    yield from gpu_violations(plan, facts)
    yield from seat_violations(plan, facts)
    yield from answer_violations(plan, facts)
    yield from listing_violations(plan)


def _demand_violations(outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Check what the demands and the rules ask of the final state as a whole."""
    yield from supply_violations(outcome.seats, facts)
    yield from constraint_violations(outcome, facts)


def _claim_violations(plan: Plan, outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Check what the plan says of how it is reached, of how good it is, and of what would help."""
    order = steps(plan)
    yield from step_violations(plan, order, facts)
    yield from server_violations(plan, order, outcome, facts)
    yield from certificate_violations(plan, outcome, facts)
    yield from advice_violations(plan, facts)
