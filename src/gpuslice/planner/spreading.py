"""Replicas of a model kept apart after the layout is chosen, where that can be done.

Separate from the packing, to which spreading is dear: a layout that has to say which model gets
which slice comes in thousands of variants. Most of the time nobody needs them. The layout is chosen
as if replicas might lie anywhere, which can only be better; if they can then be seated apart on the
slices it has, it is the best layout with spreading too, and everything proved of it holds.

**Method.** Those who accept the same slices and count the same form one want, and may sit on any
slice of that want. So for each want this is a flow: replicas of a model go to GPUs, at most so many
of a model to one GPU (less those that stay there), and as many to a GPU as it has slices for the
want. It is found greedily, the most numerous models first on the GPUs with most slices, and mended
by augmenting paths until all are seated or no path is left, which proves that nothing would help.

Source: augmenting paths (Ford and Fulkerson 1956); the greedy start, Gale and Ryser (1957).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from gpuslice.model.demand import ReplicaId
from gpuslice.model.plan import Seat
from gpuslice.planner.asking import Asked, Portion
from gpuslice.planner.packing.question import Answer
from gpuslice.planner.seating import seat_all, seat_staying

_Cell = tuple[str, str]
"""A model on a GPU: model and UUID."""


class CrowdedError(Exception):
    """Nothing but another layout would part the replicas of a model.

    Attributes:
        model: The model.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


def seat_apart(asked: Asked, answer: Answer) -> tuple[Seat, ...]:
    """Change places within each want until no GPU holds more of a model than it may.

    Args:
        asked: The question, which need not know of spreading.
        answer: The packing's answer, which serves everybody.

    Returns:
        Everybody's seat, by replica.

    Raises:
        CrowdedError: No change of places does.
    """
    sitting = seat_staying(asked, answer)
    staying = Counter((seat.replica.model, seat.slice.gpu_uuid) for seat in sitting)
    _check_stays(asked, staying)
    fixed = {seat.replica for seat in sitting}
    found = list(sitting)
    boards = {ground.gpu.uuid: ground.gpu.name for ground in asked.situation.grounds}
    loose_of: dict[str, list[Seat]] = {}
    for seat in seat_all(asked, answer):
        if seat.replica not in fixed:
            loose_of.setdefault(seat.replica.model, []).append(seat)
    for portions in asked.portions:
        loose = [
            seat
            for portion in portions
            for seat in loose_of.get(portion.demand.model, ())
            if _is_of(seat, portion, boards[seat.slice.gpu_uuid])
        ]
        found += _part(portions, loose, staying)
    _check_leaving(asked, found, fixed)
    return tuple(sorted(found, key=lambda seat: (seat.replica.model, seat.replica.replica)))


def _is_of(seat: Seat, portion: Portion, board: str) -> bool:
    """Tell whether a seat of a portion's model is its own; a target has one for each profile."""
    named = portion.named
    return named is None or (named.profile == seat.slice.profile and named.board in ("", board))


def _part(
    portions: Iterable[Portion], loose: Sequence[Seat], staying: Counter[_Cell]
) -> Iterator[Seat]:
    """Seat the replicas of one want apart on the slices they have together."""
    most = {portion.demand.model: portion.demand.most_per_gpu for portion in portions}
    slices = Counter(seat.slice.gpu_uuid for seat in loose)
    needs = Counter(seat.replica.model for seat in loose)
    room = {
        (model, gpu): min(slices[gpu], needs[model])
        if limit is None
        else limit - staying[model, gpu]
        for model, limit in most.items()
        for gpu in slices
    }
    flow = _Flow(needs=needs, slices=slices, room=room, counts=Counter())
    flow.fill()
    short = flow.mend()
    if short:
        limits = {model: most[model] for model in short}
        raise CrowdedError(_tightest(limits, needs.copy(), staying))
    return _assign(loose, flow.counts)


def _check_stays(asked: Asked, staying: Counter[_Cell]) -> None:
    """Raise for the first model of which too many stay on one GPU."""
    most = {demand.model: demand.most_per_gpu for demand in asked.situation.demands}
    for (model, _), count in sorted(staying.items()):
        limit = most[model]
        if limit is not None and count > limit:
            raise CrowdedError(model)


