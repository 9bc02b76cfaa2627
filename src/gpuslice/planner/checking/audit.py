"""A certificate recounted from outside: does the plan really have what its proof says of it?

Separate from the rest of the check because it counts where that one forbids, and like it shares no
code with the packing. Values are counted from the lists of the plan and from the observed machine
(`gpuslice.planner.checking.audit_count`). A bound cannot be proved again without a solver, but it
can be refuted: by the plan's own value, or by an outcome anybody can see
(`gpuslice.planner.checking.audit_rival`). `gpuslice.planner.checking.audit_bound` confirms some
bounds on the cost.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpuslice.model.certificate import Certificate, Objective
from gpuslice.model.plan import Plan
from gpuslice.planner.checking.audit_count import count, key_of, unpriced
from gpuslice.planner.checking.audit_rival import rival_violations
from gpuslice.planner.checking.facts import Facts
from gpuslice.planner.checking.outcome import Outcome


def certificate_violations(plan: Plan, outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Recount every objective of a legal plan, and compare.

    Args:
        plan: A plan that breaks no other rule.
        outcome: What it comes to.
        facts: What it was made from.

    Yields:
        One line for everything that is wrong.
    """
    asked = any(demand.replicas for demand in facts.demands)
    if plan.certificate is None or not asked:
        if asked or plan.certificate is not None:
            yield "the plan has a certificate for nothing, or none for something"
        return
    prices = facts.rules.prices
    if plan.certificate.currency != ("" if prices is None else prices.currency):
        yield f"the certificate counts in {plan.certificate.currency!r}, and the prices do not"
    for board in unpriced(facts):
        yield f"{board} may be used, but has no price"
        return
    yield from _value_violations(plan.certificate, outcome, facts)
    for objective in plan.certificate.objectives:
        if not _consistent(objective):
            yield f"the certificate says {_text(objective)}, beyond its bound {objective.bound}"


def _value_violations(certificate: Certificate, outcome: Outcome, facts: Facts) -> Iterator[str]:
    """Compare what is stated with what is counted; with what could be had, where that agrees."""
    counted = dict(count(outcome, facts))
    if [key_of(objective) for objective in certificate.objectives] != list(counted):
        yield "the certificate does not list every goal once, in order"
        return
    wrong = [o for o in certificate.objectives if o.value != counted[key_of(o)]]
    for objective in wrong:
        has = counted[key_of(objective)]
        yield f"the certificate says {_text(objective)}, but the plan has {has}"
    if not wrong:
        yield from rival_violations(certificate, outcome, facts)


def _text(objective: Objective) -> str:
    """Write an objective and its value."""
    return f"{key_of(objective)}: {objective.value}"


def _consistent(objective: Objective) -> bool:
    """Tell whether a value is on the right side of its bound."""
    if objective.bound is None:
        return True
    if objective.goal.most:
        return objective.value <= objective.bound
    return objective.value >= objective.bound
