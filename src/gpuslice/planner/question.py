"""What the packing is asked: GPUs that are alike, what lies on them, who wants a slice.

Separate from the packing so that a machine (`gpuslice.planner.situation`) and, later, a whole fleet
can ask the same question, and from the patterns so that both ways of answering share the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.plan import Method


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SliceKind:
    """All that matters about a slice to the demands: who may sit on it, and who sits there now.

    Attributes:
        accepts: Demands that a slice of this kind serves, by number, ascending.
        incumbent: The demand whose replica runs on it now, or -1. Serving it again moves nobody.
    """

    accepts: tuple[int, ...]
    incumbent: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPlace:
    """A slice of ours as one that may stay: where it lies, and whose replica runs on it.

    Attributes:
        profile: Profile name, one that the geometry offers.
        placement: Where it lies.
        incumbent: The demand whose replica runs on it now, or -1.
    """

    profile: str
    placement: Placement
    incumbent: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One GPU as far as packing can tell GPUs apart; equal sites are interchangeable.

    Attributes:
        geometry: What the GPU offers.
        mig_on: False when a slice would first have to switch MIG mode on.
        fixed: What stays where it lies whatever is decided, as (profile name, placement).
        holds_ours: True when some of what is fixed is ours and in use.
        own: Slices of ours that may stay or go.
        menu: For each profile that some demand accepts, the demands that accept it.
    """

    geometry: Geometry
    mig_on: bool
    fixed: tuple[tuple[str, Placement], ...]
    holds_ours: bool
    own: tuple[OwnPlace, ...]
    menu: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteGroup:
    """All GPUs of one site.

    Attributes:
        site: What they have in common.
        members: Their positions in the order of preference (by index), ascending.
    """

    site: Site
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which layout should every GPU have, so that the demands are served best?

    Attributes:
        groups: The GPUs, by the position of their first member.
        wanted: Replicas that want a slice, by demand; earlier demands go first.
    """

    groups: tuple[SiteGroup, ...]
    wanted: tuple[int, ...]


class Cost(NamedTuple):
    """What a pattern costs, most important first; costs of several GPUs add up, less is better.

    Attributes:
        destroyed: Slices of ours that have to go.
        occupied: 1 when the GPU is not whole afterwards, whoever uses it.
        switched: 1 when MIG mode has to be switched on.
        ours: 1 when slices of ours lie on it afterwards.
        memory_slices: Memory slices given to replicas.
        waste: The useful remainder, negated.
        idle_compute: Compute slices given to replicas, negated: where nothing else is lost by it,
            a replica may as well have them.
    """

    destroyed: int
    occupied: int
    switched: int
    ours: int
    memory_slices: int
    waste: int
    idle_compute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSlice:
    """One slice of a pattern: a place, and whether it is there already.

    Attributes:
        profile: Profile name.
        placement: Where it lies.
        kept: True when it is one of ours that stays.
        kind: Whom it serves.
    """

    profile: str
    placement: Placement
    kept: bool
    kind: SliceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One complete layout of one GPU, every slice of which is to be used.

    Attributes:
        slices: By start.
        supply: How many slices of each kind it holds, by kind.
        cost: What it costs.
    """

    slices: tuple[PatternSlice, ...]
    supply: tuple[tuple[SliceKind, int], ...]
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How an answer was found, and how good it provably is.

    Attributes:
        method: How it was found.
        bounds: For every objective of `gpuslice.planner.objectives`, in its order, what no answer
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
        flow: How many slices of a kind serve a demand, as ((kind, demand), count), sorted.
    """

    patterns: tuple[tuple[Pattern, ...], ...]
    flow: tuple[tuple[tuple[SliceKind, int], int], ...]

    @property
    def served(self) -> int:
        """How many replicas get a slice."""
        return sum(count for _, count in self.flow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Choice):
    """A choice with its proof.

    Attributes:
        proof: How good it is, and how that is known.
    """

    proof: Proof
