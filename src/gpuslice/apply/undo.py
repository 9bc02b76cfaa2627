"""The way back: from whatever a change has left to what was before it.

Model: the journal says what was touched, the driver what is there, and `gpuslice.apply.due` holds
one against the other. For each GPU that was touched,

* a slice that lies where one was created, or was about to be, is destroyed;
* a slice that was destroyed, or was about to be, and is not there is created at its placement;
* the mode is what it was: switched on before anything is created, and off once nothing lies there.

The order of the steps is not walked backwards. It does not matter: what was there fitted together,
so once the change's own slices are gone everything that is missing has room.

What is due follows from what is there, never from how far somebody believes to have come. So
undoing may be killed and repeated, an intention without a deed needs no guess, and success is not
the absence of an error but that nothing is due any more when the GPU is read again.

*Others' slices* are never destroyed. Where one lies in the room that ours had, the undoing stops
there (`foreign-slices`) until it is told to give our old slice up. One case cannot be told apart: a
change is killed after it noted a creation and before it made it, and before the next command
somebody makes the same profile at the same placement. It is taken for ours; a process on it keeps
it from being destroyed.

*Over a reboot* slices are gone, with whomever they belonged to; then only modes are brought back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import assert_never

from gpuslice.apply.due import BringBack, Due, SwitchBack, TakeAway, Touched, due, same_place
from gpuslice.apply.record import GpuWas, Journal
from gpuslice.apply.refusals import Refusal, lifted_by
from gpuslice.driver.api import Driver
from gpuslice.errors import ApplyError, DriverError, ForeignSlicesError
from gpuslice.model.desired import Record
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.gpu import Gpu, MigMode, Slice, SliceKey
from gpuslice.model.plan import PlannedSlice

ROUNDS = 2
"""How often a GPU is tried: an error that passes by itself is no reason to leave anything."""


def undo(
    journal: Journal,
    driver: Driver,
    report: Report,
    *,
    allow: Collection[str] = (),
    finish: str = "gpuslice down",
) -> Record:
    """Bring the slices and modes back to what they were before the change.

    Args:
        journal: The change to undo.
        driver: What it is undone with.
        report: Where progress goes.
        allow: Refusals that are lifted, by name; those the change itself had lifted are as well.
        finish: The command that finishes, should something be left.

    Returns:
        The record as it was, with the instance ids of slices that had to be made anew, and without
        those that were given up.

    Raises:
        ForeignSlicesError: Somebody else's slice lies where one of ours was, and all else is done.
        ApplyError: The hardware did not let go of something; says what is left, GPU by GPU. The
            journal is still good for another try.
    """
    undoing = _Undoing(driver=driver, report=report, allow={*allow, *journal.allow})
    live = journal.boot_id in ("", driver.boot_id())
    for uuid in dict.fromkeys(entry.gpu_uuid for entry in reversed(journal.entries)):
        was = next((was for was in journal.was if was.gpu_uuid == uuid), None)
        undoing.gpu(uuid, _touched(journal, uuid, was, live=live), was)
    undoing.raise_if_left(finish)
    return _as_it_is_now(journal.before, undoing)


@dataclass(kw_only=True)
class _Undoing:
    """What has come back and what has not. Owned by one call of `undo`.

    Attributes:
        again: Slices that were made anew, by the key they had.
        given_up: Slices that do not come back.
        foreign: Slices in whose room somebody else's lies.
        left: What is left, line by line.
        stuck: True when something else than others' slices was in the way.
    """

    driver: Driver
    report: Report
    allow: set[str]
    again: dict[SliceKey, SliceKey] = field(default_factory=dict)
    given_up: set[SliceKey] = field(default_factory=set)
    foreign: set[SliceKey] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    stuck: bool = False

    def gpu(self, uuid: str, touched: Touched, was: GpuWas | None) -> None:
        """Do what is due on one GPU, and note what is left of it."""
        causes: list[str] = []
        remaining: tuple[Due, ...] | None = None
        for _ in range(ROUNDS):
            try:
                causes = self._round(uuid, touched)
                gpu = self._read(uuid)
            except DriverError as error:
                causes, remaining = [_words(error)], None
                continue
            remaining = due(touched, gpu, self.given_up)
            if not remaining:
                self._find_again(touched, gpu)
                return
            causes += [one.words(left=True) for one in remaining]
        self.stuck |= remaining is None or not all(map(self._waits_for_others, remaining))
        name = f"GPU {was.index}" if was is not None else f"GPU {uuid}"
        self.left += [f"{name}: {cause}" for cause in dict.fromkeys(causes)]

    def raise_if_left(self, finish: str) -> None:
        """Tell what is left, if anything is."""
        if not self.left:
            return
        if not self.stuck:
            raise ForeignSlicesError(
                "The change could not be undone completely: somebody else's slices lie where ours "
                "were.",
                hint=f"Remove them and repeat, or give our old slices up: `{finish} "
                f"{lifted_by(Refusal.FOREIGN_SLICES)}`.",
                details=tuple(self.left),
            )
        raise ApplyError(
            "The change could not be undone completely.",
            hint=f"Remove the cause and run `{finish}`: it finishes the undoing first.",
            details=tuple(self.left),
        )

    def _round(self, uuid: str, touched: Touched) -> list[str]:
        """Try once everything that is due; return what went wrong."""
        causes: list[str] = []
        gpu = self._read(uuid)
        for one in due(touched, gpu, self.given_up):
            if isinstance(one, SwitchBack) and not one.on and causes:
                continue  # something still lies there
            try:
                self._do(one, gpu)
            except DriverError as error:
                causes.append(_words(error))
        return causes

    def _read(self, uuid: str) -> Gpu:
        """Read a GPU; one that does not tell its mode tells nothing about its slices either."""
        gpu = self.driver.read_gpu(uuid)
        if gpu.mig is None:
            raise DriverError(f"GPU {gpu.index} does not tell its MIG mode any more.")
        return gpu

    def _waits_for_others(self, one: Due) -> bool:
        return isinstance(one, BringBack) and one.slice.key in self.foreign

    def _do(self, one: Due, gpu: Gpu) -> None:
        match one:
            case SwitchBack(on=on):
                self._say(gpu, one)
                reset = Refusal.GPU_RESET in self.allow
                self.driver.set_mig_mode(gpu.uuid, enabled=on, reset=reset)
            case TakeAway(slice=slice_):
                self._say(gpu, one)
                self.driver.destroy_slice(slice_)
            case BringBack(slice=slice_):
                self._bring_back(slice_, one)
            case _:
                assert_never(one)

    def _bring_back(self, old: Slice, one: BringBack) -> None:
        gpu = self._read(old.gpu_uuid)  # what was in the way may have gone since
        lying = next((s for s in gpu.slices if s.placement.overlaps(old.placement)), None)
        if lying is None:
            self._say(gpu, one)
            self.driver.create_slice(_as_planned(old, gpu))
        elif same_place(lying, old):  # half of ours: a kill between its two halves
            self.driver.destroy_slice(lying)
            self._say(gpu, one)
            self.driver.create_slice(_as_planned(old, gpu))
        else:
            self._meet_foreign(lying, old, gpu)

    def _meet_foreign(self, lying: Slice, old: Slice, gpu: Gpu) -> None:
        text = (
            f"somebody else's {lying.profile} lies at {lying.placement}, where {old.profile} "
            f"at {old.placement} was"
        )
        if Refusal.FOREIGN_SLICES in self.allow:
            self.given_up.add(old.key)
            given = f"GPU {gpu.index}: {text}, which is given up"
            self.report(Event(kind=EventKind.NOTE, text=given))
            return
        self.foreign.add(old.key)
        raise DriverError(text)

    def _find_again(self, touched: Touched, gpu: Gpu) -> None:
        """Note under which ids the slices that were destroyed are there now."""
        for old in touched.destroyed:
            lying = next((s for s in gpu.slices if same_place(s, old)), None)
            if lying is not None:
                self.again[old.key] = lying.key

    def _say(self, gpu: Gpu, one: Due) -> None:
        text = f"GPU {gpu.index}: {one.words(left=False)}"
        self.report(Event(kind=EventKind.UNDO, text=text))


def _touched(journal: Journal, uuid: str, was: GpuWas | None, *, live: bool) -> Touched:
    entries = tuple(entry for entry in journal.entries if entry.gpu_uuid == uuid)
    mig = was.mig if was is not None else None
    if not any(entry.enabled_mig or entry.disabled_mig for entry in entries):
        mig = None
    elif was is None:  # a journal that does not say: the first switch tells what was before it
        on = next(e.disabled_mig for e in entries if e.enabled_mig or e.disabled_mig)
        mig = MigMode(current=on, pending=on)
    return Touched(entries=entries, mig=mig, slices_live=live)


def _as_planned(slice_: Slice, gpu: Gpu) -> PlannedSlice:
    profile = gpu.geometry.named(slice_.profile) if gpu.geometry else None
    if profile is None:
        raise DriverError(f"GPU {gpu.index} no longer offers {slice_.profile}.")
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=slice_.placement,
        profile=profile.name,
        profile_id=profile.id,
        memory_mib=profile.memory_mib,
        parts=tuple(part.compute_slices for part in slice_.parts),
    )


def _words(error: DriverError) -> str:
    return " ".join((error.message, *error.details, error.hint)).strip()


def _as_it_is_now(before: Record, undoing: _Undoing) -> Record:
    kept = (owned for owned in before.owned if owned.slice not in undoing.given_up)
    owned = tuple(replace(o, slice=undoing.again.get(o.slice, o.slice)) for o in kept)
    return replace(before, owned=owned)
