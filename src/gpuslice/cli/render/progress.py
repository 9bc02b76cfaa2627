"""The progress of a change, and of long thinking: what is done, and what is waited for."""

from __future__ import annotations

from threading import Lock, Timer
from types import TracebackType
from typing import Self

from rich.status import Status
from rich.text import Text

from gpuslice.cli.console import err
from gpuslice.model.event import Event, EventKind

_SIGNS = {
    EventKind.STEP: ("•", "bold"),
    EventKind.DONE: ("✓", "green"),
    EventKind.NOTE: ("i", "yellow"),
    EventKind.UNDO: ("↩", "yellow"),
    EventKind.READY: ("✓", "bold green"),
}


class Progress:
    """Shows events as they come. In a terminal, waiting is one line that changes in place."""

    def __init__(self, *, show_commands: bool) -> None:
        self._show_commands = show_commands
        self._status = Status("", console=err())
        self._live = False
        self._waiting = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pause()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind is EventKind.WAIT:
            self._wait(event.text)
            return
        self.pause()
        sign, style = _SIGNS.get(event.kind, ("", ""))
        err().print(Text.assemble((sign, style), " ", event.text))
        if self._show_commands and event.by_hand:
            err().print(Text(f"  $ {event.by_hand}", style="dim"), soft_wrap=True)

    def pause(self) -> None:
        """Take the live line away, so that something else can be printed."""
        if self._live:
            self._status.stop()
            self._live = False

    def _wait(self, text: str) -> None:
        if err().is_terminal:
            self._status.update(Text(text))
            if not self._live:
                self._status.start()
                self._live = True
        elif text != self._waiting:
            err().print(Text(f"… {text}"))
        self._waiting = text


class Thinking:
    """One live line that says what is being worked out, once that takes more than a moment.

    In a terminal only, and not where ``quiet``: nobody waits before a pipe or a script. The line
    belongs to the ``with`` block; a timer of its own lets it appear.
    """

    def __init__(self, *, quiet: bool = False, after_s: float = 1.0) -> None:
        self._wanted = err().is_terminal and not quiet
        self._status = Status("", console=err())
        self._lock = Lock()  # the timer may fire while the block ends
        self._over = False
        self._timer = Timer(after_s, self._appear)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._wanted:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            self._status.stop()

    def tell(self, text: str) -> None:
        """Say what is going on now."""
        self._status.update(Text(text))

    def _appear(self) -> None:
        with self._lock:
            if not self._over:
                self._status.start()
