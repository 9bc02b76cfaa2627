"""Opening a model's file without waiting: a folder of models is anybody's, and may hold a pipe.

Separate because both readers need it and neither is the other's.
"""

from __future__ import annotations

import os


def open_at_once(path: str, flags: int) -> int:
    """Open for `open`'s ``opener``; a pipe without a writer is empty then, and broken as a file."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
