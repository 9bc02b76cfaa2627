"""From the answer of the packing back to this machine: which replica sits on which slice.

Separate from the packing, which counts slices of a kind; here they get their GPUs, placements and
replicas again. Nothing is decided here that any objective could see.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice, ReplicaId, Seat
from gpuslice.planner.question import Answer, PatternSlice, Question, SliceKind
from gpuslice.planner.situation import Ground, OwnSlice, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chair:
    """A slice of the answer on its GPU, before anybody sits on it.

    Attributes:
        kind: Whom it serves.
        kept: The slice, when it exists and stays.
        created: The slice, when it comes.
        incumbent: The replica that runs on it now and fits it, or None.
    """

    kind: SliceKind
    kept: Slice | None
    created: PlannedSlice | None
    incumbent: ReplicaId | None

    def seat(self, replica: ReplicaId) -> Seat:
        """Seat a replica on it."""
        return Seat(replica=replica, kept=self.kept, created=self.created)


def seat_all(
    situation: Situation, question: Question, answer: Answer, settled: tuple[Seat, ...]
) -> tuple[Seat, ...]:
    """Give every slice of an answer to a replica.

    Args:
        situation: The situation.
        question: What was asked about it.
        answer: The packing's answer.
        settled: Replicas that keep their slice and were not part of the question.

    Returns:
        All seats, the settled ones included, by replica.
    """
    flow = Counter(dict(answer.flow))
    chairs = list(_chairs(situation, question, answer))
    seats = list(settled)
    free: dict[SliceKind, deque[_Chair]] = {}
    for chair in chairs:
        use = (chair.kind, chair.kind.incumbent)
        if chair.incumbent is not None and flow[use]:
            flow[use] -= 1
            seats.append(chair.seat(chair.incumbent))
        else:
            free.setdefault(chair.kind, deque()).append(chair)
    waiting = _waiting(situation, {seat.replica for seat in seats})
    seats += [
        free[kind].popleft().seat(waiting[demand].popleft())
        for (kind, demand), count in sorted(flow.items())
        for _ in range(count)
    ]
    return tuple(sorted(seats, key=lambda seat: seat.replica))


def furnish(situation: Situation, seats: Sequence[Seat]) -> tuple[GpuPlan, ...]:
    """Say for every GPU what goes, comes and stays, so that exactly the seats are there.

    Args:
        situation: The situation.
        seats: Who sits where in the end.

    Returns:
        One entry for each GPU of the situation, in its order.
    """
    kept = {seat.kept.key for seat in seats if seat.kept is not None}
    coming: dict[str, list[PlannedSlice]] = {}
    for seat in seats:
        if seat.created is not None:
            coming.setdefault(seat.created.gpu_uuid, []).append(seat.created)
    return tuple(
        _gpu_plan(
            ground,
            keep=tuple(own.slice for own in ground.own if own.slice.key in kept),
            create=tuple(sorted(coming.get(ground.gpu.uuid, ()), key=lambda new: new.placement)),
        )
        for ground in situation.grounds
    )


def _gpu_plan(
    ground: Ground, *, keep: tuple[Slice, ...], create: tuple[PlannedSlice, ...]
) -> GpuPlan:
    """Describe what happens on one GPU."""
    gone = [own.slice for own in ground.own if own.slice not in keep] + list(ground.doomed)
    return GpuPlan(
        gpu_uuid=ground.gpu.uuid,
        enable_mig=bool(create) and not ground.mig_on,
        destroy=tuple(sorted(gone, key=lambda s: (s.placement, s.gpu_instance_id))),
        create=create,
        keep=keep,
        foreign=ground.foreign,
        notes=_notes(ground),
        barred=not ground.usable,
    )


def _notes(ground: Ground) -> tuple[str, ...]:
    """Say what is odd about a GPU; the plan itself goes by what holds now."""
    mode = ground.gpu.mig
    if mode is None or mode.current == mode.pending:
        return ()
    now, later = ("on", "off") if mode.current else ("off", "on")
    return (f"MIG is {now} now and will be {later} after the next GPU reset",)


def _chairs(situation: Situation, question: Question, answer: Answer) -> Iterator[_Chair]:
    """Put the slices of every pattern on its GPU, by GPU and start."""
    placed = sorted(
        (
            (member, pattern)
            for group, chosen in zip(question.groups, answer.patterns, strict=True)
            for member, pattern in zip(group.members, chosen, strict=True)
        ),
        key=lambda pair: pair[0],
    )
    for member, pattern in placed:
        ground = situation.grounds[member]
        lying = {(own.profile, own.slice.placement): own for own in ground.own}
        for part in pattern.slices:
            yield _chair(ground, part, lying)


def _chair(
    ground: Ground, part: PatternSlice, lying: dict[tuple[str, Placement], OwnSlice]
) -> _Chair:
    """Put one slice of a pattern on its GPU."""
    if part.kept:
        own = lying[part.profile, part.placement]
        return _Chair(kind=part.kind, kept=own.slice, created=None, incumbent=own.incumbent)
    profile = ground.geometry.named(part.profile)
    assert profile is not None, "patterns are made from the geometry"
    created = PlannedSlice(
        gpu_uuid=ground.gpu.uuid,
        placement=part.placement,
        profile=profile.name,
        profile_id=profile.id,
        memory_mib=profile.memory_mib,
    )
    return _Chair(kind=part.kind, kept=None, created=created, incumbent=None)


def _waiting(situation: Situation, seated: set[ReplicaId]) -> list[deque[ReplicaId]]:
    """List for each demand the replicas without a seat: those running now first, then by number.

    A replica that runs somewhere is rather moved than dropped in favour of one that never ran.
    """
    running = {replica for replica, _ in situation.incumbents}
    waiting = []
    for demand in situation.demands:
        replicas = (ReplicaId(demand.model, number) for number in range(demand.replicas))
        rest = (replica for replica in replicas if replica not in seated)
        waiting.append(deque(sorted(rest, key=lambda r: (r not in running, r.replica))))
    return waiting
