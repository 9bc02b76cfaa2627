"""The agent's life: one lock, one loop, one change at a time.

The daemon owns the supervisor. Its loop and its changes run in threads and take turns through one
lock, so a reconcile never meets a half-made change. A foreground stack is a change whose journal
stays open until the terminal that started it goes away; then it is undone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from gpuslice.agent.changes import bring_up, commit, roll_back, take_down
from gpuslice.agent.complaints import Complaints
from gpuslice.agent.slice_changes import SliceChange, change_slices
from gpuslice.agent.status import AgentStatus
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import (
    ChangeRunningError,
    DriverHungError,
    GpusliceError,
    InterruptedChangeError,
)
from gpuslice.model.desired import Change
from gpuslice.model.event import Event, EventKind, Report

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
ROTATE_EVERY = 30
TURN_TIMEOUT_S = 30.0
IDLE_EXIT_S = 60.0


class Daemon:
    """Everything the control API can ask for.

    Args:
        supervisor: The machine.
        leave: Called once when the agent has nothing left to do.
    """

    def __init__(self, supervisor: Supervisor, leave: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._leave = leave
        self._turn = threading.Lock()
        self._changing = ""
        self._foreground = False
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._stop = threading.Event()
        self._started = False
        self._complaints = Complaints(log, end="the stack is looked after again")
        self._asked_at = time.monotonic()

    def run_loop(self) -> None:
        """Look after the stack about once a second until told to stop.

        A fresh agent waits for its first request, which says whether there is anything to look
        after; only one that was asked to resume begins by itself.
        """
        rounds = 0
        while not self._stop.wait(LOOK_EVERY_S):
            if time.monotonic() - self._asked_at > IDLE_EXIT_S:
                self.leave_if_idle()
            if not self._started or not self._turn.acquire(blocking=False):
                continue
            try:
                self._look_after(rounds)
                self._complaints.tell(())
            except GpusliceError as error:
                self._complaints.tell((error,))
            except Exception:  # the loop's edge: whatever it was, the next round tries again
                log.exception("a round of the loop failed")
            finally:
                self._turn.release()
            rounds += 1

    def recover(self, report: Report, *, allow: Collection[str] = ()) -> None:
        """Undo what an earlier agent left half done, then look after what is recorded.

        The agent stays a while even with nothing to look after: whoever asked for this has more
        to ask.
        """
        with self._change("undoing an interrupted change"):
            roll_back(self._supervisor, report, allow)

    def stop(self) -> None:
        """End the loop; servers keep running."""
        self._stop.set()
        self._cancelled.set()

    def status(self) -> AgentStatus:
        """Say how the agent and its stack are."""
        record = self._supervisor.node.read_record()
        return AgentStatus(
            pid=os.getpid(),
            stack=record.desired.stack if record.desired else "",
            changing=self._changing,
            foreground=self._foreground,
            processes=self._supervisor.statuses(),
        )

    def up(
        self,
        change: Change,
        report: Report,
        cancelled: threading.Event,
        *,
        detach: bool,
        allow: Collection[str] = (),
    ) -> None:
        """Bring a stack up; in the foreground, stay until cancelled and then undo it.

        Args:
            change: What is wanted.
            report: Where progress goes.
            cancelled: Set by the asker's going away, or by `cancel`.
            detach: False for a stack that ends with its asker.
            allow: Names of the refusals that are lifted.

        Raises:
            ChangeRunningError: Another change is under way, or a foreground stack runs.
            GpusliceError: It failed, and everything is as it was before.
        """
        with self._change(f"bringing up {change.desired.stack}"):
            self._cancelled = cancelled
            self._ended.clear()
            roll_back(self._supervisor, report, allow)
            if self._supervisor.node.read_record().desired is not None and not detach:
                report(_note("the stack runs detached already and stays so"))
                detach = True
            with self._undone_on_failure(report, allow):
                bring_up(self._supervisor, change, report, self._check, allow)
            self._foreground = not detach
            if detach:
                commit(self._supervisor)
        report(Event(kind=EventKind.READY, text=f"{change.desired.stack} is up"))
        if not detach:
            self._stay(report)

    def slices(self, change: SliceChange, report: Report, cancelled: threading.Event) -> None:
        """Change slices without a stack; the change stands when this returns.

        Args:
            change: What is wanted.
            report: Where progress goes.
            cancelled: Set by the asker's going away, or by `cancel`.

        Raises:
            ChangeRunningError: Another change is under way, or a foreground stack runs.
            GpusliceError: It failed or was refused, and everything is as it was before.
        """
        with self._change("changing slices"):
            self._cancelled = cancelled
            roll_back(self._supervisor, report, change.allow)
            with self._undone_on_failure(report, ()):
                change_slices(self._supervisor, change, report, self._check)
        report(Event(kind=EventKind.READY, text="the slices are as planned"))

    def down(
        self, report: Report, *, slices: bool, mig_off: bool, allow: Collection[str] = ()
    ) -> None:
        """Take the stack down, also one that is in the foreground of another terminal."""
        with self._change("taking down", ends_foreground=True):
            if not self._foreground:
                roll_back(self._supervisor, report, allow)
            take_down(self._supervisor, report, slices=slices, mig_off=mig_off, allow=allow)
            self._foreground = False
            self._ended.set()

    def cancel(self) -> None:
        """Stop the change under way, or the foreground stack, and undo it."""
        self._cancelled.set()

    @contextmanager
    def _undone_on_failure(self, report: Report, allow: Collection[str]) -> Iterator[None]:
        """Undo what was done when a change fails, however it does."""
        try:
            yield
        except BaseException as error:
            if self._supervisor.node.store.read_journal() is not None:  # else nothing was touched
                text = error.message if isinstance(error, GpusliceError) else repr(error)
                report(Event(kind=EventKind.UNDO, text=f"{text} Undoing."))
                roll_back(self._supervisor, report, allow)
            raise

    def _stay(self, report: Report) -> None:
        """Wait for the end of a foreground stack."""
        while not self._ended.is_set() and not self._cancelled.wait(0.2):
            pass
        self._turn.acquire()
        with self._taken("ending the foreground stack"):
            if self._ended.is_set():
                report(_note("taken down from another terminal"))
                return
            roll_back(self._supervisor, report)
            self._foreground = False

    @contextmanager
    def _change(self, what: str, *, ends_foreground: bool = False) -> Iterator[None]:
        """Take the turn for a change, or refuse it."""
        if self._foreground and not ends_foreground:
            raise ChangeRunningError(
                "A stack runs in the foreground of another terminal.",
                hint="End it there with Ctrl-C, or run `gpuslice down` first.",
            )
        if self._changing or not self._turn.acquire(timeout=TURN_TIMEOUT_S):
            raise ChangeRunningError(
                f"Another change is under way: {self._changing or 'a round of the loop'}.",
                hint="Wait for it to end, then try again.",
            )
        with self._taken(what):
            yield

    @contextmanager
    def _taken(self, what: str) -> Iterator[None]:
        """Hold the turn that has been taken, and give it back."""
        self._changing = what
        try:
            yield
        except GpusliceError as error:
            if _is_about_a_hang(error):
                log.error("the driver hangs: leaving, so that the next command starts afresh")  # noqa: TRY400 - no defect
                self._leave()
            raise
        finally:
            self._started = True
            self._asked_at = time.monotonic()
            self._changing = ""
            self._turn.release()

    def leave_if_idle(self) -> None:
        """Leave when there is no stack to look after and nothing is being changed."""
        if not self._changing and self._supervisor.node.read_record().desired is None:
            self._leave()

    def _look_after(self, rounds: int) -> None:
        record = self._supervisor.node.read_record()
        self._supervisor.step(self._supervisor.wanted(record))
        if rounds % ROTATE_EVERY == 0:
            self._supervisor.node.runtime.rotate_logs()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise InterruptedChangeError(
                "Interrupted.", hint="Run the command again when you are ready."
            )


def _is_about_a_hang(error: BaseException | None) -> bool:
    """Tell whether the driver hung: this process can then make no call to it any more."""
    while error is not None:
        if isinstance(error, DriverHungError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _note(text: str) -> Event:
    return Event(kind=EventKind.NOTE, text=text)
