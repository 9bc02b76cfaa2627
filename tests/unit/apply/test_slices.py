"""Steps are carried out as planned, and every step can be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_record, owned
from changing import Bench, FailingDriver, KilledError, layout
from gpuslice.apply.record import Entry, Journal
from gpuslice.apply.slices import undo
from gpuslice.errors import ApplyError, DriverError, GpuBusyError, InterruptedChangeError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.event import EventKind
from gpuslice.model.gpu import Slice
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    describe,
)
from simulated_gpus import SimulatedGpus, simulated_gpus

CHAT = ReplicaId("chat", 0)


@pytest.fixture
def gpus(tmp_path: Path) -> SimulatedGpus:
    """One A100, MIG off."""
    return simulated_gpus(tmp_path / "gpus", mig=False)


@pytest.fixture
def bench(gpus: SimulatedGpus, tmp_path: Path) -> Bench:
    return Bench(driver=gpus.driver, folder=tmp_path / "machine")


def create(gpus: SimulatedGpus, profile: str, start: int) -> CreateSlice:
    return CreateSlice(planned=gpus.planned(profile, start), replica=CHAT)


def made(gpus: SimulatedGpus, profile: str, start: int) -> Slice:
    """A slice that is there before the change."""
    gpus.driver.set_mig_mode(gpus.gpu.uuid, enabled=True)
    return gpus.driver.create_slice(gpus.planned(profile, start))


def refused() -> DriverError:
    return DriverError("The driver refused.", hint="Ask again.")


def test_steps_are_carried_out_in_order_and_what_was_made_is_returned(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    enable = EnableMig(gpu_uuid=gpus.gpu.uuid)
    steps: tuple[Step, ...] = (enable, create(gpus, "3g.40gb", 4), create(gpus, "2g.20gb", 0))

    created = bench.change(steps, Record())

    assert [(s.profile, str(s.placement), str(r)) for s, r in created] == [
        ("3g.40gb", "4:4", "chat/0"),
        ("2g.20gb", "0:2", "chat/0"),
    ]
    assert {s for s, _ in created} == set(gpus.slices())
    assert bench.texts() == [
        "GPU 0: enable MIG mode",
        "GPU 0: create 3g.40gb at 4:4 for chat/0",
        "GPU 0: create 2g.20gb at 0:2 for chat/0",
    ]
    assert [event.by_hand for event in bench.events] == [
        "nvidia-smi -i 0 -mig 1",
        "nvidia-smi mig -i 0 -cgi 9:4 -C",
        "nvidia-smi mig -i 0 -cgi 14:0 -C",
    ]
    assert [entry.done for entry in bench.journal().entries] == [True, True, True]


def test_every_step_is_on_disk_as_an_intention_before_it_is_done(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    enable = EnableMig(gpu_uuid=gpus.gpu.uuid)
    driver = FailingDriver(gpus.driver, fails_at=1)

    with pytest.raises(KilledError):
        bench.change((enable, create(gpus, "2g.20gb", 0)), Record(), driver=driver)

    first, second = bench.journal().entries
    assert (first.enabled_mig, first.done) == (True, True)
    assert second.created is not None
    assert (second.created.profile, second.done) == ("2g.20gb", False)


def test_a_change_is_stopped_between_two_steps(gpus: SimulatedGpus, bench: Bench) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedChangeError("Interrupted.")

    creates = [create(gpus, "1g.10gb", start) for start in range(3)]
    steps: list[Step] = [EnableMig(gpu_uuid=gpus.gpu.uuid), *creates]
    with pytest.raises(InterruptedChangeError):
        bench.change(steps, Record(), check=check)
    assert [str(s.placement) for s in gpus.slices()] == ["0:1"]


def test_undoing_a_finished_change_takes_back_every_step_in_reverse(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    bench.change((EnableMig(gpu_uuid=gpus.gpu.uuid), create(gpus, "2g.20gb", 0)), Record())
    bench.events.clear()

    record = undo(bench.journal(), gpus.driver, bench.events.append)

    assert record == Record()
    assert gpus.slices() == ()
    assert gpus.gpu.mig is not None
    assert not gpus.gpu.mig.current
    assert bench.texts() == [
        "GPU 0: destroy 2g.20gb at 0:2",
        "GPU 0: disable MIG mode again",
    ]
    assert {event.kind for event in bench.events} == {EventKind.UNDO}


def test_a_slice_made_anew_is_ours_again_under_its_new_id(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    old, other = made(gpus, "2g.20gb", 0), made(gpus, "1g.10gb", 2)
    before = a_record(owned(old, "chat"), owned(other, "coder"))
    bench.change((DestroySlice(slice=old), create(gpus, "1g.10gb", 0)), before)

    record = undo(bench.journal(), gpus.driver, bench.events.append)

    again = next(s for s in gpus.slices() if s.profile == "2g.20gb")
    assert record == replace(before, owned=(owned(again, "chat"), owned(other, "coder")))
    assert [(s.profile, str(s.placement)) for s in gpus.slices()] == [
        ("2g.20gb", "0:2"),
        ("1g.10gb", "2:1"),
    ]


def test_undoing_twice_is_the_same_as_once(gpus: SimulatedGpus, bench: Bench) -> None:
    old = made(gpus, "2g.20gb", 0)
    before = a_record(owned(old, "chat"))
    bench.change((DestroySlice(slice=old), create(gpus, "3g.40gb", 0)), before)
    once = undo(bench.journal(), gpus.driver, bench.events.append)
    there = gpus.slices()
    bench.events.clear()

    assert undo(bench.journal(), gpus.driver, bench.events.append) == once
    assert gpus.slices() == there
    assert bench.events == []


def test_an_intention_that_never_became_a_deed_is_undone_by_doing_nothing(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    keep = made(gpus, "2g.20gb", 0)
    entries = (
        Entry(gpu_uuid=gpus.gpu.uuid, destroyed=keep),
        Entry(gpu_uuid=gpus.gpu.uuid, created=gpus.planned("3g.40gb", 4)),
    )
    undo(Journal(before=Record(), entries=entries), gpus.driver, bench.events.append)
    assert gpus.slices() == (keep,)
    assert bench.events == []


def test_somebody_elses_slice_where_ours_was_to_come_is_left_alone(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    theirs = made(gpus, "4g.40gb", 0)
    entry = Entry(gpu_uuid=gpus.gpu.uuid, created=gpus.planned("3g.40gb", 0))
    undo(Journal(before=Record(), entries=(entry,)), gpus.driver, bench.events.append)
    assert gpus.slices() == (theirs,)


def test_somebody_elses_slice_where_ours_was_is_named_and_not_taken_for_ours(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    ours = made(gpus, "3g.40gb", 0)
    bench.change((DestroySlice(slice=ours),), a_record(owned(ours, "chat")))
    theirs = made(gpus, "4g.40gb", 0)
    with pytest.raises(ApplyError) as caught:
        undo(bench.journal(), gpus.driver, bench.events.append)
    assert "somebody else's 4g.40gb lies at 0:4, where 3g.40gb was" in caught.value.details[0]
    assert gpus.slices() == (theirs,)


def test_a_slice_that_was_killed_between_its_two_halves_is_made_whole_again(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    ours = made(gpus, "2g.20gb", 0)

    def killed(*_arguments: object) -> None:
        raise KilledError

    gpus.nvml.replace("nvmlGpuInstanceDestroy", killed)
    with pytest.raises(KilledError):
        bench.change((DestroySlice(slice=ours),), a_record(owned(ours, "chat")))
    gpus.nvml.restore("nvmlGpuInstanceDestroy")
    assert [s.uuid for s in gpus.slices()] == [None]

    record = undo(bench.journal(), gpus.driver, bench.events.append)

    (again,) = gpus.slices()
    assert again.uuid is not None
    assert record.owned == (owned(again, "chat"),)


def test_mig_mode_stays_on_where_somebody_has_made_a_slice_meanwhile(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    bench.change((EnableMig(gpu_uuid=gpus.gpu.uuid),), Record())
    theirs = made(gpus, "1g.10gb", 6)
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert gpus.slices() == (theirs,)
    assert gpus.gpu.mig is not None
    assert gpus.gpu.mig.current


def test_mig_mode_that_was_switched_off_comes_back_with_what_lay_there(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    lying = made(gpus, "1g.10gb", 6)
    steps = (DestroySlice(slice=lying), DisableMig(gpu_uuid=gpus.gpu.uuid))
    bench.change(steps, Record(owned=(owned(lying, "chat"),)))
    assert layout(gpus.driver.read()) == {gpus.gpu.uuid: (False, ())}
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert [(s.profile, s.placement) for s in gpus.slices()] == [("1g.10gb", lying.placement)]


def test_what_cannot_be_undone_is_told_and_the_rest_is_undone_all_the_same(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    made(gpus, "1g.10gb", 6)
    bench.change((create(gpus, "2g.20gb", 0), create(gpus, "2g.20gb", 2)), Record())
    stuck = FailingDriver(
        gpus.driver, fails_at=0, error=lambda: GpuBusyError("Process 4711 holds it.", hint="Stop.")
    )

    with pytest.raises(ApplyError, match="could not be undone completely") as caught:
        undo(bench.journal(), stuck, bench.events.append)

    assert caught.value.details == ("Process 4711 holds it. Stop.",)
    assert [str(s.placement) for s in gpus.slices()] == ["2:2", "6:1"]
    undo(bench.journal(), gpus.driver, bench.events.append)  # the cause has gone
    assert [str(s.placement) for s in gpus.slices()] == ["6:1"]


def test_a_step_is_described_without_a_replica_where_it_has_none(gpus: SimulatedGpus) -> None:
    step = CreateSlice(planned=gpus.planned("2g.20gb", 0), replica=None)
    assert describe(step, [gpus.gpu]) == "GPU 0: create 2g.20gb at 0:2"


def test_a_refused_step_ends_the_change_there(gpus: SimulatedGpus, bench: Bench) -> None:
    driver = FailingDriver(gpus.driver, fails_at=1, error=refused)
    steps = (EnableMig(gpu_uuid=gpus.gpu.uuid), create(gpus, "1g.10gb", 0))
    with pytest.raises(DriverError, match="refused"):
        bench.change((*steps, create(gpus, "1g.10gb", 1)), Record(), driver=driver)
    assert gpus.slices() == ()
    assert driver.changes == 2
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert layout(gpus.driver.read()) == {gpus.gpu.uuid: (False, ())}
