"""A change on a simulated machine that goes wrong on demand: at the n-th call, error or kill.

Everything is the shipped part (driver, simulator, journal on disk) but one thin layer between the
change and the driver, which fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gpuslice.apply.record import Journal, RecordStore
from gpuslice.apply.slices import Notebook, carry_out
from gpuslice.driver.api import Driver
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.event import Event
from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice, SliceUse
from gpuslice.model.plan import PlannedSlice
from gpuslice.planner.ordering.steps import Step

T = TypeVar("T")


class KilledError(BaseException):
    """Stands for ``kill -9``: no handler of the program may see it."""


@dataclass(slots=True)
class FailingDriver:
    """Passes every call on, but for the n-th that changes something. Owned by its test.

    Attributes:
        driver: The driver that does the work.
        fails_at: Which changing call goes wrong, counted from 0; None for none.
        error: How it goes wrong.
        afterwards: True when the deed is done first, and only then it goes wrong.
        before: Called before every changing call.
        changes: How many changing calls there were.
    """

    driver: Driver
    fails_at: int | None = None
    error: Callable[[], BaseException] = KilledError
    afterwards: bool = False
    before: Callable[[], None] = lambda: None
    changes: int = 0

    def read(self) -> Observed:
        return self.driver.read()

    def read_gpu(self, gpu_uuid: str) -> Gpu:
        return self.driver.read_gpu(gpu_uuid)

    def survey(self) -> Observed:
        return self.driver.survey()

    def boot_id(self) -> str:
        return self.driver.boot_id()

    def read_use(self, gpu_uuid: str) -> dict[int, SliceUse]:
        return self.driver.read_use(gpu_uuid)

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        return self.driver.read_processes(gpu_uuid)

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool, reset: bool = False) -> None:
        self._change(lambda: self.driver.set_mig_mode(gpu_uuid, enabled=enabled, reset=reset))

    def set_persistence_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        self._change(lambda: self.driver.set_persistence_mode(gpu_uuid, enabled=enabled))

    def reset_gpu(self, gpu_uuid: str) -> None:
        self._change(lambda: self.driver.reset_gpu(gpu_uuid))

    def create_slice(self, planned: PlannedSlice) -> Slice:
        return self._change(lambda: self.driver.create_slice(planned))

    def destroy_slice(self, slice_: Slice) -> None:
        self._change(lambda: self.driver.destroy_slice(slice_))

    def _change(self, deed: Callable[[], T]) -> T:
        self.before()
        number, self.changes = self.changes, self.changes + 1
        if number == self.fails_at and not self.afterwards:
            raise self.error()
        done = deed()
        if number == self.fails_at:
            raise self.error()
        return done


@dataclass(slots=True, kw_only=True)
class Bench:
    """A machine, its record on disk, and changes on it. Owned by its test.

    Attributes:
        driver: The machine's driver.
        folder: Where record and journal lie.
        events: Everything that was reported.
    """

    driver: Driver
    folder: Path
    events: list[Event] = field(default_factory=list)

    def store(self) -> RecordStore:
        """Open the two files as a fresh process would."""
        return RecordStore(self.folder / "record.json", self.folder / "change.json")

    def journal(self) -> Journal:
        """The change under way, as a fresh process reads it from disk."""
        journal = self.store().read_journal()
        assert journal is not None, "no change is under way"
        return journal

    def change(
        self,
        steps: Sequence[Step],
        before: Record,
        *,
        driver: Driver | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[tuple[Slice, ReplicaId | None], ...]:
        """Carry steps out, noting them on disk."""
        notebook = Notebook(self.store(), before)
        return carry_out(steps, driver or self.driver, notebook, self.events.append, check)

    def texts(self) -> list[str]:
        """What was reported, line by line."""
        return [event.text for event in self.events]


def layout(observed: Observed) -> dict[str, tuple[bool, tuple[tuple[str, str, bool], ...]]]:
    """Modes and slices of a machine, without the ids that may change when a slice is remade."""
    return {
        gpu.uuid: (
            gpu.mig is not None and gpu.mig.current,
            tuple((s.profile, str(s.placement), s.uuid is not None) for s in gpu.slices),
        )
        for gpu in observed.gpus
    }
