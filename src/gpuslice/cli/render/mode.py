"""MIG mode in words.

Separate because a plan says it too, and has no use for the other tables of `hardware`.
"""

from __future__ import annotations

from gpuslice.model.gpu import MigMode


def mode_text(mig: MigMode | None) -> str:
    """MIG mode in words: ``off``, ``on``, ``off → on after a reset``, ``none``."""
    if mig is None:
        return "none"
    now, then = ("on" if on else "off" for on in (mig.current, mig.pending))
    return now if now == then else f"{now} → {then} after a reset"
