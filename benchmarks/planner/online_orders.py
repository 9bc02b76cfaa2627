"""Published orders for placing one slice at a time, and a fleet to try them on.

Separate from `online`, which asks the questions: here stands only what others do, as far as their
papers and code say; what was checked against what is told in `benchmarks.planner.scores`. All of
them see one GPU as a mask of its memory slices, as ours does, so each is a table: what it would do
with a profile on a GPU of that mask, and how it likes that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.planner.scores import poorer, regions

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.planner.online import Spot
from gpuslice.planner.packing.grid import mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to put a profile on a GPU: its mask before and after, and where."""

    profile: Profile
    placement: Placement
    before: int
    after: int


Key = tuple[float, ...]
Rule = Callable[[Option], Key]
"""Compares options; the least is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a policy may know beforehand.

    Attributes:
        geometry: What the GPUs offer.
        mix: How often each profile is asked for.
    """

    geometry: Geometry
    mix: Mapping[str, float]

    @property
    def plain(self) -> list[Profile]:
        """The profiles without attributes."""
        return [profile for profile in self.geometry.profiles if not profile.attributes]

    @property
    def masks(self) -> range:
        """Every mask."""
        return range(1 << self.geometry.memory_slices)

    def free(self, bits: int) -> int:
        """Memory slices that a mask leaves free."""
        return self.geometry.memory_slices - bits.bit_count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A policy as published: which GPU (least first, then lowest index), and where on it.

    Attributes:
        name: As the table shows it.
        rule: What it does and where that stands, in a line.
        gpu: Makes what compares GPUs, by the option chosen on each.
        start: Makes what compares options on one GPU; equal ones go by start.
    """

    name: str
    rule: str
    gpu: Callable[[Setting], Rule]
    start: Callable[[Setting], Rule]


def always(rule: Rule) -> Callable[[Setting], Rule]:
    """Make a rule that needs to know nothing beforehand."""
    return lambda _setting: rule


def anything(_option: Option) -> Key:
    """Find all options equal: the lowest index or start decides."""
    return ()


def fullest(option: Option) -> Key:
    """Prefer what takes most memory slices in all."""
    return (-option.after.bit_count(),)


def driver_start(option: Option) -> Key:
    """Prefer the starts NVIDIA's driver takes when it is not told where."""
    single = {1: (6, 4, 5, 0, 1, 2, 3), 2: (4, 0, 2, 6), 4: (4, 0), 8: (0,)}
    return (single[option.placement.size].index(option.placement.start),)


def hami_scan(option: Option) -> Key:
    """Scan 1g and 3g from the top, the others from the bottom."""
    from_the_top = option.profile.compute_slices in {1, 3}
    return (-option.placement.start if from_the_top else option.placement.start,)


def hami_score(setting: Setting) -> Rule:
    """Prefer halves left empty, then whole halves in the poorer half, then the edges."""
    parts, poor = regions(setting.geometry), poorer(setting.geometry)

    def rule(option: Option) -> Key:
        at = option.placement
        empty = sum(not mask(part) & option.after for part in parts)
        inside = [
            n for n, part in enumerate(parts) if part.start <= at.start and at.end <= part.end
        ]
        if len(parts) < 2 or not inside:
            return (-empty, 0, 0)
        part = parts[inside[0]]
        mismatch = (at.size == part.size) != (inside[0] == poor)
        distance = part.end - at.end if inside[0] == 0 else at.start - part.start
        return (-empty, mismatch, -distance)

    return rule


def mfi_increment(setting: Setting) -> Rule:
    """Prefer the least increase of the fragmentation score of MFI."""

    def score(bits: int) -> int:
        return sum(
            profile.memory_slices
            for profile in setting.plain
            if profile.memory_slices <= setting.free(bits)
            for at in profile.placements
            if mask(at) & bits
        )

    scores = [score(bits) for bits in setting.masks]
    return lambda option: (scores[option.after] - scores[option.before],)


