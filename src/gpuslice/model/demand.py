"""What is asked of the planner: replicas that want slices, and what every plan has to keep to.

Values only; the answer is in `gpuslice.model.plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.model.geometry import Profile


@dataclass(frozen=True, slots=True, order=True)
class ReplicaId:
    """One replica of one model of a stack: the n-th server of a model, counted from 0."""

    model: str
    replica: int

    def __str__(self) -> str:
        return f"{self.model}/{self.replica}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class NamedProfile:
    """A profile that somebody named, on any board or on one.

    Attributes:
        profile: Profile name, such as ``2g.20gb``.
        board: Product name of the only GPUs on which it is meant, or "" for all.
    """

    profile: str
    board: str = ""

    def means(self, profile: Profile, board: str) -> bool:
        """Tell whether that profile on that product is meant."""
        return self.profile == profile.name and self.board in ("", board)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rate:
    """What one slice contributes to a throughput target.

    Attributes:
        named: The slice's profile.
        milli_per_s: Thousandths of the target's unit per second; positive.
        least_percent: How much of that there well may be only; 100 where it was measured.
    """

    named: NamedProfile
    milli_per_s: int
    least_percent: int = 100

    @property
    def least_milli_per_s(self) -> int:
        """The least that it may well contribute, rounded down."""
        return self.milli_per_s * self.least_percent // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A throughput that any multiset of slices may reach together (a *recipe*).

    Attributes:
        milli_per_s: Thousandths of a unit per second that are wanted; positive.
        rates: What one slice of each usable profile contributes.
        unit: What is counted, in words: ``tokens`` or ``requests``.
    """

    milli_per_s: int
    rates: tuple[Rate, ...]
    unit: str = "tokens"

    @property
    def estimated(self) -> bool:
        """True where the rates were worked out and not measured."""
        return any(rate.least_percent < 100 for rate in self.rates)

    def rate(self, profile: Profile, board: str) -> int:
        """What one slice contributes, thousandths per second; 0 where it cannot be used."""
        return max((r.milli_per_s for r in self.rates if r.named.means(profile, board)), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one model asks for.

    Exactly one of ``profiles``, ``memory_mib`` and ``target`` says which slices serve it.

    Attributes:
        model: Name of the model in the stack file.
        replicas: How many slices, each for one server; with a target, at most that many.
        profiles: The profiles the user named, any of which will do, or empty.
        memory_mib: Least memory of a slice, MiB, or None.
        compute_slices: Least compute slices of a slice, beside ``memory_mib``.
        target: The throughput it has to reach, or None.
        reason: Why it needs that much, in words for the plan: ``98 MiB weights + 90 MiB KV …``.
        beside_mib: What a server of it takes outside the share of a slice that its engine
            manages, MiB; 0 where that was not worked out.
        priority: Demands of higher priority are served first, whatever it costs the others.
        move_cost: What it counts when a running replica changes its slice; 0 or more.
        pinned: True when a running replica must stay where it is.
        most_per_gpu: How many of its replicas may lie on one GPU, or None for any number.
        near: Models of which each GPU that holds a replica of this one must hold one too.
        away: Models of which no GPU that holds a replica of this one may hold any.
    """

    model: str
    replicas: int
    profiles: tuple[NamedProfile, ...] = ()
    memory_mib: int | None = None
    compute_slices: int = 0
    target: Target | None = None
    reason: str = ""
    beside_mib: int = 0
    priority: int = 0
    move_cost: int = 1
    pinned: bool = False
    most_per_gpu: int | None = None
    near: tuple[str, ...] = ()
    away: tuple[str, ...] = ()

    def accepts(self, profile: Profile, board: str) -> bool:
        """Tell whether a slice of a profile serves one replica.

        A demand by memory takes any plain profile that is large enough; slices with media or
        graphics attributes are only ever used when named.

        Args:
            profile: The profile.
            board: Product name of the GPU that offers it.
        """
        if self.target is not None:
            return self.target.rate(profile, board) > 0
        if self.profiles:
            return any(named.means(profile, board) for named in self.profiles)
        return (
            not profile.attributes
            and profile.memory_mib >= (self.memory_mib or 0)
            and profile.compute_slices >= self.compute_slices
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What GPUs cost, so that a plan can be cheap and not only small.

    Attributes:
        currency: Code, such as ``EUR``.
        milli_per_hour: Thousandths of the currency for one GPU and hour, by product name.
    """

    currency: str
    milli_per_hour: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a plan has to keep to, beside the demands.

    Attributes:
        gpus: UUIDs of the GPUs that may be used, or None for all that can be sliced.
        drained: UUIDs of GPUs that are to be emptied of slices of ours; never used.
        addable: UUIDs of GPUs that are not there, but may be added; they come last.
        prices: What GPUs cost, or None where each counts as one.
        most_moves: How many running replicas may change their slice, or None for any number.
            Those on GPUs that may not be used have to, and do not count.
    """

    gpus: frozenset[str] | None = None
    drained: frozenset[str] = frozenset()
    addable: frozenset[str] = frozenset()
    prices: Prices | None = None
    most_moves: int | None = None

    def allow(self, uuid: str) -> bool:
        """Tell whether slices may lie on a GPU."""
        return uuid not in self.drained and (self.gpus is None or uuid in self.gpus)
