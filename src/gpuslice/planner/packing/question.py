"""What the packing is asked: GPUs that are alike, what lies on them, who wants a slice.

Separate from the packing so that a machine, a fleet and the question what should be bought can all
be put in the same words, and from the methods so that both ways of answering share them, and say
the same of a question that has no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gpuslice.errors import PlanningError
from gpuslice.model.certificate import Method
from gpuslice.model.geometry import Geometry, Placement

Kind = tuple[int, ...]
"""All that matters about a free slice: the wants it may serve, by number, ascending."""

Supply = tuple[tuple[Kind, int], ...]
"""How many slices of each kind, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Replicas that the packing need not tell apart.

    Attributes:
        count: How many there are.
        priority: Wants of higher priority are served first.
        move_cost: What it counts when one of them leaves the slice it runs on.
        most_per_gpu: How many of them may lie on one GPU, or None for any number.
        near: Wants of which each GPU with one of these must hold one too.
        away: Wants of which no GPU with one of these may hold any.
    """

    count: int
    priority: int = 0
    move_cost: int = 1
    most_per_gpu: int | None = None
    near: tuple[int, ...] = ()
    away: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPlace:
    """A slice of ours as one that may stay: where it lies, and whose replica runs on it.

    Attributes:
        profile: Profile name, one that the geometry offers.
        placement: Where it lies.
        incumbent: The want whose replica runs on it now, or -1.
    """

    profile: str
    placement: Placement
    incumbent: int = -1


Crowd = tuple[tuple[int, ...], int]
"""Slices of ours, by position on their GPU, and how many of the replicas on them may stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One GPU as far as packing can tell GPUs apart; equal sites are interchangeable.

    Attributes:
        geometry: What the GPU offers.
        price: What it costs when it is in use.
        addable: True when it is not there, but may be added.
        mig_on: False when a slice would first have to switch MIG mode on.
        fixed: What stays where it lies whatever is decided, as (profile name, placement).
        holds_ours: True when some of what is fixed is ours and in use.
        tenants: Tied wants (see `Question.tied`) of what is fixed, one entry for each replica.
        own: Slices of ours that may stay or go.
        crowds: Where more replicas of one model run than may lie together: which of the slices
            they run on, by position in ``own``, and how many of those replicas may stay.
        menu: For each profile that some want accepts, the wants that accept it.
    """

    geometry: Geometry
    price: int = 1
    addable: bool = False
    mig_on: bool = True
    fixed: tuple[tuple[str, Placement], ...] = ()
    holds_ours: bool = False
    tenants: tuple[int, ...] = ()
    own: tuple[OwnPlace, ...] = ()
    crowds: tuple[Crowd, ...] = ()
    menu: tuple[tuple[str, Kind], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteGroup:
    """All GPUs of one site.

    Attributes:
        site: What they have in common.
        members: Their positions in the order of preference (by index), ascending.
    """

    site: Site
    members: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which layout should every GPU have, so that the wants are served best?

    Attributes:
        groups: The GPUs, by the position of their first member.
        wants: Who wants slices; by priority, and among equals the more important first.
        most_moves: How many running replicas may leave their slice, or None for any number.
        lenient: True when an answer that does not serve everybody need not be the best of those:
            the question may then leave out what only matters where something is left unserved.
        least_ours: How many GPUs have to hold slices of ours at least.
    """

    groups: tuple[SiteGroup, ...]
    wants: tuple[Want, ...]
    most_moves: int | None = None
    lenient: bool = False
    least_ours: int = 0

    @cached_property
    def tied(self) -> frozenset[int]:
        """Wants whose neighbours on a GPU matter; their slices are theirs alone."""
        tied = {
            number
            for number, want in enumerate(self.wants)
            if want.most_per_gpu is not None or want.near or want.away
        }
        return frozenset(tied | {n for want in self.wants for n in (*want.near, *want.away)})

    @cached_property
    def wanted(self) -> int:
        """How many replicas there are in all."""
        return sum(want.count for want in self.wants)


class Cost(NamedTuple):
    """What a pattern costs, most important first; costs of several GPUs add up, less is better.

    Attributes:
        added: The GPU's price when it is in use and would have to be added.
        price: The GPU's price when it is not whole afterwards, whoever uses it.
        moved: Cost of the moves of replicas that leave their slice.
        destroyed: Slices of ours that have to go.
        switched: 1 when MIG mode has to be switched on.
        ours: 1 when slices of ours lie on it afterwards.
        memory: Memory slices given to replicas.
        waste: The useful remainder, negated.
        idle: Compute slices given to replicas, negated: where nothing else is lost by it, a replica
            may as well have them.
    """

    added: int = 0
    price: int = 0
    moved: int = 0
    destroyed: int = 0
    switched: int = 0
    ours: int = 0
    memory: int = 0
    waste: int = 0
    idle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSlice:
    """One slice of a pattern.

    Attributes:
        profile: Profile name.
        placement: Where it lies.
        kind: Whom it may serve; for a replica that stays, its want alone.
        kept: True when it is one of ours that stays.
        stays: True when its replica stays too.
    """

    profile: str
    placement: Placement
    kind: Kind
    kept: bool = False
    stays: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One complete layout of one GPU, every slice of which is to be used.

    Attributes:
        slices: By start.
        supply: How many slices of each kind it holds beside those whose replicas stay.
        staying: How many replicas of each want stay, as ((want,), count).
        moves: How many running replicas leave their slice.
        cost: What it costs.
    """

    slices: tuple[PatternSlice, ...]
    supply: Supply
    staying: Supply
    moves: int
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How an answer was found, and how good it provably is.

    Attributes:
        method: How it was found.
        bounds: For every objective of `gpuslice.planner.packing.objectives`, in its order, what no
            answer
            can be below that equals this one in all objectives before; None where unknown.
        note: Why the proof is incomplete, in words, or "".
    """

    method: Method
    bounds: tuple[int | None, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A pattern for every GPU, and whom its slices serve.

    Attributes:
        patterns: For every group, the pattern of each member, in the order of the members.
        flow: How many free slices of a kind serve a want, as ((kind, want), count), sorted.
    """

    patterns: tuple[tuple[Pattern, ...], ...]
    flow: tuple[tuple[tuple[Kind, int], int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Choice):
    """A choice with its proof.

    Attributes:
        proof: How good it is, and how that is known.
    """

    proof: Proof


def too_few_moves(needed: int, most: int) -> PlanningError:
    """Say that the rules need more running replicas to move than may."""
    return PlanningError(
        f"the rules need at least {needed} running replicas to move, and {most} may",
        hint="Allow more moves, or drop spread, near or away.",
    )


def no_layout(trouble: str) -> PlanningError:
    """Say that no answer was found; ``trouble`` says what stood in the way, or is empty."""
    return PlanningError(
        f"no layout was found that keeps the rules{trouble and ': '}{trouble}",
        hint="Drop spread, near, away or pinned, or give the solver more time.",
    )
