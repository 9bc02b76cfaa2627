"""One trial: a change goes wrong at one point, and everything that has to hold is looked at.

Three processes follow each other, as they would. The first carries the change out; it may fail, and
then undoes, or die. With the cause gone the second does what every next command does first: it
undoes what the journal still says. The third carries the change out again, which has to succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.chaos.points import Kind, Point, Run
from benchmarks.chaos.scenarios import STACK
from benchmarks.chaos.stage import Death, Killed, MortalStore, Places, Stage

from gpuslice import simulator
from gpuslice.apply.record import RecordStore
from gpuslice.apply.slices import Notebook, carry_out, undo
from gpuslice.driver.api import Driver
from gpuslice.errors import GpusliceError
from gpuslice.model.desired import Record
from gpuslice.model.event import Event
from gpuslice.model.plan import Owned
from gpuslice.planner.ordering.steps import DestroySlice
from gpuslice.simulator import machine
from gpuslice.simulator.injector import Injector


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """What a scenario is when nothing goes wrong.

    Attributes:
        run: Its calls and writes.
        start: Where everything lies before.
        goal: Where everything lies afterwards.
    """

    run: Run
    start: Places
    goal: Places


@dataclass(slots=True)
class Outcome:
    """How the first process ended: done, with an error, or dead (neither)."""

    done: bool = False
    error: GpusliceError | None = None


def undisturbed(stage: Stage) -> Undisturbed:
    """Run a scenario once with nothing going wrong, and count."""
    start, held = stage.places(), tuple(_held(stage))
    faults, death = Injector(), Death()
    store = MortalStore(stage.folder / "files", death)
    RecordStore.write_record(store, stage.scene.record)
    with stage.driver(faults) as driver:
        change(stage, driver, store)
    run = Run(calls=faults.calls[:-1], writes=store.writes, held=held)  # but for nvmlShutdown
    return Undisturbed(run=run, start=start, goal=stage.places())


def calls_of(stage: Stage, failure: Point) -> int:
    """Run with one failure and say how many calls there are until it is undone."""
    assert failure.fault is not None
    faults = Injector(failure.fault)
    store = MortalStore(stage.folder / "files", Death())
    RecordStore.write_record(store, stage.scene.record)
    _first(stage, store, faults)
    return len(faults.calls)


def try_point(stage: Stage, point: Point, plain: Undisturbed) -> tuple[str, ...]:
    """Let one thing go wrong; return what did not hold, in words."""
    trial = _Trial(stage=stage, plain=plain, lives=stage.serials())
    store = _store(stage, point)
    RecordStore.write_record(store, stage.scene.record)
    faults = Injector(*((point.fault,) if point.fault else ()))
    faults.before = _observer(point, store)
    outcome = _first(stage, store, faults)
    if point.kind is Kind.REBOOT:
        simulator.reboot(stage.directory)
        return tuple(trial.after_a_reboot())
    return (*trial.after_the_first(outcome), *trial.after_the_next(outcome))


def change(stage: Stage, driver: Driver, store: RecordStore) -> None:
    """Carry a scenario's change out as the agent does, and undo it when it fails."""
    before = store.read_record()
    try:
        notebook = Notebook(store, before, allow=stage.scene.allow)
        created = carry_out(stage.scene.steps, driver, notebook, _ignore, lambda: None)
        gone = {s.slice.key for s in stage.scene.steps if isinstance(s, DestroySlice)}
        kept = tuple(o for o in before.owned if o.slice not in gone)
        made = tuple(Owned(slice=s.key, stack=STACK, replica=r) for s, r in created)
        store.write_record(replace(before, owned=(*kept, *made)))
        store.end_journal()
    except GpusliceError:
        recover(driver, store)
        raise


