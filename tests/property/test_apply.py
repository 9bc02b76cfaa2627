"""Any plan is reached exactly; and stopped anywhere, by an error or a kill, is undone exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changing import Bench, FailingDriver, KilledError, layout
from gpuslice.apply.slices import undo
from gpuslice.errors import DriverError
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Observed, Slice
from gpuslice.model.plan import Plan, PlannedSlice
from gpuslice.planner.ordering.steps import CreateSlice, Step, steps
from property.strategies_apply import Scene, scenes
from simulated_gpus import SimulatedGpus

Before = tuple[object, object, set[Slice]]


@contextmanager
def on_stage(scene: Scene) -> Iterator[tuple[SimulatedGpus, Record, Bench, Plan]]:
    """Build a scene in folders of its own."""
    with TemporaryDirectory() as folder:
        machine, record = scene.build(Path(folder, "gpus"))
        bench = Bench(driver=machine.driver, folder=Path(folder, "machine"))
        yield machine, record, bench, scene.plan(machine, record)


def owners(record: Record, observed: Observed) -> list[tuple[str, str, str, str]]:
    """Which slice is whose, without the ids that change when a slice is made anew."""
    there = {s.key for gpu in observed.gpus for s in gpu.slices}
    assert {o.slice for o in record.owned} <= there, "the record names a slice that is not there"
    return sorted(
        (o.slice.gpu_uuid, str(o.slice.placement), o.slice.profile, str(o.replica))
        for o in record.owned
    )


def foreign(record: Record, observed: Observed) -> set[Slice]:
    """Slices of somebody else, with every id they have."""
    ours = {o.slice for o in record.owned}
    return {s for gpu in observed.gpus for s in gpu.slices if s.key not in ours}


def all_of(record: Record, observed: Observed) -> Before:
    return layout(observed), owners(record, observed), foreign(record, observed)


@given(scene=scenes())
@settings(max_examples=12, derandomize=True)
def test_a_plan_that_is_carried_out_is_reached_exactly(scene: Scene) -> None:
    with on_stage(scene) as (machine, record, bench, made):
        todo = steps(made)
        theirs = foreign(record, machine.driver.read())

        created = bench.change(todo, record)

        observed = machine.driver.read()
        for gpu_plan in made.gpus:
            gpu = observed.gpu(gpu_plan.gpu_uuid)
            wanted: tuple[Slice | PlannedSlice, ...] = (
                *gpu_plan.keep,
                *gpu_plan.create,
                *gpu_plan.foreign,
            )
            assert [(s.profile, s.placement) for s in gpu.slices] == sorted(
                ((s.profile, s.placement) for s in wanted), key=lambda place: place[1]
            )
        there = {s for gpu in observed.gpus for s in gpu.slices}
        assert theirs | {s for s, _ in created} <= there
        replicas = [step.replica for step in todo if isinstance(step, CreateSlice)]
        assert [replica for _, replica in created] == replicas
        assert all(entry.done for entry in bench.journal().entries)


def fail(
    scene: Scene, draw: st.DataObject, error: type[BaseException]
) -> Iterator[tuple[SimulatedGpus, Bench, Before]]:
    """Carry a scene's plan out up to a changing call that goes wrong, before or after its deed."""
    with on_stage(scene) as (machine, record, bench, made):
        todo: tuple[Step, ...] = steps(made)
        if not todo:
            return
        before = all_of(record, machine.driver.read())
        driver = FailingDriver(
            machine.driver,
            fails_at=draw.draw(st.integers(0, len(todo) - 1), label="failing call"),
            error=lambda: error("on purpose"),
            afterwards=draw.draw(st.booleans(), label="after the deed"),
        )
        with pytest.raises(error):
            bench.change(todo, record, driver=driver)
        yield machine, bench, before


@given(scene=scenes(), data=st.data())
@settings(max_examples=12, derandomize=True)
def test_a_change_that_fails_anywhere_is_undone_exactly_and_undoing_again_does_nothing(
    scene: Scene, data: st.DataObject
) -> None:
    for machine, bench, before in fail(scene, data, DriverError):
        once = undo(bench.journal(), machine.driver, bench.events.append)
        observed = machine.driver.read()
        assert all_of(once, observed) == before

        assert undo(bench.journal(), machine.driver, bench.events.append) == once
        assert machine.driver.read() == observed


@given(scene=scenes(), data=st.data())
@settings(max_examples=8, derandomize=True)
def test_an_undoing_that_is_killed_anywhere_is_finished_by_the_next_one(
    scene: Scene, data: st.DataObject
) -> None:
    for machine, bench, before in fail(scene, data, KilledError):
        killed = FailingDriver(
            machine.driver,
            fails_at=data.draw(st.integers(0, 3), label="killed undoing"),
            afterwards=data.draw(st.booleans(), label="after undoing"),
        )
        with suppress(KilledError):
            undo(bench.journal(), killed, bench.events.append)
        record = undo(bench.journal(), machine.driver, bench.events.append)
        assert all_of(record, machine.driver.read()) == before


@given(scene=scenes(), data=st.data())
@settings(max_examples=20, derandomize=True)
def test_a_kill_between_any_two_changes_inside_the_driver_is_undone_from_what_is_on_disk(
    scene: Scene, data: st.DataObject
) -> None:
    with on_stage(scene) as (machine, record, bench, made):
        before = all_of(record, machine.driver.read())
        number = data.draw(st.integers(0, 2 * len(steps(made))), label="killed before change")
        with (
            suppress(KilledError),
            machine.nvml.death_at_change(number, KilledError),
        ):
            bench.change(steps(made), record)
        restored = undo(bench.journal(), machine.driver, bench.events.append)
        assert all_of(restored, machine.driver.read()) == before
