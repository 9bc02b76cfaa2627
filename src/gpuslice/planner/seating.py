"""From the answer of the packing back to this machine: which replica sits on which slice.

Separate from the packing, which counts slices of a kind; here they get their GPUs, placements and
replicas again. Nothing is decided here that any objective could see.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Slice, SliceKey
from gpuslice.model.plan import GpuPlan, PlannedSlice, Seat
from gpuslice.planner.asking import Asked, Portion
from gpuslice.planner.packing.question import Answer, Kind, Pattern, PatternSlice
from gpuslice.planner.situation import Ground, OwnSlice, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chair:
    """A free slice of the answer on its GPU, before anybody sits on it.

    Attributes:
        kept: The slice, when it exists and stays.
        created: The slice, when it comes.
    """

    kept: Slice | None
    created: PlannedSlice | None

    def seat(self, replica: ReplicaId) -> Seat:
        """Seat a replica on it."""
        return Seat(replica=replica, kept=self.kept, created=self.created)


def seat_all(asked: Asked, answer: Answer) -> tuple[Seat, ...]:
    """Give every slice of an answer to a replica.

    Args:
        asked: The question, and the situation it was asked about.
        answer: The packing's answer.

    Returns:
        All seats, those that were not part of the question included, by replica.
    """
    free: dict[Kind, deque[_Chair]] = {}
    seats = list(_stay(asked, answer, free))
    waiting = _Waiting(asked, seats)
    seats += [
        free[kind].popleft().seat(replica)
        for (kind, want), count in answer.flow
        for replica in waiting.next(want, count)
    ]
    return tuple(sorted(seats, key=lambda seat: (seat.replica.model, seat.replica.replica)))


def seat_staying(asked: Asked, answer: Answer) -> tuple[Seat, ...]:
    """Return the seats of those that stay where they run.

    Args:
        asked: The question, and the situation it was asked about.
        answer: The packing's answer.
    """
    return tuple(_stay(asked, answer, {}))


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
        _gpu_plan(situation, ground, kept, coming.get(ground.gpu.uuid, ()))
        for ground in situation.grounds
    )


def _gpu_plan(
    situation: Situation, ground: Ground, kept: set[SliceKey], create: Sequence[PlannedSlice]
) -> GpuPlan:
    """Describe what happens on one GPU."""
    keep: list[Slice] = []
    gone = list(ground.doomed)
    for own in ground.own:
        (keep if own.slice.key in kept else gone).append(own.slice)
    return GpuPlan(
        gpu_uuid=ground.gpu.uuid,
        enable_mig=bool(create) and not ground.mig_on,
        destroy=tuple(sorted(gone, key=lambda s: (s.placement, s.gpu_instance_id))),
        create=tuple(sorted(create, key=lambda new: new.placement)),
        keep=tuple(keep),
        foreign=ground.foreign,
        notes=_notes(situation, ground),
        barred=not ground.usable,
    )


def _notes(situation: Situation, ground: Ground) -> tuple[str, ...]:
    """Say what is odd about a GPU; the plan itself goes by what holds now."""
    notes = []
    mode = ground.gpu.mig
    if mode is not None and mode.current != mode.pending:
        now, later = ("on", "off") if mode.current else ("off", "on")
        notes.append(f"MIG is {now} now and will be {later} after the next GPU reset")
    if ground.gpu.uuid in situation.rules.drained:
        notes.append("is being drained")
    return tuple(notes)


def _placed(asked: Asked, answer: Answer) -> Iterator[tuple[Ground, Pattern]]:
    """Put every pattern on its GPU, by GPU."""
    placed: dict[int, Pattern] = {}
    for group, chosen in zip(asked.question.groups, answer.patterns, strict=True):
        placed.update(zip(group.members, chosen, strict=True))
    for member in sorted(placed):
        yield asked.situation.grounds[member], placed[member]


def _stay(asked: Asked, answer: Answer, free: dict[Kind, deque[_Chair]]) -> Iterator[Seat]:
    """Seat those that stay, and list what is free beside them."""
    for _, _, own in asked.staying:
        if own.incumbent is not None:
            yield Seat(replica=own.incumbent, kept=own.slice)
    for ground, pattern in _placed(asked, answer):
        yield from _sit_down(ground, pattern, free)


def _sit_down(ground: Ground, pattern: Pattern, free: dict[Kind, deque[_Chair]]) -> Iterator[Seat]:
    """Seat the replicas that stay on a GPU, and put its other slices among the free ones."""
    lying: dict[tuple[str, Placement], OwnSlice] = {}
    if any(part.kept for part in pattern.slices):
        lying = {(own.profile, own.slice.placement): own for own in ground.own}
    for part in pattern.slices:
        own = lying[part.profile, part.placement] if part.kept else None
        if part.stays and own is not None and own.incumbent is not None:
            yield Seat(replica=own.incumbent, kept=own.slice)
        else:
            chair = _chair(ground, part, own)
            free.setdefault(part.kind, deque()).append(chair)


def _chair(ground: Ground, part: PatternSlice, own: OwnSlice | None) -> _Chair:
    """Put one free slice of a pattern on its GPU."""
    if own is not None:
        return _Chair(kept=own.slice, created=None)
    profile = ground.geometry.named(part.profile)
    assert profile is not None, "patterns are made from the geometry"
    created = PlannedSlice(
        gpu_uuid=ground.gpu.uuid,
        placement=part.placement,
        profile=profile.name,
        profile_id=profile.id,
        memory_mib=profile.memory_mib,
    )
    return _Chair(kept=None, created=created)


class _Waiting:
    """Who has no seat yet, in the order in which they get one; owned by `seat_all`.

    Those that run now come before those that do not, then the smaller number: a replica that runs
    somewhere, be it on a GPU that is drained, is rather moved than dropped in favour of one that
    never ran.
    """

    def __init__(self, asked: Asked, seats: Sequence[Seat]) -> None:
        self._seated = {seat.replica for seat in seats}
        self._boards = {ground.gpu.uuid: ground.gpu.name for ground in asked.situation.grounds}
        self._running = asked.situation.running
        self._taken = Counter(self._article(seat) for seat in seats)
        self._pools: dict[str, Iterator[ReplicaId]] = {}
        self._queues = [self._queue(portions) for portions in asked.portions]

    def next(self, want: int, count: int) -> Iterator[ReplicaId]:
        """Yield the next replicas of a want."""
        for _ in range(count):
            yield next(self._queues[want])

    def _queue(self, portions: Sequence[Portion]) -> Iterator[ReplicaId]:
        for portion in portions:
            model = portion.demand.model
            if model not in self._pools:
                self._pools[model] = self._pool(portion)
            if portion.named is None:
                yield from self._pools[model]
                continue
            sitting = self._taken[model, portion.named.profile, portion.named.board]
            for _ in range(portion.count - sitting):
                yield next(self._pools[model])

    def _pool(self, portion: Portion) -> Iterator[ReplicaId]:
        """Walk the replicas of a model that have no seat."""
        model = portion.demand.model
        numbers = (ReplicaId(model, number) for number in range(portion.demand.replicas))
        rest = [replica for replica in numbers if replica not in self._seated]
        return iter(sorted(rest, key=lambda r: (r not in self._running, r.replica)))

    def _article(self, seat: Seat) -> tuple[str, str, str]:
        slice_ = seat.slice
        return seat.replica.model, slice_.profile, self._boards[slice_.gpu_uuid]
