"""What a change reports while it runs: progress for a person, events for a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What an event tells."""

    STEP = "step"  # about to be done
    DONE = "done"  # done and read back
    WAIT = "wait"  # still waiting; repeated about once a second
    NOTE = "note"  # worth knowing
    UNDO = "undo"  # being undone
    READY = "ready"  # the whole change has succeeded
    ERROR = "error"  # the change has failed
    END = "end"  # nothing follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of progress.

    Attributes:
        kind: What it tells.
        text: The line, in words.
        by_hand: What a person would have typed instead, or "".
        code: Error code of an ERROR event.
        exit_status: Exit status of an ERROR event.
        hint: Next action of an ERROR event.
        details: Further lines of an ERROR event.
    """

    kind: EventKind
    text: str
    by_hand: str = ""
    code: str = ""
    exit_status: int = 0
    hint: str = ""
    details: tuple[str, ...] = ()


Report = Callable[[Event], None]
"""Where events go. It must return quickly and must not raise."""
