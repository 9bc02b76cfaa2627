"""Releases of engines that cannot run on a slice: why, and which release can.

Separate because it is a table that ages: a row is added when a defect is met, and says where it was
reported, so that a reader can see whether it still holds.

A server of such a release would end a minute after its slice was made. Knowing the release costs a
look at the package's metadata, so it is refused before anything is touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpuslice.engines.api import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One reason why some releases of an engine cannot run on a slice.

    Attributes:
        engine: Its name in the stack file, which is its package's name too.
        place: Where the defect shows.
        fixed_in: First release without it.
        what: What goes wrong, as the end of a sentence.
        source: Where it was reported and mended.
    """

    engine: str
    place: Place
    fixed_in: str
    what: str
    source: str


DEFECTS = (
    Defect(
        engine="vllm",
        place=Place.PROCESS,
        fixed_in="0.24.0",
        what="takes the UUID of a slice in CUDA_VISIBLE_DEVICES for a number and ends",
        source="vllm issues #6551 (0.5.2) to #41848 (0.20.1); mended by #45026, June 2026",
    ),
    Defect(
        engine="sglang",
        place=Place.CONTAINER,
        fixed_in="0.4.10",
        what="asks nvidia-smi for the memory of the GPU, which a container on a slice may not see",
        source="sglang issues #2933, #6110; mended by #8167, July 2025",
    ),
)


def defect_of(engine: str, version: str, place: Place) -> Defect | None:
    """Find what keeps a release of an engine from running on a slice.

    Args:
        engine: Its name in the stack file.
        version: Release, such as ``0.20.1`` or ``0.23.1rc2+cu130``; "" where it is not known, which
            is no reason to refuse.
        place: A process or a container.

    Returns:
        The first defect that the release has, or None.
    """
    release = _release(version)
    for defect in DEFECTS:
        here = (defect.engine, defect.place) == (engine, place)
        if release and here and release < _release(defect.fixed_in):
            return defect
    return None


def _release(version: str) -> tuple[int, ...]:
    """Read the leading numbers of a version, without zeros at the end: 0.24 is 0.24.0."""
    match = re.match(r"v?(\d{1,9}(?:\.\d{1,9})*)", version)
    numbers = [int(number) for number in match[1].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