def recover(driver: Driver, store: RecordStore) -> None:
    """Undo the change under way, if there is one, as every command does first."""
    journal = store.read_journal()
    if journal is not None:
        store.write_record(undo(journal, driver, _ignore))
        store.end_journal()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What is compared. Its methods yield what does not hold."""

    stage: Stage
    plain: Undisturbed
    lives: dict[tuple[str, int], tuple[int, ...]]

    def after_the_first(self, outcome: Outcome) -> Iterator[str]:
        """Goal, start, or a remainder that was told; and nobody else was touched."""
        yield from self._untouched("the first process")
        places = self.stage.places()
        open_journal = self._files().read_journal() is not None
        if outcome.done:
            if places != self.plain.goal:
                yield "success was reported and the goal is not there"
            if open_journal:
                yield "success was reported and the journal is open"
            yield from self._recorded("success")
        elif outcome.error is not None and not open_journal:
            if places != self.plain.start:
                yield f"the change was called undone and is not: {_difference(self, places)}"
            yield from self._recorded("undoing")
        elif outcome.error is not None:
            yield from self._told(outcome.error, places)

    def after_the_next(self, outcome: Outcome) -> Iterator[str]:
        """With the cause gone, the next command finds its way back, and the one after succeeds."""
        machine.mend(self.stage.directory)
        try:
            yield from self._next(outcome)
        except GpusliceError as error:
            yield f"a later command failed: [{error.code}] {error.message} {error.details}"

    def after_a_reboot(self) -> Iterator[str]:
        """Nothing lies there; no mode is on that was off; no change is under way any more."""
        try:
            with self.stage.driver() as driver:
                recover(driver, self._files())
        except GpusliceError as error:
            yield f"recovering failed: [{error.code}] {error.message} {error.details}"
        if self._files().read_journal() is not None:
            yield "the journal is still open"
        for uuid, (on, pending, slices) in self.stage.places().items():
            if slices:
                yield f"something was made on {uuid}: {slices}"
            if (on or pending) and not self.plain.start[uuid][0] and not self._committed():
                yield f"the mode of {uuid} was left on"

    def _next(self, outcome: Outcome) -> Iterator[str]:
        with self.stage.driver() as driver:
            recover(driver, self._files())
        yield from self._untouched("recovering")
        yield from self._recorded("recovering")
        places = self.stage.places()
        if self._files().read_journal() is not None:
            yield "the journal is still open after recovering"
        if outcome.done or places == self.plain.goal != self.plain.start:
            return  # a death right after the end: the change stands
        if places != self.plain.start:
            yield f"recovering does not lead to the start: {_difference(self, places)}"
        with self.stage.driver() as driver:
            change(self.stage, driver, self._files())
        yield from self._untouched("the second run")
        yield from self._recorded("the second run")
        if self.stage.places() != self.plain.goal:
            yield "the second run does not lead to the goal"

    def _committed(self) -> bool:
        return self._files().read_record() != self.stage.scene.record

    def _untouched(self, when: str) -> Iterator[str]:
        now = self.stage.serials()
        for slice_ in (*self.stage.scene.foreign, *self.stage.scene.kept):
            key = (slice_.gpu_uuid, slice_.gpu_instance_id)
            if now.get(key) != self.lives[key]:
                whose = "foreign" if slice_ in self.stage.scene.foreign else "untouched"
                yield f"{when} touched a {whose} slice: {slice_.profile} at {slice_.placement}"

    def _recorded(self, when: str) -> Iterator[str]:
        there = self.stage.serials()
        for owned in self._files().read_record().owned:
            if (owned.slice.gpu_uuid, owned.slice.gpu_instance_id) not in there:
                yield f"after {when} the record names a slice that is not there: {owned.slice}"

    def _told(self, error: GpusliceError, places: Places) -> Iterator[str]:
        told = "\n".join((error.message, *error.details))
        for index, uuid in enumerate(places):
            if places[uuid] != self.plain.start[uuid] and f"GPU {index}" not in told:
                yield f"something is left on GPU {index} and was not reported: {told}"
        if "gpuslice " not in error.hint:
            yield f"no command is named that finishes: {error.hint}"

    def _files(self) -> RecordStore:
        folder = self.stage.folder / "files"
        return RecordStore(folder / "record.json", folder / "change.json")


def _first(stage: Stage, store: RecordStore, faults: Injector) -> Outcome:
    try:
        with stage.driver(faults) as driver:
            change(stage, driver, store)
    except GpusliceError as error:
        committed = store_is_at_rest(stage) and stage.scene.record != _record(stage)
        return Outcome(done=committed, error=None if committed else error)
    except Killed:
        return Outcome()
    return Outcome(done=True)


def store_is_at_rest(stage: Stage) -> bool:
    """Tell whether no change is under way."""
    return not (stage.folder / "files" / "change.json").exists()


def _record(stage: Stage) -> Record:
    folder = stage.folder / "files"
    return RecordStore(folder / "record.json", folder / "change.json").read_record()


def _store(stage: Stage, point: Point) -> MortalStore:
    dies_at = point.number if point.kind is Kind.WRITE else None
    folder = stage.folder / "files"
    return MortalStore(folder, Death(), dies_at=dies_at, afterwards=point.afterwards)


def _observer(point: Point, store: MortalStore) -> Callable[[str, int], None] | None:
    """Let the process die before a call; from then on nothing of it reaches the machine."""
    last = point.dies_at if point.kind is Kind.UNDOING else point.number

    def before(_call: str, number: int) -> None:
        if point.kind is not Kind.WRITE and last is not None and number >= last:
            store.death.come = True
        store.death.check()

    mortal = (Kind.KILL, Kind.REBOOT, Kind.UNDOING, Kind.WRITE)
    return before if point.kind in mortal else None


def _held(stage: Stage) -> Iterator[tuple[int, int | None]]:
    for index, gpu in enumerate(stage.state().gpus):
        yield index, None
        for gi in gpu.instances:
            if any(
                isinstance(step, DestroySlice)
                and (step.slice.gpu_uuid, step.slice.gpu_instance_id) == (gpu.uuid, gi.id)
                for step in stage.scene.steps
            ):
                yield index, gi.placement.start


def _difference(trial: _Trial, places: Places) -> str:
    return "; ".join(
        f"{uuid[:12]} is {places[uuid]}, was {was}"
        for uuid, was in trial.plain.start.items()
        if places[uuid] != was
    )


def _ignore(_event: Event) -> None:
    """Nobody looks on."""
