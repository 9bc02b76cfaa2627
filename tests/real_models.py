"""Real models as data: configurations, tensors and what is published of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpuslice.sizing.tensors import Tensor

FOLDER = Path(__file__).parent / "data" / "models"
_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I32": 4}
MEMORY = "written from memory, checked by sums"
WHERE = r"https://\S+|[\w.-]+/[\w.-]+ \S+@[0-9a-f]{40}"
"""Where a public text is: an address, or a repository, a path in it and a commit."""
_CHOICE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealModel:
    """One model of tests/data/models."""

    name: str
    sources: list[dict[str, Any]]
    config: dict[str, Any]
    tensors: tuple[Tensor, ...]
    published: dict[str, Any]


def real_model_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def real_model(stem: str) -> RealModel:
    written = json.loads((FOLDER / f"{stem}.json").read_text())
    tensors = tuple(
        Tensor(name=name, kind=kind, shape=tuple(shape), bytes=_BYTES[kind] * math.prod(shape))
        for pattern, kind, shape in written["tensors"]
        for name in _names(pattern)
    )
    return RealModel(**(written | {"tensors": tensors}))


def _names(pattern: str) -> Iterator[str]:
    """Write out ``{0..3}`` and ``{k,v}``."""
    found = _CHOICE.search(pattern)
    if found is None:
        yield pattern
        return
    first, dots, last = found[1].partition("..")
    choices = map(str, range(int(first), int(last) + 1)) if dots else found[1].split(",")
    for choice in choices:
        yield from _names(pattern[: found.start()] + choice + pattern[found.end() :])
