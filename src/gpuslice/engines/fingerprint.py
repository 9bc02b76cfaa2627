"""When two launches are the same process: one hash over everything that would need a replacement.

Separate because every engine and the gateway must agree on it. A supervisor compares the hash of
what should run with the one that a running process carries; equal means "leave it alone".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

_HEX_DIGITS = 16


def config_hash(
    command: Sequence[str],
    environment: Iterable[tuple[str, str]] = (),
    slice_uuid: str = "",
    further: Sequence[str] = (),
) -> str:
    """Hash what a process was started from.

    Args:
        command: Argument vector; its order counts. The port is part of it.
        environment: Variables set for the process; their order does not count.
        slice_uuid: The slice it is bound to.
        further: Anything else that the process reads once, when it starts.

    Returns:
        16 hexadecimal digits, the same in every process and every version of Python.
    """
    parts = [list(command), sorted(environment), slice_uuid, list(further)]
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]
