"""ParvaGPU's own method: the best slices of each service, best fit by size, then breaking up.

Separate because it is a whole program with stages of its own. Source: MunQ-Lee/ParvaGPU_SC24,
src/configurator.c and src/allocator.c at 32d4890, read and checked stage by stage:

1. Each service is cut into slices (`benchmarks.planner.segments`).
2. Slices of 7, 4, 3, 2 and 1 compute slices, in this order and first come first served, go to the
   GPU that they leave least room on, counted in compute slices; two of 3 never share a GPU.
3. From the last GPU to the first, each that has at most 4 compute slices taken is broken up: what a
   slice of it contributed is put together from slices of 2 and 1, which go by the same rule,
   perhaps back to the same GPU. What the pieces are worth too much, the next slice of the same
   service is spared.

Three things differ, each because the published program would answer wrongly: a slice keeps in mind
what it contributes (there, slices that were broken up before count as something else), a slice
whose service can run on neither 2 nor 1 stays where it is (there, it is lost), and in the end
slices are laid where they are legal (there, some places printed overlap).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from benchmarks.planner.instance import Chosen, Instance
from benchmarks.planner.rooms import Building, Fleet, Lying, Room
from benchmarks.planner.segments import Segment, cut, in_services, offers, products

from gpuslice.model.demand import ReplicaId

_SIZES = (7, 4, 3, 2, 1)
_SLOTS: Mapping[int, tuple[int, ...]] = {
    7: (0,),
    4: (0,),
    3: (4,),
    2: (0, 4, 2, 5, 3, 1, 6),
    1: (0, 6, 4, 1, 2, 3, 5),
}
"""In which order the program looks for a free slot; it walks the slots when it breaks up a GPU."""

_WIDTH = 7
_SPARSE = 4


@dataclass(frozen=True, slots=True)
class _Piece:
    """A slice that has a GPU or waits for one: its service and what it is."""

    service: str
    segment: Segment


@dataclass(slots=True)
class _Packed:
    """One GPU as the program sees it; owned by `_Machine`."""

    slots: dict[int, _Piece] = field(default_factory=dict)

    @property
    def room(self) -> int:
        return _WIDTH - sum(piece.segment.compute_slices for piece in self.slots.values())

    @property
    def has_three(self) -> bool:
        return any(piece.segment.compute_slices == 3 for piece in self.slots.values())


class _Machine:
    """GPUs without end, and which of them a slice goes to; owned by one run."""

    def __init__(self) -> None:
        self.gpus: list[_Packed] = []
        self._queues: dict[tuple[int, bool], list[int]] = {}

    def put(self, piece: _Piece) -> None:
        """Place a slice on the GPU that it leaves least room on, the first of equal ones."""
        size = piece.segment.compute_slices
        for room in range(size, _WIDTH + 1):
            states = [(room, False)] if size == 3 else [(room, False), (room, True)]
            heads = [n for state in states if (n := self._first(state)) is not None]
            if heads:
                break
        else:
            self.gpus.append(_Packed())
            heads = [len(self.gpus) - 1]
        gpu = self.gpus[min(heads)]
        slot = next(slot for slot in _SLOTS[size] if slot not in gpu.slots)
        gpu.slots[slot] = piece
        self.note(min(heads))

    def note(self, number: int) -> None:
        """List a GPU under the room it has now."""
        gpu = self.gpus[number]
        heappush(self._queues.setdefault((gpu.room, gpu.has_three), []), number)

    def _first(self, state: tuple[int, bool]) -> int | None:
        """Return the first GPU of a state; outdated entries are dropped when they come by."""
        queue = self._queues.get(state, [])
        while queue and (self.gpus[queue[0]].room, self.gpus[queue[0]].has_three) != state:
            heappop(queue)
        return queue[0] if queue else None


def parva_fit(instance: Instance) -> list[Chosen]:
    """Answer as ParvaGPU does; for throughput targets on one product of 7 compute slices."""
    gpu = products(instance)[0]
    small = {
        demand.model: {s.compute_slices: s for s in offers(demand, gpu) if s.compute_slices <= 2}
        for demand in instance.targets
    }
    pieces = [_Piece(d.model, segment) for d in instance.targets for segment in cut(d, gpu)]
    machine = _Machine()
    for size in _SIZES:
        for piece in pieces:
            if piece.segment.compute_slices == size:
                machine.put(piece)
    _break_up(machine, small)
    return _laid(instance, machine.gpus)


def _break_up(machine: _Machine, small: Mapping[str, Mapping[int, Segment]]) -> None:
    """Break up GPUs that are half empty, the last first."""
    owed = dict.fromkeys(small, 0)
    for number in range(len(machine.gpus) - 1, -1, -1):
        gpu = machine.gpus[number]
        if _WIDTH - gpu.room > _SPARSE:
            continue
        for slot in range(_WIDTH):
            piece = gpu.slots.get(slot)
            if piece is None or not small[piece.service]:
                continue
            del gpu.slots[slot]
            machine.note(number)
            owed[piece.service] += piece.segment.milli_per_s
            for part in _split(owed[piece.service], small[piece.service]):
                owed[piece.service] -= part.milli_per_s
                machine.put(_Piece(piece.service, part))


def _split(owed: int, small: Mapping[int, Segment]) -> Iterable[Segment]:
    """Put a throughput together from slices of 2 and of 1, whichever yield more for their size."""
    one, two = small.get(1), small.get(2)
    if one is None or two is None:
        only = one or two
        assert only is not None, "who can run on neither is not broken up"
        return [only] * max(0, math.ceil(owed / only.milli_per_s))
    pairs = max(0, owed // two.milli_per_s) if two.milli_per_s > 2 * one.milli_per_s else 0
    rest = owed - pairs * two.milli_per_s
    return [two] * pairs + [one] * max(0, math.ceil(rest / one.milli_per_s))


def _laid(instance: Instance, packed: Iterable[_Packed]) -> list[Chosen]:
    """Lay the slices of each GPU where they are legal, on the GPUs of the instance in turn."""
    fleet, chosen = Fleet(instance), []
    in_use = [gpu for gpu in packed if gpu.slots]
    numbers: dict[str, int] = {}
    for gpu, one in zip(fleet.order, in_use, strict=False):
        pieces = sorted(one.slots.values(), key=lambda piece: -piece.segment.compute_slices)
        names = [piece.segment.profile for piece in pieces]
        found = _layout(fleet.building, fleet.room_of(gpu), names)
        for piece, (name, at) in zip(pieces, found, strict=True):
            replica = ReplicaId(piece.service, numbers.setdefault(piece.service, 0))
            numbers[piece.service] += 1
            chosen.append(Chosen(replica=replica, gpu=gpu, profile=name, placement=at))
    return in_services(instance, chosen)


def _layout(building: Building, room: Room, names: list[str]) -> Lying:
    """Find places for slices, the first of the list first; there are always some."""
    if not names:
        return ()
    for at in reversed(building.starts(room, names[0])):
        rest = _layout(building, building.after(room, names[0], at), names[1:])
        if len(rest) == len(names) - 1:
            return ((names[0], at), *rest)
    return ()