def _check_leaving(asked: Asked, seats: Iterable[Seat], staying: set[ReplicaId]) -> None:
    """Raise where a replica that was to leave its slice got it again: the answer counts a move."""
    origins = {own.incumbent: own.slice.key for _, _, own in asked.situation.incumbents}
    for seat in seats:
        back = seat.kept is not None and origins.get(seat.replica) == seat.kept.key
        if back and seat.replica not in staying:
            raise CrowdedError(seat.replica.model)


def _tightest(limits: dict[str, int | None], needs: Counter[str], staying: Counter[_Cell]) -> str:
    """Choose the model that takes most GPUs of those that are in each other's way."""
    for (model, _), count in staying.items():
        needs[model] += count
    return max(limits, key=lambda model: (needs[model] / (limits[model] or inf), model))


@dataclass(kw_only=True)
class _Flow:
    """How many replicas of each model go to each GPU; owned by one call of `_part`.

    Attributes:
        needs: Replicas to be seated, by model.
        slices: Slices there are, by GPU.
        room: How many of a model a GPU may get.
        counts: How many it gets.
    """

    needs: Counter[str]
    slices: Counter[str]
    room: dict[_Cell, int]
    counts: Counter[_Cell]

    def fill(self) -> None:
        """Fill GPU after GPU, those with most slices first, with whoever has most left."""
        left = Counter(self.needs)
        for gpu, count in sorted(self.slices.items(), key=lambda item: (-item[1], item[0])):
            for _ in range(count):
                able = [m for m in left if left[m] and self.counts[m, gpu] < self.room[m, gpu]]
                if not able:
                    break
                model = max(able, key=lambda name: (left[name], name))
                self.counts[model, gpu] += 1
                left[model] -= 1

    def mend(self) -> set[str]:
        """Seat those who are left, by letting others change their GPU.

        Returns:
            Nothing when all are seated; else models that together find too few slices, as they are.
        """
        seated, given = Counter[str](), Counter[str]()
        for (model, gpu), count in self.counts.items():
            seated[model] += count
            given[gpu] += count
        free = {gpu for gpu, count in self.slices.items() if given[gpu] < count}
        for model in sorted(self.needs):
            for _ in range(self.needs[model] - seated[model]):
                path, reached = self._path(model, free)
                if not path:
                    return reached
                for step, (name, gpu) in enumerate(path):
                    self.counts[name, gpu] += 1 if step % 2 == 0 else -1
                last = path[-1][1]
                given[last] += 1
                if given[last] == self.slices[last]:
                    free.discard(last)
        return set()

    def _path(self, model: str, free: set[str]) -> tuple[list[_Cell], set[str]]:
        """Find a way to seat one more: model to GPU, away from there a second model, and so on.

        Returns:
            The way, empty where there is none, and the models that were asked to make room.
        """
        before: dict[_Cell, _Cell | None] = {}
        reached = {model}
        models: deque[tuple[str, _Cell | None]] = deque([(model, None)])
        gpus: set[str] = set()
        while models:
            name, came = models.popleft()
            for gpu in sorted(self.slices):
                if gpu in gpus or self.counts[name, gpu] >= self.room[name, gpu]:
                    continue
                gpus.add(gpu)
                before[name, gpu] = came
                if gpu in free:
                    return _traced(before, (name, gpu)), reached
                for other in sorted(self.needs):
                    if other not in reached and self.counts[other, gpu]:
                        reached.add(other)
                        models.append((other, (name, gpu)))
        return [], reached


def _traced(before: dict[_Cell, _Cell | None], last: _Cell) -> list[_Cell]:
    """Write a path from its first step: one goes in, another out, that one in, and so on."""
    ins = [last]
    while (came := before[ins[-1]]) is not None:
        ins.append(came)
    ins.reverse()
    path = [ins[0]]
    for here, following in pairwise(ins):
        path += [(following[0], here[1]), following]
    return path


def _assign(loose: Sequence[Seat], counts: Counter[_Cell]) -> Iterator[Seat]:
    """Give slices to replicas as the flow says; of a model, the first go to the first GPUs."""
    queues: dict[str, deque[ReplicaId]] = {}
    for seat in loose:
        queues.setdefault(seat.replica.model, deque()).append(seat.replica)
    waiting: dict[str, deque[str]] = {}
    for (model, gpu), count in sorted(counts.items()):
        waiting.setdefault(gpu, deque()).extend([model] * count)
    for seat in loose:
        model = waiting[seat.slice.gpu_uuid].popleft()
        yield replace(seat, replica=queues[model].popleft())
