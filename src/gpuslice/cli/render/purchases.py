"""What the GPUs in use cost, which are to be added, and what would make everything fit.

Separate from `cost`, which shares the money out among models: this is what the planner counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from gpuslice.agent.proposal import Proposal
from gpuslice.model.certificate import Goal
from gpuslice.model.plan import GpuPlan


def hourly(milli: int, currency: str) -> str:
    """Write thousandths of a currency per hour: ``1.89 EUR an hour``, ``0.005 EUR an hour``."""
    digits = 3 if milli % 10 else 2
    return f"{milli / 1000:,.{digits}f} {currency} an hour"


def purchase_lines(proposal: Proposal) -> Iterator[str]:
    """Say what is in use afterwards, what is to be added, and what would have to be."""
    yield from _in_use(proposal)
    if proposal.rules.addable:
        yield _added(proposal)
    if proposal.plan.addition:
        lacking = {each.board: each.count for each in proposal.plan.addition}
        yield f"Everything would fit with {_counted(proposal, lacking)} more."


def is_added(proposal: Proposal, plan: GpuPlan) -> bool:
    """Tell whether a GPU is not there and has to be added for this plan."""
    return plan.gpu_uuid in proposal.rules.addable and bool(plan.create or plan.keep)


def is_spared(proposal: Proposal, plan: GpuPlan) -> bool:
    """Tell whether a GPU might have been added and need not be."""
    return plan.gpu_uuid in proposal.rules.addable and not is_added(proposal, plan)


def _in_use(proposal: Proposal) -> Iterator[str]:
    """Count the GPUs that hold any slice afterwards, with what they cost where that is known."""
    certificate = proposal.plan.certificate
    if certificate is None:
        return
    used = sum(bool(p.keep or p.create or p.foreign) for p in proposal.plan.gpus if not p.barred)
    costs = [each.value for each in certificate.objectives if each.goal is Goal.COST]
    price = f" ({hourly(costs[0], certificate.currency)})" if costs and certificate.currency else ""
    yield f"GPUs in use afterwards: {used:,}{price}."


def _added(proposal: Proposal) -> str:
    names = {gpu.uuid: gpu.name for gpu in proposal.observed.gpus}
    added = Counter(names[p.gpu_uuid] for p in proposal.plan.gpus if is_added(proposal, p))
    if not added:
        return "No GPU has to be added."
    return f"To be added: {_counted(proposal, added)}."


def _counted(proposal: Proposal, boards: Mapping[str, int]) -> str:
    """Write numbers of products, with their price where there are prices."""
    told = " and ".join(f"{count:,} × {name}" for name, count in boards.items())
    prices = proposal.rules.prices
    if prices is None:
        return told
    milli = dict(prices.milli_per_hour)
    cost = sum(milli[name] * count for name, count in boards.items())
    return f"{told} ({hourly(cost, prices.currency)})"
