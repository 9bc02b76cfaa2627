"""What every `Driver` promises, on every kind of board it drives."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gpuslice import simulator
from gpuslice.errors import (
    DriverError,
    GpuBusyError,
    InsufficientResourcesError,
    MigUnsupportedError,
    PermissionDeniedError,
    ReadBackError,
)
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.model.gpu import MigMode, Slice
from gpuslice.simulator.machine import set_clients, set_mirrored, set_privileged
from simulated_gpus import SimulatedGpus, simulated_gpus

BOARDS = ("a100-80gb", "a30", "h100-80gb", "rtx-pro-6000", "a100-80gb mirrored")
OFF = MigMode(current=False, pending=False)
ON = MigMode(current=True, pending=True)


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest, tmp_path: Path) -> SimulatedGpus:
    """One GPU of every kind, MIG on, nothing on it."""
    key, _, mirrored = str(request.param).partition(" ")
    simulator.load(tmp_path, key)
    set_mirrored(tmp_path, 0, mirrored=bool(mirrored))
    return simulated_gpus(tmp_path, key)


@pytest.fixture
def a100(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path)


@contextmanager
def a_process_on(device_uuid: str) -> Iterator[int]:
    """Run a real process that is bound to a GPU or slice, and yield its pid."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device_uuid}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        yield process.pid
        process.communicate()


def every_placement(geometry: Geometry) -> Iterator[tuple[Profile, Placement]]:
    for profile in geometry.profiles:
        for placement in profile.placements:
            yield profile, placement


# --- Creating, reading back, destroying -----------------------------------------------------------


def test_every_profile_can_be_created_at_every_placement_and_destroyed(
    board: SimulatedGpus,
) -> None:
    for profile, placement in every_placement(board.geometry):
        made = board.driver.create_slice(board.planned(profile.name, placement.start))
        assert (made.profile, made.placement) == (profile.name, placement)
        assert made.memory_mib == profile.memory_mib
        assert made.uuid is not None
        assert made.uuid.startswith("MIG-")
        assert board.slices() == (made,)
        board.driver.destroy_slice(made)
        assert board.slices() == ()


def test_a_full_gpu_is_read_back_whole_and_emptied_in_any_order(board: SimulatedGpus) -> None:
    for profile in board.geometry.profiles:
        made = fill(board, profile)
        assert len(made) == profile.max_instances
        assert board.slices() == tuple(made)
        assert len({slice_.uuid for slice_ in made}) == len(made)
        for slice_ in reversed(made):
            board.driver.destroy_slice(slice_)
        assert board.slices() == ()


def fill(board: SimulatedGpus, profile: Profile) -> list[Slice]:
    made: list[Slice] = []
    for placement in profile.placements:
        occupied = board.gpu.occupied
        if board.geometry.allows(occupied, profile.name, placement):
            made.append(board.driver.create_slice(board.planned(profile.name, placement.start)))
    return made


def test_destroying_a_slice_that_is_gone_is_fine(board: SimulatedGpus) -> None:
    profile, placement = next(every_placement(board.geometry))
    made = board.driver.create_slice(board.planned(profile.name, placement.start))
    board.driver.destroy_slice(made)
    board.driver.destroy_slice(made)
    assert board.slices() == ()


def test_a_half_made_slice_is_seen_and_can_be_destroyed(board: SimulatedGpus) -> None:
    profile = board.geometry.profiles[0]
    board.nvml.nvmlDeviceCreateGpuInstance(board.handle(), profile.id)
    (half,) = board.slices()
    assert (half.profile, half.memory_mib) == (profile.name, profile.memory_mib)
    assert (half.compute_instance_id, half.uuid) == (None, None)
    board.driver.destroy_slice(half)
    assert board.slices() == ()


def test_neighbours_of_a_new_slice_are_not_touched(a100: SimulatedGpus) -> None:
    first = a100.driver.create_slice(a100.planned("3g.40gb", 0))
    second = a100.driver.create_slice(a100.planned("2g.20gb", 4))
    a100.driver.destroy_slice(first)
    assert a100.slices() == (second,)


def test_what_lies_in_the_way_is_named(a100: SimulatedGpus) -> None:
    there = a100.driver.create_slice(a100.planned("2g.20gb", 2))
    with pytest.raises(InsufficientResourcesError) as caught:
        a100.driver.create_slice(a100.planned("3g.40gb", 0))
    assert caught.value.details == (f"2g.20gb lies at 2:2 (GPU instance {there.gpu_instance_id})",)
    assert a100.slices() == (there,)