def fgd_gradient(setting: Setting) -> Rule:
    """Prefer the least increase of the memory that the mix is expected to be unable to use."""
    total = sum(setting.mix.values())

    def fragmented(bits: int) -> float:
        return sum(
            setting.mix[profile.name] / total * setting.free(bits)
            for profile in setting.plain
            if all(mask(at) & bits for at in profile.placements)
        )

    scores = [fragmented(bits) for bits in setting.masks]
    return lambda option: (round(scores[option.after] - scores[option.before], 9),)


ORDERS = (
    Order(
        name="first fit, lowest start",
        rule="lowest GPU index, lowest start; what DAS (InstaSlice) does",
        gpu=always(anything),
        start=always(anything),
    ),
    Order(
        name="first fit, driver's start",
        rule="lowest GPU index; the start that NVIDIA's driver takes when not told (as observed)",
        gpu=always(anything),
        start=always(driver_start),
    ),
    Order(
        name="best fit",
        rule="the GPU with the fewest memory slices free, lowest start",
        gpu=always(fullest),
        start=always(anything),
    ),
    Order(
        name="HAMi's order",
        rule="lowest GPU index; 1g and 3g from the top, others from the bottom (before HAMi #2855)",
        gpu=always(anything),
        start=always(hami_scan),
    ),
    Order(
        name="HAMi's score",
        rule="lowest GPU index; halves left empty, whole halves in the half with fewer placements, "
        "then the edges (HAMi after #2855)",
        gpu=always(anything),
        start=hami_score,
    ),
    Order(
        name="MFI",
        rule="least increment of: memory of every placement partly taken, of profiles whose memory "
        "is still free (arXiv 2511.18906)",
        gpu=mfi_increment,
        start=mfi_increment,
    ),
    Order(
        name="FGD",
        rule="least gradient of: free memory times share of requests that fit nowhere on the GPU "
        "(Weng et al., ATC'23, whose GPUs have no placements)",
        gpu=fgd_gradient,
        start=fgd_gradient,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """What a policy does with one profile on a GPU of one mask."""

    key: Key
    placement: Placement


def tabulate(order: Order, setting: Setting) -> dict[str, dict[int, Ranked]]:
    """Work out what an order does with every profile on every mask."""
    gpu_rule, start_rule = order.gpu(setting), order.start(setting)
    table: dict[str, dict[int, Ranked]] = {}
    for profile in setting.plain:
        entries = table.setdefault(profile.name, {})
        for bits in setting.masks:
            options = list(options_on(profile, bits))
            if options:
                best = min(options, key=lambda o: (start_rule(o), o.placement))
                entries[bits] = Ranked(key=gpu_rule(best), placement=best.placement)
    return table


def options_on(profile: Profile, bits: int) -> Iterator[Option]:
    """List every way to put a profile on a GPU."""
    for at in profile.placements:
        if not mask(at) & bits:
            yield Option(
                profile=profile,
                placement=at,
                before=bits,
                after=bits | mask(at),
            )


class OrderedFleet:
    """A fleet on which a published order places."""

    def __init__(self, table: Mapping[str, Mapping[int, Ranked]], gpus: int) -> None:
        self._table = table
        self._masks = [0] * gpus
        self._members: dict[int, list[int]] = {0: list(range(gpus))}

    def place(self, profile: str) -> Spot | None:
        """Place one slice, or answer None."""
        entries = self._table[profile]
        found = [
            (entries[bits].key, members[0], bits)
            for bits, members in self._members.items()
            if bits in entries
        ]
        if not found:
            return None
        _, gpu, bits = min(found)
        placement = entries[bits].placement
        self._put(gpu, bits | mask(placement))
        return Spot(gpu=gpu, profile=profile, placement=placement)

    def release(self, spot: Spot) -> None:
        """Take it away again."""
        self._put(spot.gpu, self._masks[spot.gpu] & ~mask(spot.placement))

    def _put(self, gpu: int, bits: int) -> None:
        members = self._members[self._masks[gpu]]
        del members[bisect_left(members, gpu)]
        if not members:
            del self._members[self._masks[gpu]]
        insort(self._members.setdefault(bits, []), gpu)
        self._masks[gpu] = bits
