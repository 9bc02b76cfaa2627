"""A quick choice without proof: where the solver starts, and what is left when the solver fails.

Separate because it promises less than the other ways of packing: its choice is legal and serves
what it can, but nothing is known about how far it is from the best.

The rule: running replicas stay, as far as the wants bear their neighbours. GPUs on which something
lies go first, those with MIG off last, the dearest last of all. Each in turn gets the arrival that
serves most by the size of the least slice each replica could do with, so that large ones are not
left for last; then the cheapest. A GPU takes the arrival of the one before it as long as that is of
use, which makes a fleet as quick as a machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpuslice.planner.packing.question import Kind, Question, SiteGroup
from gpuslice.planner.packing.states import Arrival, Room, States, Stay

_Uses = Counter[tuple[Kind, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """An arrival, and whom its slices serve."""

    arrival: Arrival
    uses: _Uses

    @property
    def taken(self) -> Counter[int]:
        """Replicas that get a slice, by want."""
        taken: Counter[int] = Counter()
        for (_, want), count in self.uses.items():
            taken[want] += count
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What stays and comes on every GPU, and whom it serves.

    Attributes:
        groups: For every group, what stays on each of its GPUs, the room that leaves, and what
            comes into it on each of them.
        flow: How many free slices of a kind serve a want.
    """

    groups: tuple[tuple[Stay, Room, tuple[Arrival, ...]], ...]
    flow: dict[tuple[Kind, int], int]


def choose_greedily(question: Question, states: States) -> Filling | None:
    """Fill one GPU after the other.

    Args:
        question: Groups of GPUs and what is wanted.
        states: What may stay and come.

    Returns:
        A legal filling but for the limit of moves, which it may pass where running replicas do not
        bear each other; equal questions have equal fillings. None where replicas that have to stay
        do not bear each other, or need company that this rule does not find for them.
    """
    waiting = Counter(dict(enumerate(want.count for want in question.wants)))
    stays = []
    for group in question.groups:
        legal = _first_legal(states, group, waiting)
        if legal is None:
            return None
        stay, room = legal
        stays.append((stay, room))
        for (want,), count in stay.staying:
            waiting[want] -= count * len(group.members)
    weights = _weights(question)
    arrivals: dict[int, tuple[Arrival, ...]] = {}
    flow: _Uses = Counter()
    for number in sorted(range(len(question.groups)), key=lambda n: _turn(question.groups[n])):
        _, room = stays[number]
        filled = _fill(question.groups[number], states.arrivals(room), waiting, weights)
        if filled is None:
            return None
        arrivals[number] = tuple(use.arrival for use in filled)
        for use in filled:
            flow.update(use.uses)
    return Filling(
        groups=tuple((*stays[n], arrivals[n]) for n in range(len(question.groups))),
        flow=dict(flow),
    )


def _first_legal(
    states: States, group: SiteGroup, waiting: Counter[int]
) -> tuple[Stay, Room] | None:
    """Choose what stays: as many running replicas as bear each other without others, and no more.

    Slices that nobody runs on go: giving them to others is left to the solver. Where more replicas
    run than are wanted, those on the GPUs that come first stay. None where those who have to stay
    do not bear each other.
    """
    options = [
        (stay, room)
        for stay, room in states.stays(group.site)
        if not stay.supply
        and all(n * len(group.members) <= waiting[want] for (want,), n in stay.staying)
        and states.arrivals(room)
    ]

    def rank(option: tuple[Stay, Room]) -> tuple[bool, int]:
        stay, room = option
        return all(arrival.slices for arrival in states.arrivals(room)), stay.moves

    return min(options, key=rank, default=None)


def _turn(group: SiteGroup) -> tuple[bool, bool, bool, int, int]:
    """Order groups: what is there, what is not whole, where MIG is on, what is cheap."""
    site = group.site
    whole = not (site.fixed or site.own)
    return site.addable, whole, not site.mig_on, site.price, group.members[0]


def _weights(question: Question) -> dict[int, int]:
    """Weigh each want by the memory slices of the least slice it could do with."""
    weights: dict[int, int] = {}
    for geometry, menu in {(g.site.geometry, g.site.menu): None for g in question.groups}:
        for name, accepts in menu:
            profile = geometry.named(name)
            assert profile is not None, "menus are made from the geometry"
            for want in accepts:
                known = weights.get(want, profile.memory_slices)
                weights[want] = min(known, profile.memory_slices)
    return weights


def _fill(
    group: SiteGroup,
    arrivals: tuple[Arrival, ...],
    waiting: Counter[int],
    weights: dict[int, int],
) -> list[_Use] | None:
    """Choose an arrival for every GPU of a group, taking from those who wait."""
    filled: list[_Use] = []
    for _ in group.members:
        last = filled[-1] if filled else None
        if last is None or any(waiting[want] < n for want, n in last.taken.items()):
            last = _best(arrivals, waiting, weights)
        if last is None:
            return None
        filled.append(last)
        waiting.subtract(last.taken)
    return filled


def _best(
    arrivals: tuple[Arrival, ...], waiting: Counter[int], weights: dict[int, int]
) -> _Use | None:
    """Choose the most useful arrival that those who wait can use in full."""
    usable = [use for use in (_use(arrival, waiting) for arrival in arrivals) if use is not None]
    return min(
        usable,
        key=lambda use: (
            -sum(weights[want] * count for (_, want), count in use.uses.items()),
            use.arrival.cost,
        ),
        default=None,
    )


def _use(arrival: Arrival, waiting: Counter[int]) -> _Use | None:
    """Give every slice of an arrival to a replica, or return None when one would stay empty."""
    uses: _Uses = Counter()
    left = dict(waiting)
    for kind, count in arrival.supply:
        for want in kind:
            taken = min(count, max(0, left[want]))
            if taken:
                uses[kind, want] += taken
                left[want] -= taken
                count -= taken  # noqa: PLW2901 - what is left of this kind
        if count:
            return None
    return _Use(arrival=arrival, uses=uses)
