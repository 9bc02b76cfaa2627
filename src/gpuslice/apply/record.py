"""The two files on disk: the record of a machine and the journal of a change under way.

Separate because these two are all that a machine's next agent knows of the last one. They are
written and read as every file of ours is (`gpuslice.private_files`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from gpuslice.errors import RecordError
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import PlannedSlice
from gpuslice.private_files import read_private, remove_private, write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing a change is about to do or has done to the slices of a machine.

    Written before the deed as an intention (``done`` false) and again after it. An intention
    without its deed may or may not have happened: what NVML shows decides.

    Attributes:
        gpu_uuid: The GPU concerned.
        enabled_mig: True when the deed is switching MIG on.
        disabled_mig: True when the deed is switching MIG off.
        destroyed: The slice that is destroyed, if it is that.
        created: The slice that is created, if it is that.
        done: True once the driver has confirmed it.
    """

    gpu_uuid: str
    enabled_mig: bool = False
    disabled_mig: bool = False
    destroyed: Slice | None = None
    created: PlannedSlice | None = None
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A change under way: what was before, and what has been touched since.

    Attributes:
        before: The record before the change.
        entries: What was touched, oldest first.
    """

    before: Record
    entries: tuple[Entry, ...] = ()


@cache
def _records() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


@cache
def _journals() -> TypeAdapter[Journal]:
    return TypeAdapter(Journal)


T = TypeVar("T")


class RecordStore:
    """Reads and writes the two files of one machine. Owned by whoever holds the agent's lock."""

    def __init__(self, record_file: Path, journal_file: Path) -> None:
        self._record_file = record_file
        self._journal_file = journal_file

    def read_record(self) -> Record:
        """Return what is recorded; an empty record where there is none.

        Raises:
            RecordError: The file is damaged or cannot be trusted.
        """
        return _read(self._record_file, _records) or Record()

    def write_record(self, record: Record) -> None:
        """Replace the record, synced to disk before this returns."""
        _write(self._record_file, _records().dump_json(record, indent=1))

    def read_journal(self) -> Journal | None:
        """Return the change under way, or None.

        Raises:
            RecordError: The file is damaged or cannot be trusted.
        """
        return _read(self._journal_file, _journals)

    def write_journal(self, journal: Journal) -> None:
        """Replace the journal, synced to disk before this returns."""
        _write(self._journal_file, _journals().dump_json(journal, indent=1))

    def end_journal(self) -> None:
        """Say that no change is under way."""
        remove_private(self._journal_file)


def _read(path: Path, adapter: Callable[[], TypeAdapter[T]]) -> T | None:
    try:
        text = read_private(path)
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give the file back to the user who runs gpuslice, or move it away.",
        ) from error
    if text is None:
        return None
    try:
        return adapter().validate_json(text)
    except ValidationError as error:
        raise RecordError(
            f"{path} is damaged ({error.error_count()} problems).",
            hint=f"Look at it, then move it away: mv {path} {path}.damaged",
        ) from error


def _write(path: Path, text: bytes) -> None:
    try:
        write_private(path, text)
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Make room or set GPUSLICE_HOME to a folder you own.",
        ) from error
