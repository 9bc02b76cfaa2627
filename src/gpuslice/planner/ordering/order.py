"""The order in which slices go and come, so that as few servers as possible have to pause.

Separate from the steps, which are what is done and how it reads: who has to pause follows from this
order alone. What waits for what is set up in `gpuslice.planner.ordering.precedence`.

*Method.* Whatever is possible is done. A slice that comes never stands in the way of another (the
final layout is legal, and so is every part of it), and one that goes stands in nobody's way, so
there is nothing to choose, and whatever is done first, the end is the same. First comes all that
nothing blocks; then a queue of GPUs, the lowest first, does on each what has become possible, and
takes in those on which a slice was released by that.

When the queue is empty, everything left waits for something left. A slice that waits for one it
blocks itself has to go first in any order: its replica pauses. Where there is none, a walk from
what waits to what it waits for comes back to itself sooner or later, and on that cycle goes the
slice that most depends on. Of a ring (moves between slices that all stay) the first replica pauses.

*What holds.* Nobody pauses where there is an order without a pause, and every pause is on a cycle
that some replica has to break. The fewest pauses would be a minimum feedback vertex set, which is
NP-hard (Karp 1972); this is a heuristic for it.

*Cost.* The slices of one GPU are compared in pairs once, and a GPU is looked at again only when one
of its slices was released: linear in the number of slices.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice
from gpuslice.planner.ordering.precedence import Going, Moves, Room, set_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is done to the slices, and who cannot serve meanwhile.

    Attributes:
        changes: Slices that go (`Slice`) and that come (`PlannedSlice`), in order.
        paused: Replicas that have to leave their slice before their new one is free.
    """

    changes: tuple[Slice | PlannedSlice, ...]
    paused: frozenset[ReplicaId]


def order(gpus: Sequence[GpuPlan], moves: Moves) -> Order:
    """Order the slices that go and come so that each change is legal when its turn comes.

    Args:
        gpus: What happens on each GPU.
        moves: Who leaves which slice for which; whoever is not known to run holds nothing up.

    Returns:
        The order. Changes of one GPU stand together where nothing speaks against it. Equal
        arguments give an equal order.
    """
    ordering = _Ordering(set_up(gpus, moves))
    ordering.run()
    return Order(
        changes=tuple(ordering.changes), paused=frozenset((*ordering.paused, *moves.rings()))
    )


class _Ordering:
    """What has been done so far. Owned by one call of `order`."""

    def __init__(self, rooms: list[Room]) -> None:
        self.changes: list[Slice | PlannedSlice] = []
        self.paused: list[ReplicaId] = []
        self._rooms = rooms
        self._queue = list(range(len(rooms)))  # a heap, since it is sorted
        self._queued = set(self._queue)
        held = [going for room in rooms for going in room.going if going.held]
        self._own_way = deque(going for going in held if going.in_its_own_way)
        self._walk = _Walk(held)

    def run(self) -> None:
        """Do everything there is to do."""
        for room in self._rooms:
            self._create(room)
        self._drain()
        while (pausing := self._next_to_pause()) is not None:
            assert pausing.tenant is not None, "only a tenant holds a slice"
            self.paused.append(pausing.tenant)
            self._destroy([pausing])
            self._enqueue(pausing.room)
            self._drain()

    def _drain(self) -> None:
        """Do what is possible, GPU by GPU, until nothing is."""
        while self._queue:
            number = heapq.heappop(self._queue)
            self._queued.discard(number)
            room = self._rooms[number]
            self._create(room)
            while ready := [going for going in room.going if not going.gone and not going.held]:
                self._destroy(ready)
                self._create(room)

    def _create(self, room: Room) -> None:
        """Let every slice come that nothing blocks, and note what that releases."""
        for coming in room.coming:
            if not coming.waits and not coming.there:
                coming.there = True
                self.changes.append(coming.planned)
                if coming.releases is not None and not coming.releases.gone:
                    self._enqueue(coming.releases.room)

    def _destroy(self, ready: Collection[Going]) -> None:
        for going in ready:
            going.gone = True
            self.changes.append(going.slice)
            for coming in going.blocks:
                coming.waits -= 1

    def _enqueue(self, number: int) -> None:
        if number not in self._queued:
            self._queued.add(number)
            heapq.heappush(self._queue, number)

    def _next_to_pause(self) -> Going | None:
        """Choose what goes although somebody serves on it; None when nothing is left."""
        while self._own_way:
            if not (going := self._own_way.popleft()).gone:
                return going
        return self._walk.break_cycle()


class _Walk:
    """A walk from what waits to what it waits for, taken up where it stood. Owned by `_Ordering`.

    Its path is a chain of held slices, each waiting for the next. So the first of them that can go
    without a pause is the last, and going back from the end finds all that have gone.
    """

    def __init__(self, held: Sequence[Going]) -> None:
        self._starts = deque(held)
        self._path: list[Going] = []
        self._at: dict[Going, int] = {}

    def break_cycle(self) -> Going | None:
        """Walk on to the next cycle and choose the slice on it that goes first, or return None.

        The slice is taken off the path, and has to have gone before the next call.
        """
        while self._path and self._path[-1].gone:
            self._step_back()
        if not self._path and not self._start():
            return None
        while (following := _waits_for(self._path[-1])) not in self._at:
            self._step(following)
        going = max(self._path[self._at[following] :], key=lambda going: going.weight)
        while going in self._at:
            self._step_back()
        return going

    def _start(self) -> bool:
        """Begin at the first slice that still waits; False where there is none."""
        while self._starts:
            if not (going := self._starts.popleft()).gone:
                self._step(going)
                return True
        return False

    def _step(self, going: Going) -> None:
        self._at[going] = len(self._path)
        self._path.append(going)

    def _step_back(self) -> None:
        del self._at[self._path.pop()]


def _waits_for(going: Going) -> Going:
    """The first slice that has to go before one can."""
    assert going.needs is not None, "only held slices wait"
    return next(blocker for blocker in going.needs.blockers if not blocker.gone)
