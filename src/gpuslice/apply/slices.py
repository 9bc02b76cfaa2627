"""Carry out the steps of a plan on the GPUs.

Model: a change is a list of steps, each legal when its turn comes. Before anything is touched the
journal is given every GPU concerned as it is, and all that is to be done. Before a step its
*intention* is written and synced; after it the driver has read its own work back, the whole GPU is
read and compared with what the step should have left, and only then the intention becomes a *deed*.

GPUs are independent: with a driver for each, their steps run side by side
(`gpuslice.apply.lanes`). The way back is `gpuslice.apply.undo`.

*Threads and drivers.* NVML is thread-safe ("NVML is thread-safe so it is safe to make simultaneous
NVML calls from multiple threads", NVML API Reference, "Overview"), and `nvmlInit` counts its
callers. A `Driver` is not: it keeps readings and a geometry. So each thread has a driver of its own
over the one library, and none is shared. Where GPUs may be reset there is only the one driver, and
everything is done in order: a reset needs its GPU to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import assert_never

from gpuslice.apply.lanes import Lanes, lanes_of
from gpuslice.apply.layouts import Expected, as_expected, check_as_expected
from gpuslice.apply.notebook import Notebook, entry_of
from gpuslice.apply.refusals import Refusal, refuse
from gpuslice.apply.undo import undo
from gpuslice.driver.api import Driver
from gpuslice.driver.translation import CHECK_HARDWARE
from gpuslice.errors import (
    DriverError,
    GpuLostError,
    InsufficientResourcesError,
    ResetRequiredError,
)
from gpuslice.model.demand import ReplicaId
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    by_hand,
    describe,
    gpu_of,
)

__all__ = ["Notebook", "carry_out", "note_all", "undo"]


def note_all(steps: Sequence[Step], driver: Driver, notebook: Notebook) -> None:
    """Give the journal every GPU that will be touched, as it is, and all that is to be done.

    Whoever carries a change out in parts does so first; for one that is carried out at once,
    `carry_out` does.

    Args:
        steps: All of the change; nothing is noted where there are none.
        driver: Where the GPUs are read.
        notebook: Of the change.

    Raises:
        GpuLostError: A GPU of the plan has fallen off the bus.
    """
    if steps:
        observed = driver.read()
        gpus = tuple(_present(observed, uuid) for uuid in lanes_of(steps))
        notebook.begin(gpus, steps, driver.boot_id())


def carry_out(
    steps: Sequence[Step],
    driver: Driver,
    notebook: Notebook,
    report: Report,
    check: Callable[[], None],
    *,
    another: Callable[[], AbstractContextManager[Driver]] | None = None,
) -> tuple[tuple[Slice, ReplicaId | None], ...]:
    """Carry out the steps, each GPU's in order.

    Args:
        steps: From the plan, each legal when its turn comes; all of them, or some of those that
            `note_all` has noted.
        driver: What they are carried out with.
        notebook: Where each step is noted before and after.
        report: Where progress goes; may be called from several threads.
        check: Called before each step; raises to stop the change (Ctrl-C).
        another: Opens a further driver of the same machine, so that several GPUs are changed side
            by side; without it they are changed one after the other.

    Returns:
        Every created slice with the replica it is for, in the order of the steps.

    Raises:
        ReadBackError: A GPU looks different after a step from what the step should have left.
        GpuResetError: A mode only changes with a reset, which nobody has allowed.
        GpuLostError: A GPU of the plan has fallen off the bus.
        DriverError: A step failed; the journal says how far it came.
    """
    if not notebook.begun:
        note_all(steps, driver, notebook)
    change = _Change(
        steps=steps, observed=driver.read(), notebook=notebook, report=report, check=check
    )
    lanes = lanes_of(steps)
    for uuid in lanes:
        _present(change.observed, uuid, begun=bool(notebook.journal.entries))
    # A reset needs the GPU to itself, and every open driver of this process counts as a client.
    resets = Refusal.GPU_RESET in notebook.journal.allow
    if another is None or resets or len(lanes) <= 1:
        change.do(range(len(steps)), driver)
    else:
        opened = another

        def work(numbers: Sequence[int], shared: Lanes) -> None:
            with opened() as own:
                change.do(numbers, own, shared)

        Lanes(steps).run(work)
    return change.created()


def _present(observed: Observed, uuid: str, *, begun: bool = False) -> Gpu:
    try:
        return observed.gpu(uuid)
    except KeyError as error:
        message = f"GPU {uuid} is not there any more"
        message += "." if begun else "; nothing was changed."
        raise GpuLostError(message, hint=CHECK_HARDWARE) from error


@dataclass(kw_only=True)
class _Change:
    """One change on its way. Owned by one call of `carry_out`; its threads share it.

    Each GPU's ``expected`` and each step's ``made`` is written by one thread only.
    """

    steps: Sequence[Step]
    observed: Observed
    notebook: Notebook
    report: Report
    check: Callable[[], None]
    expected: dict[str, Expected] = field(default_factory=dict)
    made: dict[int, Slice] = field(default_factory=dict)

    def do(self, numbers: Sequence[int], driver: Driver, lanes: Lanes | None = None) -> None:
        """Do the steps of those numbers, waiting for others where that has to be."""
        for number in numbers:
            if lanes is not None and not lanes.begin(number):
                return
            self.check()
            self._step(number, driver)
            if lanes is not None:
                lanes.end(number)

    def created(self) -> tuple[tuple[Slice, ReplicaId | None], ...]:
        """Every created slice with its replica, in the order of the steps."""
        return tuple(
            (self.made[number], step.replica)
            for number, step in enumerate(self.steps)
            if isinstance(step, CreateSlice)
        )

    def _step(self, number: int, driver: Driver) -> None:
        step = self.steps[number]
        uuid = gpu_of(step)
        before = self.expected.get(uuid) or as_expected(self.observed.gpu(uuid))
        noted = self.notebook.intend(entry_of(step))
        text = describe(step, self.observed.gpus)
        typed = by_hand(step, self.observed)
        self.report(Event(kind=EventKind.STEP, text=text, by_hand=typed))
        made = self._do(step, driver, noted)
        after = before.after(step, made)
        check_as_expected(after, driver.read_gpu(uuid))
        self.expected[uuid] = after
        if made is not None:
            self.made[number] = made
        self.notebook.confirm(noted, made=made.key if made else None)

    def _do(self, step: Step, driver: Driver, noted: int) -> Slice | None:
        match step:
            case EnableMig(gpu_uuid=uuid):
                self._switch(uuid, driver, enabled=True)
            case DisableMig(gpu_uuid=uuid):
                self._switch(uuid, driver, enabled=False)
            case DestroySlice(slice=slice_):
                driver.destroy_slice(slice_)
            case CreateSlice():
                return self._create(step, driver, noted)
            case _:
                assert_never(step)
        return None

    def _switch(self, uuid: str, driver: Driver, *, enabled: bool) -> None:
        allow = self.notebook.journal.allow
        try:
            driver.set_mig_mode(uuid, enabled=enabled, reset=Refusal.GPU_RESET in allow)
        except ResetRequiredError as error:
            refuse(
                Refusal.GPU_RESET,
                error.message,
                allow=allow,
                otherwise=error.hint.rstrip("."),
                details=error.details,
            )
            raise

    def _create(self, step: CreateSlice, driver: Driver, noted: int) -> Slice:
        try:
            return driver.create_slice(step.planned)
        except InsufficientResourcesError:
            # A whole slice at its place came meanwhile and is not ours; half of one is what the
            # driver could not take down again, and is.
            with suppress(DriverError):
                gpu = driver.read_gpu(step.planned.gpu_uuid)
                lying = [s for s in gpu.slices if s.placement == step.planned.placement]
                if lying and lying[0].compute_instance_id is not None:
                    self.notebook.refuse(noted)
            raise
