"""Faults that a machine keeps: shared by processes, counted once, and readable by their owner."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from gpuslice import simulator
from gpuslice.errors import SimulatorStateError
from gpuslice.simulator.codes import Code
from gpuslice.simulator.fault_file import FaultFile
from gpuslice.simulator.faults import Effect, Fail, Fault, Hang, Hold, LoseGpu, ModePending, Reboot

EFFECTS: tuple[Effect, ...] = (
    Fail(Code.IN_USE),
    Fail(Code.UNKNOWN, after=True),
    Hang(),
    Hang(seconds=0.5),
    LoseGpu(1),
    Hold(gpu=0),
    Hold(gpu=1, start=4, pid=12),
    ModePending(gpu=1, code=Code.RESET_REQUIRED),
    Reboot(),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A machine's directory."""
    directory = tmp_path / "machine"
    simulator.load(directory, "a100-80gb:2")
    return directory


def test_every_kind_of_fault_is_read_back_as_it_was_added(directory: Path) -> None:
    faults = [
        Fault(effect=effect, call="nvmlDeviceGetName", at=2, times=None, gpu=1)
        for effect in EFFECTS
    ]

    FaultFile(directory).add(*faults)

    assert [stored.fault for stored in FaultFile(directory).list()] == faults


def test_faults_have_numbers_of_their_own(directory: Path) -> None:
    file = FaultFile(directory)
    file.add(Fault(effect=Reboot()))
    file.add(Fault(effect=Reboot()), Fault(effect=Reboot()))

    assert [stored.id for stored in file.list()] == [1, 2, 3]


def test_a_fault_counts_from_when_it_was_added(directory: Path) -> None:
    file = FaultFile(directory)
    file.add(Fault(effect=Fail(Code.UNKNOWN), at=3, times=2))
    for _ in range(2):
        file.enter("nvmlDeviceGetName", None)
    file.add(Fault(effect=Fail(Code.UNKNOWN), call="nvmlDeviceGetName"))
    for _ in range(5):
        file.enter("nvmlDeviceGetUUID", None)
    file.enter("nvmlDeviceGetName", None)

    assert [(stored.seen, stored.struck) for stored in file.list()] == [(8, 2), (1, 1)]


def test_clearing_forgets_the_faults_and_says_which_they_were(directory: Path) -> None:
    file = FaultFile(directory)
    added = file.add(Fault(effect=Reboot()))

    assert file.clear() == added
    assert not file.exists()
    assert file.list() == ()
    assert file.clear() == ()


def test_only_the_owner_can_read_the_faults(directory: Path) -> None:
    FaultFile(directory).add(Fault(effect=Reboot()))

    files = [path for path in directory.iterdir() if path.name.startswith("faults")]

    assert {path.name for path in files} == {"faults.json", "faults.lock"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def count_calls(directory: Path, times: int) -> None:
    nvml = simulator.load(directory, "a100-80gb:2")
    for _ in range(times):
        nvml.nvmlInit()


def test_calls_of_several_processes_are_all_counted(directory: Path) -> None:
    FaultFile(directory).add(Fault(effect=Fail(Code.UNKNOWN), at=1000))
    context = multiprocessing.get_context("fork")
    callers = [context.Process(target=count_calls, args=(directory, 25)) for _ in range(4)]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert [caller.exitcode for caller in callers] == [0] * 4
    assert FaultFile(directory).list()[0].seen == 100


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"format": 2, "faults": []}),
        json.dumps({"format": 1, "faults": [{}]}),
        json.dumps(
            {"format": 1, "faults": [{"id": 1, "seen": 0, "effect": {"kind": "earthquake"}}]}
        ),
    ],
)
def test_damaged_faults_say_which_file_to_remove(directory: Path, content: str) -> None:
    file = directory / "faults.json"
    file.write_text(content)

    with pytest.raises(SimulatorStateError) as caught:
        FaultFile(directory).list()

    assert str(file) in (caught.value.hint or "")
