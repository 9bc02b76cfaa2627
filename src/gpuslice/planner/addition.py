"""Which GPUs would have to be added for everything to fit, and which of them come cheapest.

Separate from the plan, for which a replica without a slice is part of the answer. The same question
is asked again with as many GPUs of each product of the machine as could be of use, all of them
addable; what the packing adds is the answer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from gpuslice.errors import PlanningError
from gpuslice.model.plan import Addition
from gpuslice.planner.asking import Asked, ask
from gpuslice.planner.certificate import Attempt
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.packing.question import Question, Site, SiteGroup
from gpuslice.planner.portions import Portions
from gpuslice.planner.situation import Situation


def cheapest_addition(
    situation: Situation, portions: Portions, allowance: Allowance
) -> tuple[Addition, ...]:
    """Find the cheapest GPUs, of the products that are there, with which everything fits.

    GPUs that the rules allow to be added count as there: the plan could use them already.

    Args:
        situation: The situation.
        portions: What is wanted.
        allowance: How long the solver may take.

    Returns:
        How many of each product, by product; nothing where no number of them would do, where a
        target is not met (which slices it would get is then not known), or where that was not
        found within the time.
    """
    if portions.unmet or portions.hopeless or allowance.left_s <= 0:
        return ()
    asked = ask(situation, portions.all, lenient=True)
    boards = _boards(asked)
    if not boards:
        return ()
    question = _with_fresh(asked.question, tuple(boards.values()), len(situation.grounds))
    try:
        answer = pack(question, allowance)
    except PlanningError:  # the rules need more moves than are allowed, whatever is added
        return ()
    if not Attempt(asked=replace(asked, question=question), answer=answer).serves_all:
        return ()
    added: Counter[str] = Counter()
    for name, patterns in zip(boards, answer.patterns[-len(boards) :], strict=True):
        added[name] = sum(bool(pattern.slices) for pattern in patterns)
    return tuple(
        Addition(board=name, count=count) for name, count in sorted(added.items()) if count
    )


def _boards(asked: Asked) -> dict[str, Site]:
    """Name each product that the stack may use, with a site of it."""
    boards: dict[str, Site] = {}
    for group in asked.question.groups:
        boards.setdefault(asked.situation.grounds[group.members[0]].gpu.name, group.site)
    return boards


def _with_fresh(question: Question, sites: tuple[Site, ...], first: int) -> Question:
    """Add a fresh GPU of each product for every replica; none needs more than that."""
    there = (replace(group, site=replace(group.site, addable=False)) for group in question.groups)
    fresh = []
    for number, site in enumerate(sites):
        start = first + number * question.wanted
        blank = replace(
            site, addable=True, fixed=(), holds_ours=False, tenants=(), own=(), crowds=()
        )
        members = tuple(range(start, start + question.wanted))
        fresh.append(SiteGroup(site=blank, members=members))
    return replace(question, groups=(*there, *fresh))
