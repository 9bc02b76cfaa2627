"""The rules of MIG on one A100 once more, as small as they can be, to hold the simulator against.

Written from the facts and not from the simulator: tables of sizes and starts, runs that may not
overlap, and who is in the way of what. Codes are NVML's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SUCCESS, INVALID_ARGUMENT, NOT_SUPPORTED, IN_USE, INSUFFICIENT_RESOURCES = 0, 2, 3, 19, 23

SIZES = {19: 1, 20: 1, 15: 2, 14: 2, 9: 4, 5: 4, 0: 8}
"""Memory slices of each GPU instance profile, by its id."""
STARTS = {
    19: (6, 4, 5, 0, 1, 2, 3),
    20: (6, 4, 5, 0, 1, 2, 3),
    15: (4, 0, 2, 6),
    14: (4, 0, 2),
    9: (4, 0),
    5: (0,),
    0: (0,),
}
"""Where each may start, in the order in which the driver tries."""
COMPUTE_SLICES = {19: 1, 20: 1, 15: 1, 14: 2, 9: 3, 5: 4, 0: 7}
MEDIA = 20

PART_SIZES = {0: 1, 1: 2, 2: 3, 3: 4, 4: 7}
"""Compute slices of each compute instance profile, by its id."""
PART_STRIDES = {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}
PARTS = {1: (0,), 2: (0, 1), 3: (0, 1, 2), 4: (0, 1, 3), 7: (0, 1, 2, 3, 4)}
"""Which of them a GPU instance of so many compute slices can hold."""


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two runs (start, size) share a slice."""
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]


@dataclass(eq=False)
class Part:
    """A compute instance that is there. Owned by its `Instance`."""

    profile: int
    run: tuple[int, int]
    clients: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Instance:
    """A GPU instance that is there. Owned by its `Card`."""

    profile: int
    run: tuple[int, int]
    parts: list[Part] = field(default_factory=list)

    def part_starts(self, profile: int) -> list[int]:
        """Where a compute instance profile may start in it, whatever is occupied."""
        slices, size = COMPUTE_SLICES[self.profile], PART_SIZES[profile]
        if profile not in PARTS[slices]:
            return []
        return list(range(0, slices - size + 1, PART_STRIDES[size]))

    def refusal_of_part(self, profile: int, start: int | None) -> int:
        """What the driver answers to a compute instance more, success included."""
        starts, size = self.part_starts(profile), PART_SIZES[profile]
        if not starts:
            return NOT_SUPPORTED
        if start is not None and start not in starts:
            return INVALID_ARGUMENT
        wanted = starts if start is None else [start]
        taken = [part.run for part in self.parts]
        room = any(not any(overlap((s, size), run) for run in taken) for s in wanted)
        return SUCCESS if room else INSUFFICIENT_RESOURCES


@dataclass(eq=False)
class Card:
    """One A100. Owned by the state machine."""

    mig: bool = False
    pending: bool = False
    clients: set[int] = field(default_factory=set)
    instances: list[Instance] = field(default_factory=list)

    def free_starts(self, profile: int) -> list[int]:
        """Where an instance of a profile has room now, in the order the driver tries."""
        if profile == MEDIA and any(gi.profile == MEDIA for gi in self.instances):
            return []
        size = SIZES[profile]
        taken = [gi.run for gi in self.instances]
        return [s for s in STARTS[profile] if not any(overlap((s, size), run) for run in taken)]

    def capacity(self, profile: int) -> int:
        """How many more of a profile fit: runs of one size, which lie in a fixed grid."""
        free = len(self.free_starts(profile))
        return min(free, 1) if profile == MEDIA else free

    def refusal(self, profile: int, start: int | None) -> int:
        """What the driver answers to an instance more, success included."""
        if not self.mig:
            return NOT_SUPPORTED
        if self.clients and not self.instances:
            return IN_USE
        if start is not None and start not in STARTS[profile]:
            return INVALID_ARGUMENT
        free = self.free_starts(profile)
        room = free if start is None else start in free
        return SUCCESS if room else INSUFFICIENT_RESOURCES

    def switch(self, wanted: bool) -> tuple[int, bool]:
        """Ask for a mode: the status the driver answers, and whether the mode changed."""
        self.pending = wanted
        if wanted == self.mig:
            return SUCCESS, False
        if self.instances or self.clients:
            return IN_USE, False
        self.mig = wanted
        return SUCCESS, True

    def restart(self) -> None:
        """What a reset and a restart leave of an Ampere card: the pending mode, and nothing."""
        self.mig = self.pending
        self.clients.clear()
        self.instances.clear()

    @property
    def is_in_use(self) -> bool:
        """Whether anything holds it or something on it."""
        return bool(self.clients) or any(part.clients for gi in self.instances for part in gi.parts)
