"""From the bounds of a packing to a certificate of the whole plan.

Separate because the packing speaks of one question, in numbers of which less is better, and may
have been asked with the running replicas frozen; a certificate speaks of the plan, in words that
can be counted from outside (`gpuslice.planner.audit` does).

**Why a frozen question proves something of the whole plan.** When every running replica stays and
all the others are served, nothing serves more and nothing moves less. Every plan that is as good in
these goals leaves the running replicas where they are, and so is an answer to the frozen question:
its bounds hold for the goals that follow. When not all are served, a frozen answer proves nothing
but that nobody moved; it is only ever taken over an answer that is worse, which a limit can leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gpuslice.model.plan import Certificate, Goal, Objective
from gpuslice.planner.objectives import objective_values
from gpuslice.planner.question import Answer, Question
from gpuslice.planner.situation import Ground, OwnSlice, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One question about a situation, and its answer.

    Attributes:
        settled: True when every running replica was frozen in its place.
        question: The question.
        answer: The answer.
    """

    settled: bool
    question: Question
    answer: Answer

    @property
    def serves_all(self) -> bool:
        """True when nobody is left without a slice."""
        return self.answer.served == sum(self.question.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """How a goal of the plan follows from an objective of the packing.

    Attributes:
        goal: The goal.
        base: What the plan has beyond the question.
        model: The model, where the goal is about one.
    """

    goal: Goal
    base: int
    model: str = ""

    def value(self, number: int) -> int:
        """Turn a number of the packing, of which less is better, into one of the plan."""
        return self.base - number if self.goal.most else self.base + number


def certify(situation: Situation, attempt: Attempt, rival: Attempt | None) -> Certificate | None:
    """Write the certificate of a plan.

    Args:
        situation: What the plan was made from.
        attempt: The question whose answer became the plan.
        rival: The question with moves allowed, where its answer was not taken although the frozen
            one does not serve all; its bound on replicas served is then the one that holds.

    Returns:
        The certificate, or None when nothing was asked for.
    """
    if not any(demand.replicas for demand in situation.demands):
        return None
    numbers = objective_values(attempt.question, attempt.answer)
    accounts = tuple(_accounts(situation, attempt))
    bounds = _bounds(situation, attempt, rival)
    proof = attempt.answer.proof
    return Certificate(
        method=proof.method,
        objectives=tuple(
            Objective(goal=a.goal, model=a.model, value=a.value(number), bound=bound)
            for a, number, bound in zip(accounts, numbers, bounds, strict=True)
        ),
        note=proof.note or (rival.answer.proof.note if rival is not None else ""),
    )


def plan_values(situation: Situation, attempt: Attempt) -> tuple[int, ...]:
    """Count every objective of a whole plan, so that answers to unlike questions can be compared.

    Returns:
        Numbers in the order of `gpuslice.planner.objectives`, less is better; without the positions
        of the GPUs, which mean something only among answers to one question.
    """
    numbers = objective_values(attempt.question, attempt.answer)
    return tuple(
        -a.value(number) if a.goal.most else a.value(number)
        for a, number in zip(_accounts(situation, attempt), numbers, strict=True)
        if a.goal is not Goal.POSITIONS
    )


def _bounds(situation: Situation, attempt: Attempt, rival: Attempt | None) -> Iterator[int | None]:
    """Yield the bound of each goal of the plan, as far as one is proved."""
    if rival is None:
        return _in_plan(situation, attempt)
    return _of_rival(situation, attempt, rival)


def _in_plan(situation: Situation, attempt: Attempt) -> Iterator[int | None]:
    """Yield the bounds of the packing, as bounds of the plan."""
    bounds = attempt.answer.proof.bounds
    for account, bound in zip(_accounts(situation, attempt), bounds, strict=True):
        yield None if bound is None else account.value(bound)


def _of_rival(situation: Situation, attempt: Attempt, rival: Attempt) -> Iterator[int | None]:
    """Yield what is known of a frozen answer that does not serve all: replicas served, no moves."""
    served, *_ = _in_plan(situation, rival)
    for account in _accounts(situation, attempt):
        if account.goal is Goal.SERVED:
            yield served
        else:
            yield 0 if account.goal is Goal.MOVED else None


def _accounts(situation: Situation, attempt: Attempt) -> Iterator[_Account]:
    """Say for each objective what the plan has beyond what the question counts."""
    frozen = _frozen(situation) if attempt.settled else ()
    models = Counter(replica.model for _, own in frozen if (replica := own.incumbent))
    running = len(situation.incumbents)
    yield _Account(goal=Goal.SERVED, base=len(frozen))
    for demand in situation.demands:
        yield _Account(goal=Goal.SERVED_OF_MODEL, base=models[demand.model], model=demand.model)
    yield _Account(goal=Goal.MOVED, base=running - len(frozen))
    yield _Account(goal=Goal.DESTROYED, base=sum(len(g.doomed) for g in situation.grounds))
    for goal in (Goal.OCCUPIED, Goal.SWITCHED, Goal.OURS):
        yield _Account(goal=goal, base=0)
    yield _Account(goal=Goal.MEMORY, base=sum(own.slice.placement.size for _, own in frozen))
    yield _Account(goal=Goal.ROOM, base=0)
    yield _Account(goal=Goal.COMPUTE, base=sum(_compute(g, own) for g, own in frozen))
    yield _Account(goal=Goal.POSITIONS, base=0)


def _frozen(situation: Situation) -> tuple[tuple[Ground, OwnSlice], ...]:
    """List the slices whose replicas were not part of a settled question."""
    return tuple(
        (ground, own)
        for ground in situation.grounds
        for own in ground.own
        if own.incumbent is not None
    )


def _compute(ground: Ground, own: OwnSlice) -> int:
    """Compute slices of a slice of ours."""
    profile = ground.geometry.named(own.profile)
    assert profile is not None, "only slices of known profiles can stay"
    return profile.compute_slices
