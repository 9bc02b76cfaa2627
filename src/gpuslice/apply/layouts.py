"""What a GPU has to look like after each step, and where it does not: pure.

A driver that reads back what it has just made sees that one slice. Whether all the others are still
what they were is seen only by comparing the whole GPU, and that is what "untouched slices never
notice" rests on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from gpuslice.errors import ReadBackError
from gpuslice.model.gpu import Gpu, Slice, SliceKey
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How one GPU should look.

    Attributes:
        mig_on: True when MIG mode should be on.
        slices: What should lie there; nothing else may.
    """

    mig_on: bool
    slices: tuple[Slice, ...]

    def after(self, step: Step, made: Slice | None) -> Expected:
        """Say how the GPU should look after one more step.

        Args:
            step: A step on this GPU.
            made: What the driver says it created, where it was to create.
        """
        match step:
            case EnableMig():
                return replace(self, mig_on=True)
            case DisableMig():
                return replace(self, mig_on=False, slices=())
            case DestroySlice(slice=gone):
                return replace(self, slices=tuple(s for s in self.slices if s.key != gone.key))
            case CreateSlice():
                assert made is not None, "a driver returns what it created"
                return replace(self, slices=(*self.slices, made))
            case _:
                assert_never(step)


def as_expected(gpu: Gpu) -> Expected:
    """Take a GPU as it was just read for what it should look like."""
    return Expected(mig_on=gpu.mig is not None and gpu.mig.current, slices=gpu.slices)


def check_as_expected(expected: Expected, gpu: Gpu) -> None:
    """Compare a GPU as read with how it should look.

    Raises:
        ReadBackError: It looks different; the details say where.
    """
    there = {_identity(s): s for s in gpu.slices}
    wanted = {_identity(s): s for s in expected.slices}
    lines = []
    on = gpu.mig is not None and gpu.mig.current
    if on != expected.mig_on:
        lines.append(f"MIG mode is {_state(on)} instead of {_state(expected.mig_on)}")
    lines += [f"{_name(s)} is not there" for key, s in wanted.items() if key not in there]
    lines += [f"{_name(s)} should not be there" for key, s in there.items() if key not in wanted]
    if lines:
        raise ReadBackError(
            f"GPU {gpu.index} is not as the last step should have left it.",
            hint="Something else changes slices on this machine; stop it, then repeat.",
            details=tuple(lines),
        )


def _identity(slice_: Slice) -> tuple[SliceKey, bool, tuple[tuple[int, int], ...]]:
    """What has to stay of a slice: which it is, whether it is whole, and its parts."""
    parts = tuple((part.start, part.compute_slices) for part in slice_.parts)
    return slice_.key, slice_.compute_instance_id is not None, parts


def _name(slice_: Slice) -> str:
    half = "" if slice_.compute_instance_id is not None else "half of "
    return f"{half}{slice_.profile} at {slice_.placement} (GPU instance {slice_.gpu_instance_id})"


def _state(on: bool) -> str:
    return "on" if on else "off"
