"""A fleet that takes and gives back slices one at a time, sorted by what its GPUs have free.

Separate from the policy, which is a table: this is the one thing here that changes. Equal GPUs are
kept together, so that the time a request takes does not depend on how many GPUs there are, but for
the logarithm that keeping the lowest position at hand costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

from gpuslice.errors import PlanningError
from gpuslice.model.geometry import Placement
from gpuslice.planner.online import OnlinePolicy, Spot
from gpuslice.planner.packing.grid import mask

_SLACK = 64
"""How many outdated entries a queue may hold beside as many as it has GPUs."""


class OnlineFleet:
    """What lies on every GPU of a fleet of one geometry.

    Owned by whoever places on it, one caller at a time; it is not safe to share between threads.

    Args:
        policy: The table to place by.
        lying: For each GPU, every slice on it as (profile name, placement); whose does not matter.
    """

    def __init__(
        self, policy: OnlinePolicy, lying: Iterable[Sequence[tuple[str, Placement]]]
    ) -> None:
        self._policy = policy
        self._lying = [list(slices) for slices in lying]
        self._masks = [policy.occupancy(slices) for slices in self._lying]
        self._queues: dict[int, list[int]] = {}
        self._counts: dict[int, int] = {}
        for gpu, bits in enumerate(self._masks):
            self._queues.setdefault(bits, []).append(gpu)
            self._counts[bits] = self._counts.get(bits, 0) + 1

    @classmethod
    def empty(cls, policy: OnlinePolicy, gpus: int) -> OnlineFleet:
        """Make a fleet of that many GPUs with nothing on them."""
        return cls(policy, ([] for _ in range(gpus)))

    @property
    def occupancies(self) -> tuple[int, ...]:
        """Mask of every GPU, by position."""
        return tuple(self._masks)

    def lying_on(self, gpu: int) -> tuple[tuple[str, Placement], ...]:
        """Return every slice on one GPU as (profile name, placement), by placement."""
        return tuple(sorted(self._lying[gpu], key=lambda slice_: (slice_[1], slice_[0])))

    def place(self, profile: str) -> Spot | None:
        """Choose where one slice goes, and take the room.

        Args:
            profile: A plain profile.

        Returns:
            What `OnlinePolicy.place` answers for the same occupancies; None changes nothing.

        Raises:
            UnknownProfileError: The geometry has no such plain profile.
        """
        first = {bits: queue[0] for bits, queue in self._queues.items()}
        spot = self._policy.choose(first, profile)
        if spot is not None:
            self._lying[spot.gpu].append((profile, spot.placement))
            self._move(spot.gpu, self._masks[spot.gpu] | mask(spot.placement))
        return spot

    def release(self, spot: Spot) -> None:
        """Give back the room of one slice, whether it was placed here or lay there before.

        Raises:
            PlanningError: There is no such slice.
        """
        slice_ = (spot.profile, spot.placement)
        there = 0 <= spot.gpu < len(self._lying) and slice_ in self._lying[spot.gpu]
        if not there:
            raise PlanningError(
                f"no {spot.profile} at {spot.placement} on GPU {spot.gpu} to release",
                hint="Release what was placed, once.",
            )
        self._lying[spot.gpu].remove(slice_)
        self._move(spot.gpu, self._policy.occupancy(self._lying[spot.gpu]))

    def _move(self, gpu: int, new: int) -> None:
        """Move a GPU to the queue of its new mask."""
        old = self._masks[gpu]
        if new == old:  # another slice still shuts everything out
            return
        self._masks[gpu] = new
        self._counts[old] -= 1
        self._counts[new] = self._counts.get(new, 0) + 1
        heappush(self._queues.setdefault(new, []), gpu)
        self._tidy(old)
        self._tidy(new)

    def _tidy(self, bits: int) -> None:
        """Make the head of a queue true again: entries of GPUs that left stay until they are due.

        A queue that holds mostly such entries is written anew, which so many departures paid for.
        """
        queue = self._queues[bits]
        if len(queue) > 2 * self._counts[bits] + _SLACK:
            queue[:] = {gpu for gpu in queue if self._masks[gpu] == bits}
            heapify(queue)
        while queue and self._masks[queue[0]] != bits:
            heappop(queue)
        if not queue:
            del self._queues[bits]
