"""The parts that work together on one machine, and where they come from.

This is the only place that chooses between the real driver and the simulator.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gpuslice.agent.launches import Host
from gpuslice.apply.record import RecordStore
from gpuslice.driver.api import Driver
from gpuslice.model.desired import DesiredDocker, Record
from gpuslice.model.machine import Machine, machine_slug
from gpuslice.runtime.api import Runtime

if TYPE_CHECKING:
    from gpuslice.driver.nvml import NvmlDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine with everything that reads or changes it.

    Attributes:
        machine: Where its state is kept.
        driver: Its GPUs.
        runtime: Its servers.
        store: What is recorded about it.
        host: The machine around the GPUs.
        another_driver: Opens a further driver of the same GPUs, for a thread of its own; None
            where there is only the one.
    """

    machine: Machine
    driver: Driver
    runtime: Runtime
    store: RecordStore
    host: Host
    another_driver: Callable[[], AbstractContextManager[Driver]] | None = None

    def read_record(self) -> Record:
        """Read what is recorded, without the slices of an earlier life of the driver.

        Instances never survive a reboot or a reload of the driver. Whatever lies at the same place
        afterwards is not ours.
        """
        record = self.store.read_record()
        boot_id = self.driver.boot_id()
        if record.boot_id == boot_id:
            return record
        return replace(record, boot_id=boot_id, owned=(), mig_enabled=())


def machine_for(simulation: str) -> Machine:
    """Say where the state of a machine is kept.

    ``GPUSLICE_HOME`` wins; root keeps it in ``/var/lib/gpuslice``, everybody else in
    ``$XDG_STATE_HOME/gpuslice`` or ``~/.local/state/gpuslice``.

    Raises:
        UnknownBoardError: The simulation names a board that is not known.
    """
    if simulation:
        from gpuslice.simulator.simulation import canonical_simulation

        simulation = canonical_simulation(simulation)
    return Machine(root=state_home() / machine_slug(simulation), simulation=simulation)


def state_home() -> Path:
    """Folder that holds one folder per machine; absolute."""
    if home := os.environ.get("GPUSLICE_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/gpuslice")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state).absolute() / "gpuslice"


def open_node(machine: Machine) -> Node:
    """Open the driver and the runtime of a machine.

    Raises:
        NoDriverError: There is no NVIDIA driver, and no simulation was asked for.
    """
    return Node(
        machine=machine,
        driver=open_driver(machine),
        runtime=open_runtime(machine),
        store=record_store(machine),
        host=Host(python=sys.executable, cpu_count=os.cpu_count() or 1),
        another_driver=partial(open_driver, machine),
    )


def open_runtime(machine: Machine) -> Runtime:
    """Open where the servers of a machine run: processes, and the Docker engines in use."""
    from gpuslice.runtime.combined import CombinedRuntime
    from gpuslice.runtime.process import ProcessRuntime

    store = record_store(machine)
    return CombinedRuntime(machine, ProcessRuntime(machine), partial(_engines_in_use, store))


def _engines_in_use(store: RecordStore) -> tuple[DesiredDocker, ...]:
    """Say which engines hold containers: that of the stack, and of the one before a change."""
    journal = store.read_journal()
    stacks = (store.read_record().desired, journal.before.desired if journal else None)
    return tuple(stack.docker for stack in stacks if stack is not None and stack.docker is not None)


def record_store(machine: Machine) -> RecordStore:
    """Open what is recorded about a machine."""
    return RecordStore(machine.record_file, machine.journal_file)


def open_driver(machine: Machine) -> NvmlDriver:
    """Open the real driver, or the simulator where the machine is simulated.

    Raises:
        NoDriverError: There is no NVIDIA driver, and no simulation was asked for.
    """
    if not machine.simulated:
        from gpuslice.driver.open import open_real

        return open_real()
    from gpuslice import simulator
    from gpuslice.driver.nvml import NvmlDriver
    from gpuslice.driver.reset import code_resetter

    folder = machine.simulator_dir
    module = simulator.load(folder, machine.simulation)
    return NvmlDriver(
        module,
        simulated=True,
        boot_id=lambda: simulator.boot_id(folder),
        resetter=code_resetter(lambda index: simulator.reset_gpu(folder, index)),
    )
