"""GPUs are changed side by side, one GPU in order, and nothing goes before what replaces it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changing import Bench, FailingDriver, KilledError, layout
from gpuslice.apply.lanes import lanes_of, waits_for
from gpuslice.apply.slices import Notebook, carry_out, undo
from gpuslice.driver.api import Driver
from gpuslice.errors import DriverError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import PlannedSlice
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig, Step
from simulated_gpus import SimulatedGpus, simulated_gpus

CHAT = ReplicaId("chat", 0)


@pytest.fixture
def gpus(tmp_path: Path) -> SimulatedGpus:
    """Two A100, MIG off."""
    return simulated_gpus(tmp_path / "gpus", "a100-80gb:2", mig=False)


@pytest.fixture
def bench(gpus: SimulatedGpus, tmp_path: Path) -> Bench:
    return Bench(driver=gpus.driver, folder=tmp_path / "machine")


def planned(gpu: Gpu, start: int) -> PlannedSlice:
    found = gpu.geometry.named("1g.10gb") if gpu.geometry else None
    assert found is not None
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=Placement(start, 1),
        profile=found.name,
        profile_id=found.id,
        memory_mib=found.memory_mib,
    )


def create(gpu: Gpu, start: int) -> CreateSlice:
    return CreateSlice(planned=planned(gpu, start), replica=CHAT)


def change(
    steps: tuple[Step, ...], bench: Bench, gpus: SimulatedGpus, wrap: type[FailingDriver]
) -> tuple[tuple[Slice, ReplicaId | None], ...]:
    """Carry out on threads, each with a driver of its own."""

    @contextmanager
    def another() -> Iterator[Driver]:
        yield wrap(simulated_gpus(gpus.directory, "a100-80gb:2", mig=False).driver)

    notebook = Notebook(bench.store(), Record())
    report = bench.events.append
    return carry_out(steps, gpus.driver, notebook, report, lambda: None, another=another)


def test_what_takes_away_waits_for_all_that_gives_and_for_its_own_gpu(
    gpus: SimulatedGpus,
) -> None:
    one, two = gpus.driver.read().gpus
    gpus.driver.set_mig_mode(one.uuid, enabled=True)
    lying = gpus.driver.create_slice(planned(one, 6))
    steps: tuple[Step, ...] = (
        EnableMig(gpu_uuid=two.uuid),
        create(one, 0),
        create(two, 0),
        DestroySlice(slice=lying),
        create(two, 1),
        DisableMig(gpu_uuid=one.uuid),
    )
    assert lanes_of(steps) == {two.uuid: [0, 2, 4], one.uuid: [1, 3, 5]}
    assert [sorted(waits_for(steps, n)) for n in range(6)] == [
        [],
        [],
        [0],
        [0, 1, 2],
        [0, 2],
        [1, 3],
    ]


def test_two_gpus_are_changed_at_the_same_time(gpus: SimulatedGpus, bench: Bench) -> None:
    one, two = gpus.driver.read().gpus
    both = threading.Barrier(2, timeout=20)

    class Meeting(FailingDriver):
        def create_slice(self, planned: PlannedSlice) -> Slice:
            both.wait()  # broken unless the other GPU comes to the same point
            return super().create_slice(planned)

    steps = (
        EnableMig(gpu_uuid=one.uuid),
        EnableMig(gpu_uuid=two.uuid),
        create(one, 0),
        create(two, 3),
    )
    created = change(steps, bench, gpus, Meeting)

    assert [(s.gpu_uuid, s.placement.start) for s, _ in created] == [(one.uuid, 0), (two.uuid, 3)]
    assert [entry.done for entry in bench.journal().entries] == [True] * 4
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert layout(gpus.driver.read()) == {one.uuid: (False, ()), two.uuid: (False, ())}


def test_a_slice_is_not_destroyed_when_the_creation_it_waits_for_fails_on_another_gpu(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    one, two = gpus.driver.read().gpus
    for gpu in (one, two):
        gpus.driver.set_mig_mode(gpu.uuid, enabled=True)
    lying = gpus.driver.create_slice(planned(one, 6))
    calls: list[str] = []

    class Refusing(FailingDriver):
        def create_slice(self, planned: PlannedSlice) -> Slice:
            calls.append("create")
            raise DriverError("The driver refused.")

        def destroy_slice(self, slice_: Slice) -> None:
            calls.append("destroy")

    with pytest.raises(DriverError, match="refused"):
        change((create(two, 0), DestroySlice(slice=lying)), bench, gpus, Refusing)
    assert calls == ["create"]
    assert [entry.created for entry in bench.journal().entries] == [planned(two, 0)]


def test_a_kill_on_one_gpu_reaches_whoever_waits(gpus: SimulatedGpus, bench: Bench) -> None:
    one, two = gpus.driver.read().gpus

    class Dying(FailingDriver):
        def set_mig_mode(self, gpu_uuid: str, *, enabled: bool, reset: bool = False) -> None:
            if gpu_uuid == one.uuid:
                raise KilledError
            super().set_mig_mode(gpu_uuid, enabled=enabled, reset=reset)

    steps = (EnableMig(gpu_uuid=one.uuid), EnableMig(gpu_uuid=two.uuid), create(two, 0))
    with pytest.raises(KilledError):
        change(steps, bench, gpus, Dying)
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert layout(gpus.driver.read()) == {one.uuid: (False, ()), two.uuid: (False, ())}
