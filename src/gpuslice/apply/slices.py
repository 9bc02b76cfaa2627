"""Carry out the steps of a plan on the GPUs, and the way back.

Model: a change is a list of steps, each legal when its turn comes. Before a step its *intention* is
written to the journal and synced; after the driver has read the result back, the intention becomes
a deed. Undoing walks the journal backwards and asks the world, not the journal, what is there:

* an intended or done creation is undone by destroying what lies at that placement, if anything;
* an intended or done destruction is undone by creating the same profile at the same placement, if
  nothing lies there;
* an intended or done switch of MIG mode on is undone by switching it off, if it is on and empty,
  and one off by switching it on, if it is off.

Each of them does nothing when there is nothing to do, so undoing may itself be killed and
repeated from the start, and a kill between a deed and its note in the journal does no harm.
Placements are explicit everywhere, so what comes back is what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from gpuslice.apply.record import Entry, Journal, RecordStore
from gpuslice.driver.api import Driver
from gpuslice.errors import ApplyError, DriverError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Owned, PlannedSlice
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    by_hand,
    describe,
)


class Notebook:
    """The journal of the change under way. One change owns it; every note is on disk at once."""

    def __init__(self, store: RecordStore, before: Record) -> None:
        self._store = store
        self.journal = Journal(before=before)
        store.write_journal(self.journal)

    def intend(self, entry: Entry) -> None:
        """Note what is about to be done."""
        self._replace((*self.journal.entries, entry))

    def confirm(self) -> None:
        """Note that the last intention has become a deed."""
        *earlier, last = self.journal.entries
        self._replace((*earlier, replace(last, done=True)))

    def _replace(self, entries: tuple[Entry, ...]) -> None:
        self.journal = replace(self.journal, entries=entries)
        self._store.write_journal(self.journal)


def carry_out(
    steps: Sequence[Step],
    driver: Driver,
    notebook: Notebook,
    report: Report,
    check: Callable[[], None],
) -> tuple[tuple[Slice, ReplicaId | None], ...]:
    """Carry out the steps in order.

    Args:
        steps: From the plan, each legal when its turn comes.
        driver: What they are carried out with.
        notebook: Where each step is noted before and after.
        report: Where progress goes.
        check: Called before each step; raises to stop the change (Ctrl-C).

    Returns:
        Every created slice with the replica it is for.

    Raises:
        DriverError: A step failed; the journal says how far it came.
    """
    observed = driver.read()
    created: list[tuple[Slice, ReplicaId | None]] = []
    for step in steps:
        check()
        notebook.intend(_entry(step))
        report(
            Event(
                kind=EventKind.STEP,
                text=describe(step, observed.gpus),
                by_hand=by_hand(step, observed),
            )
        )
        slice_ = _do(step, driver)
        notebook.confirm()
        if slice_ is not None and isinstance(step, CreateSlice):
            created.append((slice_, step.replica))
    return tuple(created)


def undo(journal: Journal, driver: Driver, report: Report) -> Record:
    """Bring the slices and modes back to what they were before the change.

    Args:
        journal: The change to undo.
        driver: What it is undone with.
        report: Where progress goes.

    Returns:
        The record as it was, with the instance ids of slices that had to be made anew.

    Raises:
        ApplyError: The hardware did not let go of something; says what is left. The journal is
            still good for another try.
    """
    record = journal.before
    failures: list[str] = []
    for entry in reversed(journal.entries):
        try:
            record = _undo_entry(entry, driver, record, report)
        except DriverError as error:
            failures.append(f"{error.message} {error.hint}".strip())
    if failures:
        raise ApplyError(
            "The change could not be undone completely.",
            hint="Remove the cause and run `gpuslice down` again: it finishes the undoing.",
            details=tuple(failures),
        )
    return record


def _entry(step: Step) -> Entry:
    match step:
        case EnableMig(gpu_uuid=uuid):
            return Entry(gpu_uuid=uuid, enabled_mig=True)
        case DisableMig(gpu_uuid=uuid):
            return Entry(gpu_uuid=uuid, disabled_mig=True)
        case DestroySlice(slice=slice_):
            return Entry(gpu_uuid=slice_.gpu_uuid, destroyed=slice_)
        case CreateSlice(planned=planned):
            return Entry(gpu_uuid=planned.gpu_uuid, created=planned)
        case _:
            assert_never(step)


def _do(step: Step, driver: Driver) -> Slice | None:
    match step:
        case EnableMig(gpu_uuid=uuid):
            driver.set_mig_mode(uuid, enabled=True)
        case DisableMig(gpu_uuid=uuid):
            driver.set_mig_mode(uuid, enabled=False)
        case DestroySlice(slice=slice_):
            driver.destroy_slice(slice_)
        case CreateSlice(planned=planned):
            return driver.create_slice(planned)
        case _:
            assert_never(step)
    return None


def _undo_entry(entry: Entry, driver: Driver, record: Record, report: Report) -> Record:
    gpu = driver.read().gpu(entry.gpu_uuid)
    if entry.created is not None:
        _undo_creation(entry.created, gpu, driver, report)
    elif entry.destroyed is not None:
        return _undo_destruction(entry.destroyed, gpu, driver, record, report)
    elif entry.enabled_mig and gpu.mig is not None and gpu.mig.current and not gpu.slices:
        _say(report, f"GPU {gpu.index}: disable MIG mode again")
        driver.set_mig_mode(gpu.uuid, enabled=False)
    elif entry.disabled_mig and gpu.mig is not None and not gpu.mig.current:
        _say(report, f"GPU {gpu.index}: enable MIG mode again")
        driver.set_mig_mode(gpu.uuid, enabled=True)
    return record


def _undo_creation(planned: PlannedSlice, gpu: Gpu, driver: Driver, report: Report) -> None:
    lying = _slice_at(gpu, planned.placement)
    if lying is not None and lying.profile == planned.profile:
        _say(report, f"GPU {gpu.index}: destroy {lying.profile} at {lying.placement}")
        driver.destroy_slice(lying)


def _undo_destruction(
    slice_: Slice, gpu: Gpu, driver: Driver, record: Record, report: Report
) -> Record:
    lying = _slice_at(gpu, slice_.placement)
    if lying is not None and lying.profile != slice_.profile:
        raise DriverError(
            f"GPU {gpu.index}: somebody else's {lying.profile} lies at {slice_.placement}, "
            f"where {slice_.profile} was."
        )
    if lying is not None and lying.uuid is None and slice_.uuid is not None:
        driver.destroy_slice(lying)  # killed between its two halves: the compute instance is gone
        lying = None
    if lying is None:
        _say(report, f"GPU {gpu.index}: create {slice_.profile} at {slice_.placement} again")
        lying = driver.create_slice(_as_planned(slice_, gpu))
    return replace(record, owned=tuple(_renamed(owned, slice_, lying) for owned in record.owned))


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
    )


def _renamed(owned: Owned, old: Slice, new: Slice) -> Owned:
    return replace(owned, slice=new.key) if owned.slice == old.key else owned


def _slice_at(gpu: Gpu, placement: Placement) -> Slice | None:
    return next((s for s in gpu.slices if s.placement == placement), None)


def _say(report: Report, text: str) -> None:
    report(Event(kind=EventKind.UNDO, text=text))
