"""What a real driver answers, held against the board table and the simulator. Changes nothing.

Run on a machine with an NVIDIA driver: ``make test-hardware``. Not part of ``make test``: where
there is no driver, these tests fail and say so, rather than pass by being skipped. MIG mode, clocks
and every other setting stay as they are; the first and the last reading have to be equal.
"""

from __future__ import annotations

from gpuslice.driver.nvml import NvmlDriver
from gpuslice.hardware import board_for
from gpuslice.model.demand import Demand, NamedProfile, Rules
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan
from hardware.twins import Twin


def test_every_gpu_tells_who_it_is(observed: Observed) -> None:
    assert observed.driver_version
    for gpu in observed.gpus:
        assert gpu.uuid.startswith("GPU-")
        assert gpu.memory_mib > 0
        assert gpu.pci_bus_id.count(":") == 2


def test_geometry_follows_the_rules_that_the_planner_relies_on(mig_gpus: tuple[Gpu, ...]) -> None:
    for gpu in mig_gpus:
        assert gpu.geometry is not None
        whole = gpu.geometry.memory_slices
        for profile in gpu.geometry.profiles:
            assert profile.placements, f"{profile.name} has no placement"
            assert {p.size for p in profile.placements} == {profile.memory_slices}
            assert all(p.end <= whole for p in profile.placements)
            assert profile.memory_mib < gpu.memory_mib
            assert gpu.geometry.free((), profile) == profile.max_instances


def test_geometry_equals_the_board_table_but_for_listed_sizes(mig_gpus: tuple[Gpu, ...]) -> None:
    for gpu in mig_gpus:
        known = board_for(gpu.name)
        assert known is not None, f"{gpu.name} is not in the board table"
        assert gpu.geometry is not None
        real = {profile.name: profile for profile in gpu.geometry.profiles}
        table = {profile.name: profile for profile in known.geometry.profiles}
        assert set(real) == set(table)
        for name, profile in sorted(real.items()):
            assert shape(profile) == shape(table[name])
            mib, expected = profile.memory_mib, table[name].memory_mib
            print(f"{gpu.name} {name}: {mib} MiB, table {expected} MiB, {profile.sm_count} SMs")


def test_the_simulator_shows_the_same_geometry_for_this_board(twins: list[Twin]) -> None:
    """Sizes may differ from driver to driver; `test_answers.py` lists where they do."""
    for twin in twins:
        assert twin.simulated.geometry is not None
        assert twin.real.geometry is not None
        simulated = {profile.name: shape(profile) for profile in twin.simulated.geometry.profiles}
        assert simulated == {p.name: shape(p) for p in twin.real.geometry.profiles}
        assert twin.simulated.architecture == twin.real.architecture


def test_use_and_processes_can_be_read(driver: NvmlDriver, observed: Observed) -> None:
    for gpu in observed.gpus:
        use = driver.read_use(gpu.uuid)
        assert set(use) == {s.gpu_instance_id for s in gpu.slices if s.uuid}
        for process in driver.read_processes(gpu.uuid):
            assert process.pid > 0


def test_every_profile_can_be_planned_in_full_number(
    observed: Observed, mig_gpus: tuple[Gpu, ...]
) -> None:
    gpu = mig_gpus[0]
    assert gpu.geometry is not None
    rules = Rules(gpus=frozenset({gpu.uuid}))
    for profile in gpu.geometry.profiles:
        free = gpu.geometry.free(gpu.occupied, profile)
        if not free:
            continue
        named = (NamedProfile(profile=profile.name),)
        demands = [Demand(model="m", replicas=free, profiles=named)]
        made = plan(observed, demands, (), rules)
        check_plan(made, observed, demands, (), rules)
        assert len(made.seats) == free


def shape(profile: Profile) -> tuple[object, ...]:
    """Everything of a profile that must never differ between drivers."""
    return (profile.id, profile.nvml_enum, profile.compute_slices, profile.placements)
