"""The journal of the change under way, as it is written: every note is on disk at once.

Separate from the file it goes into (`gpuslice.apply.record`), because a change with several GPUs
has several hands, and one note must not overwrite another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, assert_never

from gpuslice.apply.record import Entry, GpuWas, Journal, RecordStore
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, SliceKey
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig, Step


class Notebook:
    """Owned by one change; its notes may come from several threads.

    Args:
        store: Where the journal lies.
        before: The record before the change.
        more: Further fields of the journal, such as ``allow``.
    """

    def __init__(self, store: RecordStore, before: Record, **more: Any) -> None:
        self._store = store
        self._turn = threading.Lock()
        self.journal = Journal(before=before, **more)
        store.write_journal(self.journal)

    @property
    def begun(self) -> bool:
        """True once the steps of the change are noted."""
        return bool(self.journal.wanted)

    def begin(self, gpus: Iterable[Gpu], steps: Iterable[Step], boot_id: str) -> None:
        """Note how the GPUs are that will be touched, and all that is to be done to them."""
        was = tuple(
            GpuWas(gpu_uuid=gpu.uuid, index=gpu.index, mig=gpu.mig, slices=gpu.slices)
            for gpu in gpus
        )
        wanted = tuple(entry_of(step) for step in steps)
        with self._turn:
            self._write(replace(self.journal, was=was, wanted=wanted, boot_id=boot_id))

    def note_hooks(self, *, opened: bool) -> None:
        """Note that the commands before have begun, or that those after have ended."""
        with self._turn:
            self._write(replace(self.journal, opened=opened))

    def intend(self, entry: Entry) -> int:
        """Note what is about to be done; returns the number by which to confirm it."""
        with self._turn:
            self._write(replace(self.journal, entries=(*self.journal.entries, entry)))
            return len(self.journal.entries) - 1

    def confirm(self, number: int = -1, *, made: SliceKey | None = None) -> None:
        """Note that an intention, the last one unless told otherwise, has become a deed."""
        self._amend(number, done=True, made=made)

    def refuse(self, number: int) -> None:
        """Note that a creation was refused for another slice, which is therefore not ours."""
        self._amend(number, refused=True)

    def _amend(self, number: int, **changes: Any) -> None:
        with self._turn:
            entries = list(self.journal.entries)
            entries[number] = replace(entries[number], **changes)
            self._write(replace(self.journal, entries=tuple(entries)))

    def _write(self, journal: Journal) -> None:
        self._store.write_journal(journal)
        self.journal = journal


def entry_of(step: Step) -> Entry:
    """Write a step as an intention."""
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
