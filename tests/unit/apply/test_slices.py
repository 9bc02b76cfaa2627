"""Steps are carried out as planned, and every step can be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_record, owned
from changing import Bench, FailingDriver, KilledError, layout
from gpuslice import simulator
from gpuslice.apply.record import Entry, Journal
from gpuslice.apply.slices import undo
from gpuslice.errors import (
    ApplyError,
    DriverError,
    GpuBusyError,
    InsufficientResourcesError,
    InterruptedChangeError,
    ReadBackError,
)
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.event import EventKind
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import PlannedSlice
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
    assert caught.value.code == "foreign-slices"
    assert "--allow foreign-slices" in caught.value.hint
    assert caught.value.details == (
        "GPU 0: somebody else's 4g.40gb lies at 0:4, where 3g.40gb at 0:4 was",
        "GPU 0: 3g.40gb at 0:4, destroyed by the change, is missing",
    )
    assert gpus.slices() == (theirs,)


def test_our_old_slice_is_given_up_for_somebody_elses_where_that_is_allowed(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    ours, other = made(gpus, "2g.20gb", 0), made(gpus, "1g.10gb", 6)
    before = a_record(owned(ours, "chat"), owned(other, "coder"))
    bench.change((DestroySlice(slice=ours), DestroySlice(slice=other)), before)
    theirs = made(gpus, "3g.40gb", 0)

    allow = ("foreign-slices",)
    record = undo(bench.journal(), gpus.driver, bench.events.append, allow=allow)

    assert [(s.profile, str(s.placement)) for s in gpus.slices()] == [
        ("3g.40gb", "0:4"),
        ("1g.10gb", "6:1"),
    ]
    assert theirs in gpus.slices()
    assert [str(o.replica) for o in record.owned] == ["coder/0"]
    (note,) = [e.text for e in bench.events if e.kind is EventKind.NOTE]
    assert note == (
        "GPU 0: somebody else's 3g.40gb lies at 0:4, where 2g.20gb at 0:2 was, which is given up"
    )


def test_a_slice_that_came_meanwhile_where_ours_was_refused_is_not_taken_for_ours(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    enable = EnableMig(gpu_uuid=gpus.gpu.uuid)
    ours = create(gpus, "2g.20gb", 0)

    def meanwhile() -> None:
        if driver.changes == 1:
            gpus.driver.create_slice(gpus.planned("2g.20gb", 0))

    driver = FailingDriver(gpus.driver, before=meanwhile)
    with pytest.raises(InsufficientResourcesError):
        bench.change((enable, ours), Record(), driver=driver)
    theirs = gpus.slices()
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert gpus.slices() == theirs
    assert [(s.profile, str(s.placement)) for s in theirs] == [("2g.20gb", "0:2")]


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

    class Stuck(FailingDriver):
        def destroy_slice(self, slice_: Slice) -> None:
            if slice_.placement.start == 2:
                raise GpuBusyError("Process 4711 holds it.", hint="Stop.")
            super().destroy_slice(slice_)

    stuck = Stuck(gpus.driver)

    with pytest.raises(ApplyError, match="could not be undone completely") as caught:
        undo(bench.journal(), stuck, bench.events.append)

    assert caught.value.code == "apply-failed"
    assert "`gpuslice down`" in caught.value.hint
    assert caught.value.details == (
        "GPU 0: Process 4711 holds it. Stop.",
        "GPU 0: 2g.20gb at 2:2, made by the change, is still there",
    )
    assert [str(s.placement) for s in gpus.slices()] == ["2:2", "6:1"]
    undo(bench.journal(), gpus.driver, bench.events.append)  # the cause has gone
    assert [str(s.placement) for s in gpus.slices()] == ["6:1"]


def test_a_gpu_that_looks_different_after_a_step_ends_the_change(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    gone = made(gpus, "1g.10gb", 6)

    class Careless(FailingDriver):
        def create_slice(self, planned: PlannedSlice) -> Slice:
            created = super().create_slice(planned)
            self.driver.destroy_slice(gone)
            return created

    with pytest.raises(ReadBackError) as caught:
        bench.change((create(gpus, "2g.20gb", 0),), Record(), driver=Careless(gpus.driver))
    assert caught.value.details == (
        f"1g.10gb at 6:1 (GPU instance {gone.gpu_instance_id}) is not there",
    )
    assert [entry.done for entry in bench.journal().entries] == [False]


def test_before_the_first_step_the_journal_says_what_was_and_all_that_is_wanted(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    lying = made(gpus, "1g.10gb", 6)
    steps = (DestroySlice(slice=lying), create(gpus, "2g.20gb", 0))

    def check() -> None:
        raise InterruptedChangeError("Interrupted.")

    with pytest.raises(InterruptedChangeError):
        bench.change(steps, Record(), check=check)
    journal = bench.journal()
    (was,) = journal.was
    assert (was.gpu_uuid, was.index, was.slices) == (gpus.gpu.uuid, 0, (lying,))
    assert [(e.destroyed, e.created) for e in journal.wanted] == [
        (lying, None),
        (None, gpus.planned("2g.20gb", 0)),
    ]
    assert journal.entries == ()
    assert journal.boot_id == gpus.driver.boot_id()


def test_after_a_reboot_slices_are_let_be_and_only_the_mode_is_brought_back(
    gpus: SimulatedGpus, bench: Bench
) -> None:
    bench.change((EnableMig(gpu_uuid=gpus.gpu.uuid), create(gpus, "2g.20gb", 0)), Record())
    simulator.reboot(gpus.directory)
    assert undo(bench.journal(), gpus.driver, bench.events.append) == Record()
    assert layout(gpus.driver.read()) == {gpus.gpu.uuid: (False, ())}

    theirs = made(gpus, "2g.20gb", 0)
    undo(bench.journal(), gpus.driver, bench.events.append)
    assert gpus.slices() == (theirs,)


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
