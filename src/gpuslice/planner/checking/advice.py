"""What a plan says of GPUs and slices that are not there: additions, and prices of slices.

Separate because it is advice: nothing is carried out by it, and it can only be checked so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Plan
from gpuslice.planner.checking.audit_bound import could_carry
from gpuslice.planner.checking.facts import Facts


def advice_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that an addition is one and could be enough, and that prices are of slices there are.

    Args:
        plan: The plan.
        facts: What it is checked against.

    Yields:
        One line for everything that is wrong.
    """
    known = [*_addition_violations(plan, facts)]
    yield from known
    if plan.addition and not known:
        added = {addition.board: addition.count for addition in plan.addition}
        if not could_carry(facts, added):
            text = ", ".join(f"{count} {board}" for board, count in added.items())
            yield f"adding {text} would not make room for everything"
    yield from _price_violations(plan, facts)


def _addition_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that GPUs are added only where they are missed, of products that are known."""
    if plan.addition and not plan.unplaced:
        yield "GPUs are to be added, though everything has its slice"
    products = {gpu.name for gpu in _samples(facts)}
    for board, times in Counter(addition.board for addition in plan.addition).items():
        if board not in products:
            yield f"{board} is to be added, which is no product of this machine"
        if times > 1:
            yield f"{board} is to be added {times} times"
    for addition in plan.addition:
        if addition.count < 1:
            yield f"{addition.count} of {addition.board} are to be added"


def _price_violations(plan: Plan, facts: Facts) -> Iterator[str]:
    """Check that every slice price is of a plain profile of a GPU of the machine, once."""
    offered = {
        (gpu.name, profile.name)
        for gpu in _samples(facts)
        for profile in _offers(gpu)
        if not profile.attributes
    }
    for (board, profile), times in Counter((p.board, p.profile) for p in plan.slice_prices).items():
        if (board, profile) not in offered:
            yield f"{profile} of {board} has a price, but is not offered"
        if times > 1:
            yield f"{profile} of {board} has {times} prices"
    for price in plan.slice_prices:
        if not price.gpus >= 0:
            yield f"{price.profile} of {price.board} has the price {price.gpus}"


def _samples(facts: Facts) -> list[Gpu]:
    """List one GPU of every product that can be sliced."""
    samples = {(gpu.name, id(gpu.geometry)): gpu for gpu in facts.observed.gpus}
    return [gpu for gpu in samples.values() if _offers(gpu)]


def _offers(gpu: Gpu) -> tuple[Profile, ...]:
    """List what a GPU can be cut into."""
    profiles = () if gpu.geometry is None else gpu.geometry.profiles
    return tuple(profile for profile in profiles if profile.placements)
