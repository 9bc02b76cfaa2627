"""A quick choice without proof: where the solver starts, and what is left when the solver fails.

Separate because it promises less than the other ways of packing: its choice is legal and serves
what it can, but nothing is known about how far it is from the best.

The rule: GPUs on which something lies go first, those with MIG off last. Each in turn gets the
pattern that keeps most running replicas in place; among those the one that serves most by the size
of the least slice each replica could do with, so that large ones are not left for last; then the
cheapest. Running replicas have their places reserved until their GPU has had its turn. A GPU takes
the pattern of the one before it as long as that is of use, which makes a fleet as quick as a
machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpuslice.planner.patterns import patterns
from gpuslice.planner.question import Choice, Pattern, Question, SiteGroup, SliceKind

_Uses = Counter[tuple[SliceKind, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """A pattern, and whom its slices serve."""

    pattern: Pattern
    uses: _Uses

    @property
    def stays(self) -> int:
        """Running replicas that stay."""
        return sum(count for (kind, demand), count in self.uses.items() if kind.incumbent == demand)

    @property
    def newcomers(self) -> Counter[int]:
        """Replicas, by demand, that do not run on the slice they get."""
        taken: Counter[int] = Counter()
        for (kind, demand), count in self.uses.items():
            if kind.incumbent != demand:
                taken[demand] += count
        return taken


def choose_greedily(question: Question) -> Choice:
    """Fill one GPU after the other.

    Args:
        question: Groups of GPUs and what is wanted.

    Returns:
        A legal choice; equal questions have equal choices.
    """
    waiting = Counter(dict(enumerate(question.wanted)))
    for group in question.groups:
        for demand, count in _incumbents(group).items():
            waiting[demand] -= count * len(group.members)
    weights = _weights(question)
    chosen: list[tuple[Pattern, ...]] = [()] * len(question.groups)
    flow: _Uses = Counter()
    for number in sorted(range(len(question.groups)), key=lambda n: _turn(question.groups[n])):
        filled = _fill(question, question.groups[number], waiting, weights)
        ordered = sorted((use.pattern for use in filled), key=lambda pattern: not pattern.slices)
        chosen[number] = tuple(ordered)
        for use in filled:
            flow.update(use.uses)
    return Choice(patterns=tuple(chosen), flow=tuple(sorted(flow.items())))


def _turn(group: SiteGroup) -> tuple[bool, bool, int]:
    """Order groups: those that are not whole first, then those where MIG is on."""
    site = group.site
    return not (site.fixed or site.own), not site.mig_on, group.members[0]


def _incumbents(group: SiteGroup) -> Counter[int]:
    """Count the running replicas on each GPU of a group, by demand."""
    return Counter(own.incumbent for own in group.site.own if own.incumbent >= 0)


def _weights(question: Question) -> dict[int, int]:
    """Weigh each demand by the memory slices of the least slice it could do with."""
    weights: dict[int, int] = {}
    for group in question.groups:
        for name, accepts in group.site.menu:
            profile = group.site.geometry.named(name)
            assert profile is not None, "menus are made from the geometry"
            for demand in accepts:
                known = weights.get(demand, profile.memory_slices)
                weights[demand] = min(known, profile.memory_slices)
    return weights


def _fill(
    question: Question, group: SiteGroup, waiting: Counter[int], weights: dict[int, int]
) -> list[_Use]:
    """Choose a pattern for every GPU of a group, taking from those who wait."""
    filled: list[_Use] = []
    for _ in group.members:
        last = filled[-1] if filled else None
        if last is None or any(waiting[d] < n for d, n in last.newcomers.items()):
            last = _best(patterns(group.site, question.wanted), waiting, weights)
        filled.append(last)
        waiting.subtract(last.newcomers)
        waiting.update(_leaving(group, last))
    return filled


def _leaving(group: SiteGroup, use: _Use) -> Counter[int]:
    """Count the running replicas that lose their slice and wait for another."""
    leaving = _incumbents(group)
    for (kind, demand), count in use.uses.items():
        if kind.incumbent == demand:
            leaving[demand] -= count
    return leaving


def _best(choices: tuple[Pattern, ...], waiting: Counter[int], weights: dict[int, int]) -> _Use:
    """Choose the most useful pattern that those who wait can use in full."""
    usable = [use for use in (_use(pattern, waiting) for pattern in choices) if use is not None]
    return min(
        usable,
        key=lambda use: (
            -use.stays,
            -sum(weights[demand] * count for (_, demand), count in use.uses.items()),
            use.pattern.cost,
        ),
    )


def _use(pattern: Pattern, waiting: Counter[int]) -> _Use | None:
    """Give every slice of a pattern to a replica, or return None when one would stay empty."""
    uses: _Uses = Counter()
    left = dict(waiting)
    for kind, count in pattern.supply:
        if kind.incumbent in kind.accepts:
            uses[kind, kind.incumbent] += count
            continue
        for demand in kind.accepts:
            taken = min(count, max(0, left[demand]))
            if taken:
                uses[kind, demand] += taken
                left[demand] -= taken
                count -= taken  # noqa: PLW2901 - what is left of this kind
        if count:
            return None
    return _Use(pattern=pattern, uses=uses)
