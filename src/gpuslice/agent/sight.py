"""What follows when somebody may look at a machine, but not at everything on it.

A GPU whose slices are out of sight shows none. It must not be planned on as if it were empty, and a
slice of ours on it must not be taken for gone.
"""

from __future__ import annotations

from collections.abc import Collection

from gpuslice.errors import PermissionDeniedError
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, Observed

_HINT = "Run it as root, or be given access to /proc/driver/nvidia/capabilities/mig/monitor."


LOST = "has fallen off the bus: nothing of it can be read until it is reset or the machine restarts"


def unseen_notes(observed: Observed) -> tuple[str, ...]:
    """Say what could not be seen, one line each."""
    lost = (f"GPU {index} {LOST}" for index in observed.lost)
    hidden = (f"GPU {gpu.index}: {unseen.text}" for gpu in observed.gpus for unseen in gpu.unseen)
    return (*lost, *hidden)


def require_ours_in_sight(record: Record, observed: Observed) -> None:
    """Refuse where slices of ours are out of sight: they would be taken for gone.

    Raises:
        PermissionDeniedError: Names the GPUs.
    """
    ours = {owned.slice.gpu_uuid for owned in record.owned}
    hiding = [gpu for gpu in _hiding(observed) if gpu.uuid in ours]
    if hiding:
        raise PermissionDeniedError(
            f"The slices of {_named(hiding)} could not be listed, and gpuslice has some there.",
            hint=_HINT,
        )


def leave_out_hidden(
    observed: Observed, chosen: Collection[str]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """Take GPUs whose slices are out of sight out of those that a plan may use.

    Args:
        observed: The machine.
        chosen: UUIDs of the GPUs that the stack may use.

    Returns:
        UUIDs of those that can be planned on, and what a person should know of it.

    Raises:
        PermissionDeniedError: None of them shows its slices.
    """
    hiding = [gpu for gpu in _hiding(observed) if gpu.uuid in chosen]
    left = frozenset(chosen) - {gpu.uuid for gpu in hiding}
    if hiding and not left:
        raise PermissionDeniedError(
            f"What lies on {_named(hiding)} could not be seen, so nothing can be planned there.",
            hint=_HINT,
            details=unseen_notes(observed),
        )
    notes = tuple(f"GPU {g.index} is left out of this plan: {g.unseen[0].text}" for g in hiding)
    return left, notes


def _hiding(observed: Observed) -> list[Gpu]:
    return [gpu for gpu in observed.gpus if not gpu.shows_slices]


def _named(gpus: Collection[Gpu]) -> str:
    return ", ".join(f"GPU {gpu.index}" for gpu in gpus)
