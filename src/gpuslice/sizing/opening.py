"""Opening a model's file: what every reader has to reckon with.

A folder of models is anybody's, and may hold a pipe, for which nobody should wait; and a clone
without git-lfs holds small texts in the place of weights.

Separate because both readers need it and neither is the other's.
"""

from __future__ import annotations

import os

LFS_POINTER = b"version https://git-lfs"
"""How a file begins that stands for another, where git-lfs was not there to fetch it."""

LFS_HINT = "run: git lfs pull, or fetch the model with hf download"


def open_at_once(path: str, flags: int) -> int:
    """Open for `open`'s ``opener``; a pipe without a writer is empty then, and broken as a file."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
