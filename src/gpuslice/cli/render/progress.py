"""The progress of a change: one line per thing done, one live line for what is waited for."""

from __future__ import annotations

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
