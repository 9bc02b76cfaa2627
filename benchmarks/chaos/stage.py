"""One machine for one trial: made as the scenario wants, broken on demand, seen from behind.

The machine is the shipped simulator, and driver, journal and files are the shipped ones. What looks
at it afterwards does not go through the driver, which may be fooled by a fault, but reads the
simulator's own state.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chaos.scenarios import FAMILIES, SCENARIOS, Scene, build

from gpuslice import simulator
from gpuslice.apply.record import Journal, RecordStore
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.patience import Patience
from gpuslice.driver.reset import code_resetter
from gpuslice.model.desired import Record
from gpuslice.simulator import machine
from gpuslice.simulator.codes import Code
from gpuslice.simulator.injector import Injector
from gpuslice.simulator.state import MachineState
from gpuslice.simulator.store import Store


class Killed(BaseException):
    """Stands for ``kill -9``: nothing in the program may catch it."""


@dataclass(slots=True)
class Death:
    """Once it has come, neither a call nor a write of that process happens any more."""

    come: bool = False

    def check(self) -> None:
        """Raise when the process is dead."""
        if self.come:
            raise Killed


class MortalStore(RecordStore):
    """The two files of a machine, written by a process that may die at any of the writes.

    Args:
        folder: Where they lie.
        death: Of that process.
        dies_at: The write, from 1, around which it comes; None for never.
        afterwards: Whether that write is still made.
    """

    def __init__(
        self,
        folder: Path,
        death: Death,
        *,
        dies_at: int | None = None,
        afterwards: bool = False,
    ) -> None:
        super().__init__(folder / "record.json", folder / "change.json")
        self.death = death
        self._dies_at = dies_at
        self._afterwards = afterwards
        self.writes = 0

    def write_record(self, record: Record) -> None:
        """As the shipped one, or death."""
        self._around(lambda: super(MortalStore, self).write_record(record))

    def write_journal(self, journal: Journal) -> None:
        """As the shipped one, or death."""
        self._around(lambda: super(MortalStore, self).write_journal(journal))

    def end_journal(self) -> None:
        """As the shipped one, or death."""
        self._around(lambda: super(MortalStore, self).end_journal())

    def _around(self, write: Callable[[], None]) -> None:
        self.death.check()
        self.writes += 1
        struck = self.writes == self._dies_at
        if struck and not self._afterwards:
            self.death.come = True
        self.death.check()
        write()
        if struck:
            self.death.come = True
        self.death.check()


Places = dict[str, tuple[bool, bool, tuple[tuple[int, int, int, tuple[int, ...]], ...]]]
"""For each GPU its mode, now and pending, and its instances: start, size, profile id, and the sizes
of their compute instances. Ids are left out, since a slice that comes back gets another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One machine in a folder of its own.

    Attributes:
        folder: Everything of it.
        simulation: Which GPUs.
        scene: What was built on it.
    """

    folder: Path
    simulation: str
    scene: Scene

    @property
    def directory(self) -> Path:
        """The simulated machine."""
        return self.folder / "gpus"

    def driver(self, faults: Injector | None = None) -> NvmlDriver:
        """Open a driver as a fresh process would; its waiting takes no time."""
        return open_driver(self.directory, self.simulation, faults)

    def state(self) -> MachineState:
        """Look at the machine from behind."""
        return Store(self.directory).read()

    def places(self) -> Places:
        """What lies where, without the ids that may change."""
        return {
            gpu.uuid: (
                gpu.mig_current,
                gpu.mig_pending,
                tuple(
                    sorted(
                        (
                            gi.placement.start,
                            gi.placement.size,
                            gi.profile_id,
                            tuple(ci.profile_id for ci in gi.compute_instances),
                        )
                        for gi in gpu.instances
                    )
                ),
            )
            for gpu in self.state().gpus
        }

    def serials(self) -> dict[tuple[str, int], tuple[int, ...]]:
        """The lives of every slice, by GPU and instance id: a slice made anew has another."""
        return {
            (gpu.uuid, gi.id): (gi.serial, *(ci.serial for ci in gi.compute_instances))
            for gpu in self.state().gpus
            for gi in gpu.instances
        }


def open_driver(directory: Path, simulation: str, faults: Injector | None = None) -> NvmlDriver:
    """Open a driver on a simulated machine; what it waits for takes no time."""
    return NvmlDriver(
        simulator.load(directory, simulation, faults=faults),
        simulated=True,
        boot_id=lambda: simulator.boot_id(directory),
        patience=Patience(sleep=lambda _: None),
        resetter=code_resetter(lambda index: simulator.reset_gpu(directory, index, faults=faults)),
    )


class Wings:
    """Where stages of one scenario come from: it is built once, and copied for every trial."""

    def __init__(self, family: str, scenario: str, folder: Path) -> None:
        self._folder = folder
        self._simulation = SCENARIOS[scenario].simulation(family)
        assert family in FAMILIES
        with open_driver(folder / "model", self._simulation) as driver:
            self._scene = build(SCENARIOS[scenario], driver, family)
            count = len(driver.read().gpus)
        for index in range(count if SCENARIOS[scenario].needs_reset else 0):
            machine.set_mode_obstacle(folder / "model", index, Code.RESET_REQUIRED)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """Give a fresh copy of the machine."""
        with TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            (folder / "gpus").mkdir()
            shutil.copy(self._folder / "model" / "machine.json", folder / "gpus")
            yield Stage(folder=folder, simulation=self._simulation, scene=self._scene)
