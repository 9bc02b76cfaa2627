"""Faults on disk: those that strike every process that opens a machine, and their counters.

For a person who wants to see what a tool does when a driver misbehaves, and for tests of whole
commands. Where no fault was ever added there is no file, and a call costs one look for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuslice.errors import SimulatorStateError
from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import Effect, Fail, Fault, Hang, Hold, LoseGpu, ModePending, Reboot
from gpuslice.simulator.injector import Due
from gpuslice.simulator.locked_file import LockedFile

FORMAT = 1
_POLL_S = 0.02
_KINDS: dict[str, type[Any]] = {
    "error": Fail,
    "hang": Hang,
    "lose-gpu": LoseGpu,
    "client": Hold,
    "mode-pending": ModePending,
    "reboot": Reboot,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFault:
    """A fault of a machine.

    Attributes:
        id: Names it while the machine has faults; never used twice meanwhile.
        fault: The fault.
        seen: Calls it has counted so far, over all processes.
    """

    id: int
    fault: Fault
    seen: int = 0

    @property
    def struck(self) -> int:
        """How many calls it has struck so far."""
        past = max(0, self.seen - self.fault.at + 1)
        return past if self.fault.times is None else min(past, self.fault.times)


class FaultFile:
    """The faults of one machine, shared by all its processes. Holds nothing of them itself.

    Args:
        directory: The machine's.
    """

    def __init__(self, directory: Path) -> None:
        self._shared = LockedFile(directory / "faults.json")
        self._path = str(self._shared.path)

    def exists(self) -> bool:
        """Tell whether the machine has faults at all; quick, for it is asked at every call."""
        return os.access(self._path, os.F_OK)  # the quickest there is: one call, no exception

    def list(self) -> tuple[StoredFault, ...]:
        """Return the faults in the order in which they were added.

        Raises:
            SimulatorStateError: The file is damaged; says which to remove.
        """
        try:
            return _faults_from(json.loads(self._shared.path.read_bytes()))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SimulatorStateError(
                f"The faults of the simulated machine cannot be read: {self._path} ({error!r}).",
                hint=f"Remove {self._path}; the machine itself is not in it.",
            ) from error

    def add(self, *faults: Fault) -> tuple[StoredFault, ...]:
        """Add faults; each counts calls from now on."""
        with self._shared.locked():
            there = self.list()
            first = 1 + max((stored.id for stored in there), default=0)
            added = tuple(
                StoredFault(id=number, fault=fault) for number, fault in enumerate(faults, first)
            )
            self._write((*there, *added))
        return added

    def clear(self) -> tuple[StoredFault, ...]:
        """Take all faults away, so that calls that hang go on, and return them.

        What they did to the machine stays.
        """
        with self._shared.locked():
            there = self.list()
            self._shared.path.unlink(missing_ok=True)
        return there

    def enter(self, call: str, gpu: int | None) -> tuple[Due, ...]:
        """Count a call, and return the faults that it concerns."""
        with self._shared.locked():
            there = self.list()
            counted = tuple(
                dataclasses.replace(stored, seen=stored.seen + stored.fault.concerns(call, gpu))
                for stored in there
            )
            if counted != there:
                self._write(counted)
        return tuple(
            Due(fault=stored.fault, number=stored.seen)
            for stored, before in zip(counted, there, strict=True)
            if stored.seen > before.seen
        )

    def hang(self, hang: Hang, fault: Fault) -> None:
        """Keep the calling thread until the fault is cleared, or for as long as it says."""
        began = time.monotonic()
        while hang.seconds is None or time.monotonic() - began < hang.seconds:
            if all(stored.fault != fault for stored in self.list()):
                return
            time.sleep(_POLL_S)

    def _write(self, faults: tuple[StoredFault, ...]) -> None:
        entries = [stored_as_json(stored) for stored in faults]
        self._shared.replace(json.dumps({"format": FORMAT, "faults": entries}), durable=False)


def stored_as_json(stored: StoredFault) -> dict[str, Any]:
    """Turn a fault with its counter into plain values."""
    fault = stored.fault
    kind = next(name for name, cls in _KINDS.items() if isinstance(fault.effect, cls))
    effect = dataclasses.asdict(fault.effect)
    if isinstance(fault.effect, Fail | ModePending):
        effect["code"] = fault.effect.code.name
    return {
        "id": stored.id,
        "seen": stored.seen,
        **dataclasses.asdict(fault),
        "effect": {"kind": kind, **effect},
    }


def _faults_from(document: Mapping[str, Any]) -> tuple[StoredFault, ...]:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}, expected {FORMAT}")
    return tuple(_stored_from(entry) for entry in document["faults"])


def _stored_from(entry: Mapping[str, Any]) -> StoredFault:
    fields = dict(entry)
    number, seen = fields.pop("id"), fields.pop("seen")
    effect = _effect_from(fields.pop("effect"))
    return StoredFault(id=number, seen=seen, fault=Fault(effect=effect, **fields))


def _effect_from(entry: Mapping[str, Any]) -> Effect:
    fields = dict(entry)
    kind = _KINDS[fields.pop("kind")]
    if kind in (Fail, ModePending):
        fields["code"] = Code[fields["code"]]
    effect: Effect = kind(**fields)
    return effect