def test_a_profile_id_of_another_board_is_refused_before_anything_is_made(
    a100: SimulatedGpus,
) -> None:
    double_memory = replace(a100.planned("2g.20gb", 0), profile_id=15)
    with pytest.raises(DriverError, match=r"2g\.20gb with id 15") as caught:
        a100.driver.create_slice(double_memory)
    assert "2g.20gb (id 14)" in caught.value.hint
    assert a100.slices() == ()


def test_an_illegal_placement_is_refused_with_the_legal_ones(a100: SimulatedGpus) -> None:
    with pytest.raises(DriverError, match="cannot lie at 1:2") as caught:
        a100.driver.create_slice(a100.planned("2g.20gb", 1))
    assert "0:2, 2:2, 4:2" in caught.value.hint


def test_nothing_is_created_while_mig_is_off(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    with pytest.raises(DriverError, match="MIG mode of GPU 0 is off"):
        machine.driver.create_slice(machine.planned("2g.20gb", 0))


def test_a_slice_that_took_the_id_of_an_older_one_is_left_alone(a100: SimulatedGpus) -> None:
    older = a100.driver.create_slice(a100.planned("4g.40gb", 0))
    a100.driver.destroy_slice(older)
    newer = a100.driver.create_slice(a100.planned("3g.40gb", 0))
    assert newer.gpu_instance_id == older.gpu_instance_id
    with pytest.raises(ReadBackError, match=r"is 3g\.40gb at 0:4 now, not 4g\.40gb"):
        a100.driver.destroy_slice(older)
    assert a100.slices() == (newer,)


def test_a_gpu_instance_cut_into_several_is_destroyed_whole(a100: SimulatedGpus) -> None:
    handle = a100.nvml.nvmlDeviceCreateGpuInstance(a100.handle(), 9)
    for _ in range(3):
        a100.nvml.nvmlGpuInstanceCreateComputeInstance(handle, 0)
    (cut,) = a100.slices()
    assert cut.compute_instance_id == 0
    a100.driver.destroy_slice(cut)
    assert a100.slices() == ()


# --- Processes ------------------------------------------------------------------------------------


def test_a_process_on_a_slice_keeps_it_and_is_named(board: SimulatedGpus) -> None:
    profile, placement = next(every_placement(board.geometry))
    made = board.driver.create_slice(board.planned(profile.name, placement.start))
    assert made.uuid is not None
    with a_process_on(made.uuid) as pid:
        with pytest.raises(GpuBusyError, match=rf"python\S* \(pid {pid}\)") as caught:
            board.driver.destroy_slice(made)
        assert f"kill {pid}" in caught.value.hint
        assert sum(board.slept_s) == pytest.approx(0.4), "transient in-use is waited out"
        assert board.slices() == (made,)
    board.driver.destroy_slice(made)
    assert board.slices() == ()


def test_a_process_is_found_on_its_slice_with_its_memory(a100: SimulatedGpus) -> None:
    made = a100.driver.create_slice(a100.planned("2g.20gb", 0))
    a100.driver.create_slice(a100.planned("2g.20gb", 2))
    assert made.uuid is not None
    with a_process_on(made.uuid) as pid:
        (process,) = a100.driver.read_processes(made.gpu_uuid)
        use = a100.driver.read_use(made.gpu_uuid)
    assert (process.pid, process.gpu_instance_id) == (pid, made.gpu_instance_id)
    assert process.name.startswith("python")
    assert process.user == pwd.getpwuid(os.getuid()).pw_name
    assert process.memory_mib is not None
    assert use[made.gpu_instance_id].used_mib >= process.memory_mib > 0


def test_an_idle_slice_uses_little_of_what_it_has(board: SimulatedGpus) -> None:
    profile, placement = next(every_placement(board.geometry))
    made = board.driver.create_slice(board.planned(profile.name, placement.start))
    use = board.driver.read_use(made.gpu_uuid)
    assert list(use) == [made.gpu_instance_id]
    assert use[made.gpu_instance_id].total_mib == made.memory_mib
    assert use[made.gpu_instance_id].used_mib < 100


def test_a_half_made_slice_has_no_use_to_read(a100: SimulatedGpus) -> None:
    a100.nvml.nvmlDeviceCreateGpuInstance(a100.handle(), 14)
    assert a100.driver.read_use(a100.gpu.uuid) == {}


# --- MIG mode -------------------------------------------------------------------------------------


def test_mig_mode_is_switched_on_and_off_and_read_back(board: SimulatedGpus) -> None:
    assert board.gpu.mig == ON
    board.driver.set_mig_mode(board.gpu.uuid, enabled=False)
    assert board.gpu.mig == OFF
    board.driver.set_mig_mode(board.gpu.uuid, enabled=True)
    assert board.gpu.mig == ON


def test_switching_to_the_mode_there_is_calls_nothing(a100: SimulatedGpus) -> None:
    a100.nvml.fail("nvmlDeviceSetMigMode", a100.nvml.NVML_ERROR_UNKNOWN)
    a100.driver.set_mig_mode(a100.gpu.uuid, enabled=True)
    assert a100.gpu.mig == ON


def test_mig_is_not_switched_off_under_slices(board: SimulatedGpus) -> None:
    profile, placement = next(every_placement(board.geometry))
    made = board.driver.create_slice(board.planned(profile.name, placement.start))
    with pytest.raises(GpuBusyError) as caught:
        board.driver.set_mig_mode(made.gpu_uuid, enabled=False)
    assert any(profile.name in line for line in caught.value.details)
    assert board.gpu.mig == ON
    assert board.slices() == (made,)


@pytest.mark.parametrize("key", ["a100-80gb", "h100-80gb"])
def test_a_client_of_the_gpu_keeps_its_mode_and_nothing_stays_pending(
    tmp_path: Path, key: str
) -> None:
    machine = simulated_gpus(tmp_path, key, mig=False)
    with a_process_on(machine.gpu.uuid) as pid:
        with pytest.raises(GpuBusyError, match=rf"\(pid {pid}\).*at the next restart neither"):
            machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
        assert machine.gpu.mig == OFF


def test_a_client_that_nvml_does_not_show_is_admitted_to(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    machine.nvml.replace("nvmlDeviceGetComputeRunningProcesses", lambda handle: [])
    set_clients(tmp_path, 0, (os.getpid(),))
    with pytest.raises(GpuBusyError, match="a client that NVML does not name"):
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)


def test_a_gpu_without_mig_says_so(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, "l4", mig=False)
    assert (machine.gpu.mig, machine.gpu.geometry, machine.slices()) == (None, None, ())
    with pytest.raises(MigUnsupportedError, match="has no MIG") as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert "A100" in caught.value.hint


# --- Permission -----------------------------------------------------------------------------------


def test_without_privilege_a_gpu_with_mig_off_can_still_be_planned_for(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    privileged = machine.geometry
    set_privileged(tmp_path, privileged=False)
    assert simulated_gpus(tmp_path, mig=False).geometry == privileged


def test_without_privilege_slices_cannot_be_listed_and_the_remedy_is_told(
    a100: SimulatedGpus,
) -> None:
    set_privileged(a100.directory, privileged=False)
    with pytest.raises(PermissionDeniedError) as caught:
        a100.driver.read()
    assert "mig/monitor" in caught.value.hint


def test_without_privilege_the_mode_stays(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, mig=False)
    set_privileged(tmp_path, privileged=False)
    with pytest.raises(PermissionDeniedError) as caught:
        machine.driver.set_mig_mode(machine.gpu.uuid, enabled=True)
    assert "root" in caught.value.hint
    assert machine.gpu.mig == OFF


# --- The machine ----------------------------------------------------------------------------------


def test_several_gpus_are_read_by_index_and_changed_apart(tmp_path: Path) -> None:
    machine = simulated_gpus(tmp_path, "a100-80gb:2,h100-80gb")
    observed = machine.driver.read()
    assert [gpu.index for gpu in observed.gpus] == [0, 1, 2]
    assert [gpu.mig for gpu in observed.gpus] == [ON, OFF, OFF]
    assert len({gpu.uuid for gpu in observed.gpus}) == 3
    assert observed.simulated


def test_two_drivers_see_one_machine(a100: SimulatedGpus) -> None:
    other = simulated_gpus(a100.directory)
    made = a100.driver.create_slice(a100.planned("2g.20gb", 0))
    assert other.slices() == (made,)
    other.driver.destroy_slice(made)
    assert a100.slices() == ()


def test_a_restart_begins_a_new_life_without_slices(a100: SimulatedGpus) -> None:
    before = a100.driver.boot_id()
    assert a100.driver.boot_id() == before
    a100.driver.create_slice(a100.planned("2g.20gb", 0))
    simulator.reboot(a100.directory)
    after = simulated_gpus(a100.directory)
    assert after.driver.boot_id() != before
    assert after.slices() == ()


def test_a_gpu_that_is_not_there_is_an_error_of_ours(a100: SimulatedGpus) -> None:
    with pytest.raises(DriverError, match="GPU-nowhere"):
        a100.driver.read_use("GPU-nowhere")
