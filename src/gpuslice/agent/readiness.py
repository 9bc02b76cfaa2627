"""Which servers have answered since they started: asked side by side, never waited for long.

Separate from the supervisor because asking takes time. A server that has just loaded may need half
a minute for its first token, and one that hangs never answers; neither may keep the loop from
looking after the others. So each server is asked by a thread of its own, and a look collects what
has been answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from threading import Thread

from gpuslice.model.server import Launch, RunningServer, ServerKey
from gpuslice.runtime.ready import Answer, ask

LOOK_FOR_S = 1.0
"""How long one look waits for answers that are under way, all together."""


class Readiness:
    """What each process has answered, by key and pid: a new life has to answer anew.

    Owned by the supervisor, which calls it from one thread at a time.
    """

    def __init__(self, asks: Callable[[Launch], Answer] = ask) -> None:
        """Take how a server is asked; another way only in tests."""
        self._asks = asks
        self._ready: dict[ServerKey, int] = {}
        self._answers: dict[ServerKey, Answer] = {}
        self._asking: dict[ServerKey, tuple[int, Future[Answer]]] = {}

    @property
    def ready(self) -> frozenset[ServerKey]:
        """The processes that have answered since they started."""
        return frozenset(self._ready)

    def answer_of(self, key: ServerKey) -> Answer | None:
        """Return what a process answered last, or None where it has not been asked yet."""
        return self._answers.get(key)

    def look(self, processes: Sequence[RunningServer], wanted: Sequence[Launch]) -> None:
        """Ask every wanted process that is not ready, and collect what has been answered."""
        pids = {process.key: process.pid for process in processes}
        self._forget_ended(pids)
        for launch in wanted:
            known = launch.key in self._ready or launch.key in self._asking
            if launch.key in pids and not known:
                self._asking[launch.key] = (pids[launch.key], self._begin(launch))
        wait([future for _, future in self._asking.values()], timeout=LOOK_FOR_S)
        for key, (pid, future) in tuple(self._asking.items()):
            if future.done():
                del self._asking[key]
                self._note(key, pid, future.result())

    def _note(self, key: ServerKey, pid: int, answer: Answer) -> None:
        self._answers[key] = answer
        if answer.ready:
            self._ready[key] = pid

    def _begin(self, launch: Launch) -> Future[Answer]:
        future: Future[Answer] = Future()
        # A daemon thread, because an agent that ends does not wait for a server that hangs.
        Thread(target=_answer_into, args=(future, self._asks, launch), daemon=True).start()
        return future

    def _forget_ended(self, pids: Mapping[ServerKey, int]) -> None:
        self._ready = {k: pid for k, pid in self._ready.items() if pids.get(k) == pid}
        self._answers = {k: answer for k, answer in self._answers.items() if k in pids}
        self._asking = {k: a for k, a in self._asking.items() if pids.get(k) == a[0]}


def _answer_into(future: Future[Answer], asks: Callable[[Launch], Answer], launch: Launch) -> None:
    try:
        future.set_result(asks(launch))
    except Exception as error:  # noqa: BLE001 - a thread's edge: whoever collects it raises it
        future.set_exception(error)
