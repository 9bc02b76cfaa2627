"""What a change is refused for before it touches anything, and how each refusal is lifted.

The table is here; where each is looked for is in `gpuslice.agent.preflight`, and for the way back
in `gpuslice.apply.undo`. A refusal's name is the code of its error and the word after ``--allow``.

| name | refused | lifted, it means |
|---|---|---|
| ``slices-in-use`` | A process that is no server of ours sits on a slice that would go. | Try all the same: the driver itself still refuses while the process lives. |
| ``foreign-slices`` | Somebody else's slice lies where one of ours has to come back; or, without a stack, it would go. | Ours is given up and theirs stays; or theirs goes. |
| ``mig-mode-change`` | MIG mode would be switched on a GPU on which others' processes run. | Try all the same; the driver has the last word. |
| ``gpu-reset`` | The mode only changes with a reset of the GPU. | Reset that GPU, and no other. |
| ``state-moved`` | The GPUs are not as they were when the plan was made. | Carry the plan out on them as they are; a step that no longer fits fails, and all is undone. |

A plan on file (``up --plan``) is the exception: what it proves is about the GPUs it was made for, so
it is never carried out on others.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from gpuslice.errors import (
    ApplyError,
    ForeignSlicesError,
    GpuResetError,
    MigModeChangeError,
    SlicesInUseError,
    StateMovedError,
)


class Refusal(StrEnum):
    """The names, as they stand after ``--allow``."""

    SLICES_IN_USE = "slices-in-use"
    FOREIGN_SLICES = "foreign-slices"
    MIG_MODE_CHANGE = "mig-mode-change"
    GPU_RESET = "gpu-reset"
    STATE_MOVED = "state-moved"


ERRORS: dict[Refusal, type[ApplyError]] = {
    Refusal.SLICES_IN_USE: SlicesInUseError,
    Refusal.FOREIGN_SLICES: ForeignSlicesError,
    Refusal.MIG_MODE_CHANGE: MigModeChangeError,
    Refusal.GPU_RESET: GpuResetError,
    Refusal.STATE_MOVED: StateMovedError,
}


def lifted_by(refusal: Refusal) -> str:
    """Write the option that lifts a refusal: ``--allow slices-in-use``."""
    return f"--allow {refusal}"


def refuse(
    refusal: Refusal,
    message: str,
    *,
    allow: Collection[str],
    otherwise: str,
    details: tuple[str, ...] = (),
) -> None:
    """Refuse a change, unless that refusal is lifted.

    Args:
        refusal: Which.
        message: What would happen to what.
        allow: Names of the refusals that are lifted.
        otherwise: What to do instead of lifting it, as the beginning of a sentence.
        details: Further lines, such as one per process.

    Raises:
        ApplyError: Of the class, and with the code, that belongs to the refusal.
    """
    if refusal in allow:
        return
    hint = f"{otherwise}, or repeat the command with {lifted_by(refusal)}."
    raise ERRORS[refusal](message, hint=hint, details=details)
