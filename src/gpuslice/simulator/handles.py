"""Opaque handles: what NVML gives callers instead of pointers, and what they stand for.

A handle is a number that means something to the process it was given in, until NVML is shut down
there. It names its object by serial number and epoch, so a handle of something destroyed, or from
before a mode change, is found out even when a successor has the same id and UUID.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum, auto

_FIRST = 0x7F51_0000_0000  # looks like a pointer; nothing ever lies there
_STEP = 0x100


class Kind(Enum):
    """What a handle stands for."""

    GPU = auto()
    MIG_DEVICE = auto()
    GPU_INSTANCE = auto()
    COMPUTE_INSTANCE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one handle stands for.

    Attributes:
        kind: GPU, MIG device, GPU instance or compute instance.
        gpu_uuid: The GPU, or the GPU it lies on.
        epoch: The GPU's epoch when the handle was given.
        serial: Serial number of the GPU instance or the compute instance; 0 for a GPU.
    """

    kind: Kind
    gpu_uuid: str
    epoch: int
    serial: int = 0


class HandleTable:
    """The handles one process was given. Equal meanings have equal handles while NVML is up."""

    def __init__(self) -> None:
        self._next = _FIRST
        self._numbers: dict[Meaning, int] = {}
        self._meanings: dict[int, Meaning] = {}
        self._lock = threading.Lock()

    def give(self, meaning: Meaning) -> int:
        """Return the handle of a meaning, a new one on first use."""
        with self._lock:
            if meaning not in self._numbers:
                self._numbers[meaning] = self._next
                self._meanings[self._next] = meaning
                self._next += _STEP
            return self._numbers[meaning]

    def meaning(self, number: int) -> Meaning | None:
        """Return what a handle stands for, or None where it was never given or is forgotten."""
        return self._meanings.get(number)

    def forget(self) -> None:
        """Make every handle given so far invalid, for good: numbers are not used again."""
        with self._lock:
            self._numbers.clear()
            self._meanings.clear()
