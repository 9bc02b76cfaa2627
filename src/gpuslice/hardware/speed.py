"""How fast a whole board is: memory and arithmetic, as its data sheet has them.

Separate from the rest of a board, because NVML tells none of it: these numbers are peaks from data
sheets, never measurements. What a server reaches of them is for `gpuslice.sizing` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBERS = frozenset({"sm_count", "memory_gb_per_s", "bf16_tflops", "fp8_tflops"})
_KEYS = _NUMBERS | {"source", "inferred", "by_name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSpeed:
    """The peaks of one whole board.

    Attributes:
        sm_count: Streaming multiprocessors that the arithmetic is a sum of, MIG mode off.
        memory_gb_per_s: Memory bandwidth, 10^9 bytes per second.
        bf16_tflops: Dense BF16 on tensor cores (FP16 where it has no BF16), 10^12 per second.
        fp8_tflops: Dense FP8 on tensor cores, 10^12 per second, or None where it has none.
        source: The data sheet.
        inferred: Which of the numbers stand in no data sheet and follow from others.
    """

    sm_count: int
    memory_gb_per_s: float
    bf16_tflops: float
    fp8_tflops: float | None
    source: str
    inferred: tuple[str, ...]


def speeds_from(entry: Mapping[str, Any], names: tuple[str, ...]) -> tuple[BoardSpeed, ...]:
    """Read a board's ``speed`` from the data file: one for each of its product names, in order.

    Args:
        entry: The numbers of the commonest product, and under ``by_name`` those in which another
            product of the same board differs.
        names: The board's product names.

    Raises:
        ValueError: A key is not known, a number is not positive, or a name is not the board's.
    """
    others: Mapping[str, Mapping[str, Any]] = entry.get("by_name", {})
    if strange := {*entry} - _KEYS | {*others} - {*names}:
        raise ValueError(f"speed of {names[0]}: {sorted(strange)} is not known")
    return tuple(_speed(name, entry, others.get(name, {})) for name in names)


def _speed(name: str, entry: Mapping[str, Any], other: Mapping[str, Any]) -> BoardSpeed:
    if strange := {*other} - _NUMBERS:
        raise ValueError(f"speed of {name}: {sorted(strange)} is not known")
    numbers = {key: other.get(key, entry[key]) for key in _NUMBERS}
    for key, value in numbers.items():
        if value is None and key == "fp8_tflops":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"speed of {name}: {key} is {value!r}, which cannot be true")
    return BoardSpeed(**numbers, source=entry["source"], inferred=tuple(entry["inferred"]))
