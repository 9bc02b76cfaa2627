"""What has still to be undone on one GPU: what a change touched against what is there. Pure.

Separate from the undoing, which has effects, because everything rests on this comparison: that
undoing may be killed and repeated, that an intention without a deed needs no guess, and that
success means that nothing is due.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gpuslice.apply.record import Entry
from gpuslice.model.gpu import Gpu, MigMode, Slice, SliceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchBack:
    """MIG mode is not what it was."""

    on: bool

    def words(self, *, left: bool) -> str:
        """Say what is done, or what is left."""
        mode = "on" if self.on else "off"
        undone = "enable" if self.on else "disable"
        return f"MIG mode is still to be switched {mode}" if left else f"{undone} MIG mode again"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeAway:
    """A slice that the change made is there."""

    slice: Slice

    def words(self, *, left: bool) -> str:
        """Say what is done, or what is left."""
        place = f"{self.slice.profile} at {self.slice.placement}"
        return f"{place}, made by the change, is still there" if left else f"destroy {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BringBack:
    """A slice that the change destroyed is not there."""

    slice: Slice

    def words(self, *, left: bool) -> str:
        """Say what is done, or what is left."""
        place = f"{self.slice.profile} at {self.slice.placement}"
        return f"{place}, destroyed by the change, is missing" if left else f"create {place} again"


Due = SwitchBack | TakeAway | BringBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a change touched, or was about to touch, on one GPU.

    Attributes:
        entries: From the journal, oldest first.
        mig: The mode before, or None where that is not known and no mode was touched.
        slices_live: False after a reboot: then what lies there is of another life.
    """

    entries: tuple[Entry, ...]
    mig: MigMode | None = None
    slices_live: bool = True

    @property
    def destroyed(self) -> tuple[Slice, ...]:
        """Slices that went, or were about to."""
        return tuple(e.destroyed for e in self.entries if e.destroyed is not None)


def due(touched: Touched, gpu: Gpu, given_up: Collection[SliceKey] = ()) -> tuple[Due, ...]:
    """Say what has still to be done so that a GPU is what it was, in an order that is legal.

    Args:
        touched: What the change touched on it.
        gpu: The GPU as it is now.
        given_up: Slices that are not to come back.
    """
    assert gpu.mig is not None, "read by a caller that has made sure"
    mine = tuple(_made_by_change(touched, gpu)) if touched.slices_live else ()
    missing = tuple(_missing(touched, gpu, given_up)) if touched.slices_live else ()
    switch = _switch(touched, gpu.mig)
    on_first = (switch,) if switch is not None and switch.on else ()
    staying = [s for s in gpu.slices if all(s.key != one.slice.key for one in mine)]
    off_last = (switch,) if switch is not None and not switch.on and not staying else ()
    return (*on_first, *mine, *missing, *off_last)


def _switch(touched: Touched, now: MigMode) -> SwitchBack | None:
    """Say how the mode has to be switched; what is pending counts as well as what is."""
    was = touched.mig
    if was is None or now == was:
        return None
    if was.current != was.pending and now.current == was.current:
        return None  # it was pending already; who asked for that is not known
    return SwitchBack(on=was.current)


def _made_by_change(touched: Touched, gpu: Gpu) -> Iterator[TakeAway]:
    """Find the slices the change made: known by key, or lying where one was about to be made."""
    back = touched.destroyed
    for lying in gpu.slices:
        if any(same_place(lying, old) for old in back):
            continue  # it was there before, or has been brought back
        if any(_is_of(lying, e) for e in touched.entries if e.created is not None):
            yield TakeAway(slice=lying)


def _is_of(lying: Slice, entry: Entry) -> bool:
    if entry.refused or entry.created is None:
        return False
    if entry.made is not None:
        return lying.key == entry.made
    return (lying.profile, lying.placement) == (entry.created.profile, entry.created.placement)


def _missing(touched: Touched, gpu: Gpu, given_up: Collection[SliceKey]) -> Iterator[BringBack]:
    for old in touched.destroyed:
        if old.key in given_up:
            continue
        lying = next((s for s in gpu.slices if same_place(s, old)), None)
        if lying is None or (_shape(lying) != _shape(old) and old.uuid is not None):
            yield BringBack(slice=old)


def same_place(one: Slice, other: Slice) -> bool:
    """Tell whether two slices are alike in profile and placement, whatever their ids."""
    return (one.profile, one.placement) == (other.profile, other.placement)


def _shape(slice_: Slice) -> tuple[bool, tuple[int, ...]]:
    """Whether a slice is whole, and how it is divided."""
    return slice_.compute_instance_id is not None, tuple(p.compute_slices for p in slice_.parts)
