"""The two files on disk: the record of a machine and the journal of a change under way.

Separate because these two are all that a machine's next agent knows of the last one. They are
written and read as every file of ours is (`gpuslice.private_files`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from gpuslice.errors import RecordError
from gpuslice.model.desired import Hooks, Record
from gpuslice.model.gpu import MigMode, Slice, SliceKey
from gpuslice.model.plan import PlannedSlice
from gpuslice.private_files import read_private, remove_private, write_private

JOURNAL_VERSION = 2
"""Raised when a journal of an earlier gpuslice would be misread."""


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
        made: The slice that a creation gave, once it is done.
        done: True once the driver has confirmed it.
        refused: True when the driver would not create it because another slice lies there: what
            is at its place is somebody else's.
    """

    gpu_uuid: str
    enabled_mig: bool = False
    disabled_mig: bool = False
    destroyed: Slice | None = None
    created: PlannedSlice | None = None
    made: SliceKey | None = None
    done: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuWas:
    """One GPU as it was before a change touched it.

    Attributes:
        gpu_uuid: Which.
        index: NVML index, for reports.
        mig: Its mode, or None where it has no MIG.
        slices: Everything that lay on it, ours and others'.
    """

    gpu_uuid: str
    index: int
    mig: MigMode | None
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """A change under way: what was before, what is wanted, and what has been touched since.

    Attributes:
        before: The record before the change.
        entries: What was touched, oldest first.
        was: Every GPU the change is to touch, as it was.
        wanted: What is to be done, in the order of the plan.
        boot_id: The life of the driver in which the change began; "" where nobody said.
        allow: Refusals that were lifted for it, which therefore are lifted for its undoing.
        hooks: Commands to be run before and after.
        opened: True once the commands before have begun and those after have not ended: whoever
            ends the change has to run the latter.
        version: Of the journal's form.
    """

    before: Record
    entries: tuple[Entry, ...] = ()
    was: tuple[GpuWas, ...] = ()
    wanted: tuple[Entry, ...] = ()
    boot_id: str = ""
    allow: tuple[str, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    opened: bool = False
    version: int = JOURNAL_VERSION


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
            RecordError: The file is damaged, of another version, or cannot be trusted.
        """
        return _read(self._journal_file, _journals, version=JOURNAL_VERSION)

    def write_journal(self, journal: Journal) -> None:
        """Replace the journal, synced to disk before this returns."""
        _write(self._journal_file, _journals().dump_json(journal, indent=1))

    def end_journal(self) -> None:
        """Say that no change is under way."""
        try:
            remove_private(self._journal_file)
        except OSError as error:
            raise RecordError(
                f"{self._journal_file} cannot be removed: {error.strerror}.",
                hint="Mend the folder's permissions, then run the command again.",
            ) from error


def _read(
    path: Path, adapter: Callable[[], TypeAdapter[T]], *, version: int | None = None
) -> T | None:
    try:
        text = read_private(path)
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give the file back to the user who runs gpuslice, or move it away.",
        ) from error
    if text is None:
        return None
    if version is not None:
        _check_version(path, text, version)
    try:
        return adapter().validate_json(text)
    except ValidationError as error:
        raise _damaged(path, f"{error.error_count()} problems") from error


def _check_version(path: Path, text: bytes, version: int) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is no JSON") from error
    found = value.get("version", 1) if isinstance(value, dict) else None
    if found != version and isinstance(found, int):
        raise RecordError(
            f"{path} is a journal of version {found}, and this gpuslice reads {version}.",
            hint="Finish that change with the gpuslice that began it, or look at the GPUs with "
            f"`gpuslice gpus` and move the file away: mv {path} {path}.old",
        )


def _damaged(path: Path, how: str) -> RecordError:
    return RecordError(
        f"{path} is damaged ({how}).",
        hint=f"Look at it, then move it away: mv {path} {path}.damaged",
    )


def _write(path: Path, text: bytes) -> None:
    try:
        write_private(path, text)
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Make room or set GPUSLICE_HOME to a folder you own.",
        ) from error
