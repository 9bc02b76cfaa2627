"""The simulated machine on disk: one JSON file that several processes read and change.

A real driver is one; here every process brings its own code, so the file is what they share.
Reading needs no lock, because the file is only ever replaced whole. Changing takes a lock on a
file beside it, reads afresh, and replaces; what a change refuses leaves no trace.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gpuslice.errors import SimulatorStateError, UnknownBoardError
from gpuslice.simulator.locked_file import LockedFile, writing
from gpuslice.simulator.simulation import canonical_simulation
from gpuslice.simulator.state import MachineState, new_machine, state_from_json, state_to_json

T = TypeVar("T")

_SETTLED_NS = 50_000_000
"""Age from which a file's time stamp tells it from its successor; clocks of files are coarse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """What was read, and whether its stamp is enough to know it again."""

    stamp: tuple[int, int, int]
    settled: bool
    data: bytes
    state: MachineState


class Store:
    """The state file of one machine and this process's copy of it.

    The copy belongs to this object. It is good while the file has the same stamp, unless it was
    read so soon after it was written that a later file may have the same; then bytes are compared.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / "machine.json"
        self._path = str(self.file)
        self._shared = LockedFile(self.file)
        self._copy: _Copy | None = None

    @classmethod
    def open(cls, directory: Path, simulation: str) -> Store:
        """Open the machine of a directory, making it on first use.

        Raises:
            BadSimulationError: The simulation cannot be read.
            UnknownBoardError: It names a board nobody knows.
            SimulatorStateError: The directory holds another machine, or its state is damaged.
        """
        canonical = canonical_simulation(simulation)
        store = cls(directory)
        store._ensure(canonical)
        found = store.read().simulation
        if found != canonical:
            raise SimulatorStateError(
                f"{directory} holds the simulated machine {found!r}, not {canonical!r}.",
                hint="Use another directory, or remove this one to start a new machine.",
            )
        return store

    def read(self) -> MachineState:
        """Return the machine as it is now.

        Raises:
            SimulatorStateError: The file is gone or damaged; says which to remove.
        """
        try:
            info = os.stat(self._path)  # noqa: PTH116 - at every call, and twice as fast
            stamp = (info.st_mtime_ns, info.st_ino, info.st_size)
            copy = self._copy
            if copy is None or not copy.settled or copy.stamp != stamp:
                settled = time.time_ns() - info.st_mtime_ns > _SETTLED_NS
                copy = self._renewed(copy, stamp, settled=settled)
        except OSError as error:
            raise SimulatorStateError(
                f"The state of the simulated machine cannot be read: {error}.",
                hint="Start it again; a new machine is made where there is none.",
            ) from error
        self._copy = copy
        return copy.state

    def change(self, step: Callable[[MachineState], tuple[MachineState, T]]) -> T:
        """Change the machine as one step that no other process sees half done.

        Args:
            step: Takes the machine as it is, returns it as it shall be and an answer. What it
                raises is passed on, and nothing is changed.

        Returns:
            The answer of the step.
        """
        with self._shared.locked():
            before = self.read()
            after, answer = step(before)
            if after != before:
                self._write(after)
        return answer

    def _ensure(self, canonical: str) -> None:
        with writing(self.file.parent):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.file.exists():
                return
        with self._shared.locked():
            if not self.file.exists():
                self._write(new_machine(canonical))

    def _renewed(self, copy: _Copy | None, stamp: tuple[int, int, int], *, settled: bool) -> _Copy:
        data = self.file.read_bytes()
        state = copy.state if copy is not None and copy.data == data else self._parse(data)
        return _Copy(stamp=stamp, settled=settled, data=data, state=state)

    def _write(self, state: MachineState) -> None:
        # Syncing would take longer than all the rest, and a simulated machine need not survive a
        # power cut of the real one. Whole it is in any case.
        self._shared.replace(json.dumps(state_to_json(state)), durable=False)

    def _parse(self, data: bytes) -> MachineState:
        try:
            return state_from_json(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, UnknownBoardError) as error:
            raise SimulatorStateError(
                f"The state of the simulated machine is damaged: {self.file} ({error}).",
                hint=f"Remove {self.file} to start with a new machine.",
            ) from error
