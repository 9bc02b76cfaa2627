"""Steps of several GPUs side by side, of one GPU in order: who waits for whom, and the threads.

*Rule.* Each GPU is a lane; its steps are done in the order of the plan. Across lanes there is one
rule: **what takes away waits for all that gives.** A step that destroys a slice waits until every
earlier step of the plan that creates one or switches a mode on is done, on whatever GPU.

*Why that is right.* The plan's order is legal, and legality is a matter of one GPU, so lanes may be
shifted against each other freely. What is lost by shifting is only the order *between* GPUs, which
is there for one reason: that a replica's new slice exists before its old one goes, directly or by a
chain of replicas that move up. In the plan's order every such creation is an earlier step, and the
rule keeps all of those. So whatever fails, no slice has gone for whose replacement that failed.

*Cost.* Mode switches (seconds each) and creations run side by side on all GPUs, and so do
destructions; a destruction on one GPU may wait for a creation elsewhere it does not need.

*Never stuck.* A step waits for earlier steps only, and the first unfinished one waits for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, EnableMig, Step, gpu_of


def lanes_of(steps: Sequence[Step]) -> dict[str, list[int]]:
    """Sort steps by their GPU, as numbers, each GPU's in order."""
    lanes: dict[str, list[int]] = {}
    for number, step in enumerate(steps):
        lanes.setdefault(gpu_of(step), []).append(number)
    return lanes


def waits_for(steps: Sequence[Step], number: int) -> frozenset[int]:
    """Say which steps have to be done before one may begin, those of its own GPU included."""
    step = steps[number]
    return frozenset(
        earlier
        for earlier in range(number)
        if gpu_of(steps[earlier]) == gpu_of(step)
        or (isinstance(step, DestroySlice) and isinstance(steps[earlier], CreateSlice | EnableMig))
    )


class Lanes:
    """What has been done so far and who is waiting. Owned by one change.

    Args:
        steps: In the order of the plan.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._done: set[int] = set()
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def run(self, work: Callable[[list[int], Lanes], None]) -> None:
        """Give every GPU a thread and wait for all; the first failure is raised.

        Args:
            work: Does the steps of those numbers, asking `begin` before and `end` after each.
        """
        threads = [
            threading.Thread(target=self._lane, args=(work, numbers), name=f"gpu-{uuid[:12]}")
            for uuid, numbers in lanes_of(self._steps).items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def begin(self, number: int) -> bool:
        """Wait until a step may begin; False when the change has failed elsewhere."""
        needed = waits_for(self._steps, number)
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or needed <= self._done)
            return self._failure is None

    def end(self, number: int) -> None:
        """Say that a step is done."""
        with self._changed:
            self._done.add(number)
            self._changed.notify_all()

    def _lane(self, work: Callable[[list[int], Lanes], None], numbers: list[int]) -> None:
        try:
            work(numbers, self)
        except BaseException as error:  # noqa: BLE001 - the thread's edge; `run` raises it again
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()
