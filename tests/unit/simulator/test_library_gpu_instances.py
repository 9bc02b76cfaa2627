"""GPU instances and their profiles, each answer with NVML's code."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import pytest

from gpuslice.simulator.machine import set_clients, set_privileged
from simulated import (
    ARGUMENT_VERSION_MISMATCH,
    IN_USE,
    INSUFFICIENT_RESOURCES,
    INSUFFICIENT_SIZE,
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    SimulatedMachine,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "h200" / "answers.json"
REAL_H200: dict[str, Any] = json.loads(GOLDEN.read_text())


class TestProfiles:
    def test_an_h200_answers_as_the_real_one_did(self, a_machine: Any) -> None:
        machine = a_machine("h200", mig=False)
        gpu = machine.gpu()

        for enum, real in REAL_H200["profiles"].items():
            if isinstance(real, str):
                error = getattr(machine.nvml, real)
                with pytest.raises(error):
                    machine.nvml.nvmlDeviceGetGpuInstanceProfileInfo(gpu, int(enum))
                continue
            info = machine.nvml.nvmlDeviceGetGpuInstanceProfileInfo(gpu, int(enum))
            answer = {field: getattr(info, field) for field in real if field != "remaining"}
            assert answer | {"remaining": machine.free(info.id)} == real

    def test_an_h200_has_the_placements_of_the_real_one(self, a_machine: Any) -> None:
        machine = a_machine("h200", mig=False)

        for profile_id, real in REAL_H200["placements"].items():
            found = machine.placements(int(profile_id))
            starts = ",".join(str(start) for start, _ in found)
            assert f"{{{starts}}}:{found[0][1]}" == real

    def test_the_first_form_has_the_same_numbers(self, machine: SimulatedMachine) -> None:
        ask = machine.nvml.nvmlDeviceGetGpuInstanceProfileInfo
        old, new = ask(machine.gpu(), 1, version=1), ask(machine.gpu(), 1)

        assert (old.id, old.memorySizeMB, old.sliceCount) == (14, 19968, 2)
        assert all(getattr(old, name) == getattr(new, name) for name, _ in old._fields_)

    def test_a_profile_can_be_asked_for_by_id(self, machine: SimulatedMachine) -> None:
        ask = machine.nvml.nvmlDeviceGetGpuInstanceProfileInfoById

        assert ask(machine.gpu(), 15).name == "MIG 1g.20gb"
        assert machine.code(ask, machine.gpu(), 77) == INVALID_ARGUMENT

    def test_another_version_of_the_structure_is_refused(self, machine: SimulatedMachine) -> None:
        info = machine.nvml.c_nvmlGpuInstanceProfileInfo_v2_t()
        info.version = 0x03000098
        function = machine.nvml._nvmlGetFunctionPointer("nvmlDeviceGetGpuInstanceProfileInfoV")

        assert function(machine.gpu(), 0, ctypes.byref(info)) == ARGUMENT_VERSION_MISMATCH

    def test_a_gpu_without_mig_has_no_profiles(self, a_machine: Any) -> None:
        machine = a_machine("l4", mig=False)
        ask = machine.nvml.nvmlDeviceGetGpuInstanceProfileInfo

        assert machine.code(ask, machine.gpu(), 0) == NOT_SUPPORTED
        assert machine.code(machine.free, 19) == NOT_SUPPORTED

    def test_placements_do_not_depend_on_what_is_occupied(self, machine: SimulatedMachine) -> None:
        before = machine.placements(9)
        machine.create(0)

        assert machine.placements(9) == before == [(0, 4), (4, 4)]

    def test_an_array_too_short_for_the_placements_is_refused(
        self, machine: SimulatedMachine
    ) -> None:
        count = ctypes.c_uint(3)
        short = (machine.nvml.c_nvmlGpuInstancePlacement_t * 3)()
        ask = machine.nvml.nvmlDeviceGetGpuInstancePossiblePlacements

        code = machine.code(ask, machine.gpu(), 19, short, ctypes.byref(count))

        assert code == INSUFFICIENT_SIZE


class TestCreating:
    def test_recorded_free_counts_come_out(self, machine: SimulatedMachine) -> None:
        ids = (19, 20, 15, 14, 9, 5, 0)
        counts = [[machine.free(one) for one in ids]]
        for profile_id, start in ((5, 0), (14, 4), (19, 6)):
            machine.create(profile_id, start)
            counts.append([machine.free(one) for one in ids])

        assert counts == [
            [7, 1, 4, 3, 2, 1, 1],
            [3, 1, 2, 1, 1, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]

    @pytest.mark.parametrize(
        ("index", "ids"),
        [
            (0, [(5, 4, 2), (3, 0, 2), (4, 2, 2), (13, 6, 1)]),
            (1, [(3, 4, 2), (5, 0, 2), (6, 2, 2), (9, 6, 1)]),
        ],
        ids=["canonical", "mirrored"],
    )
    def test_the_driver_chooses_places_in_its_order(
        self, a_machine: Any, index: int, ids: list[tuple[int, int, int]]
    ) -> None:
        machine = a_machine("a100-80gb:2", mig=False)
        machine.enable_mig(index)

        created = [machine.gi(machine.create(one, index=index)) for one in (14, 14, 14, 20)]

        assert created == ids

    def test_a_placement_is_kept(self, machine: SimulatedMachine) -> None:
        assert machine.gi(machine.create(14, 2)) == (4, 2, 2)

    def test_a_taken_place_is_a_lack_of_resources(self, machine: SimulatedMachine) -> None:
        machine.create(19, 1)

        assert machine.code(machine.create, 14, 0) == INSUFFICIENT_RESOURCES
        assert machine.code(machine.create, 0) == INSUFFICIENT_RESOURCES

    def test_a_place_the_profile_never_has_is_invalid(self, machine: SimulatedMachine) -> None:
        create = machine.nvml.nvmlDeviceCreateGpuInstanceWithPlacement
        at = machine.nvml.c_nvmlGpuInstancePlacement_t(start=6, size=2)

        assert machine.code(create, machine.gpu(), 14, ctypes.byref(at)) == INVALID_ARGUMENT

    def test_a_structure_passed_by_value_is_invalid(self, machine: SimulatedMachine) -> None:
        """A real library would read the numbers as an address."""
        create = machine.nvml.nvmlDeviceCreateGpuInstanceWithPlacement
        at = machine.nvml.c_nvmlGpuInstancePlacement_t(start=0, size=2)

        assert machine.code(create, machine.gpu(), 14, at) == INVALID_ARGUMENT

    def test_a_profile_the_board_lacks_is_invalid(self, machine: SimulatedMachine) -> None:
        assert machine.code(machine.create, 47) == INVALID_ARGUMENT

    def test_nothing_is_created_with_mig_off(self, a_machine: Any) -> None:
        machine = a_machine(mig=False)

        assert machine.code(machine.create, 19) == NOT_SUPPORTED

    def test_a_client_of_the_whole_gpu_keeps_the_first_instance_away(
        self, machine: SimulatedMachine
    ) -> None:
        set_clients(machine.directory, 0, (4711,))
        assert machine.code(machine.create, 19) == IN_USE

        set_clients(machine.directory, 0, ())
        machine.create(19)
        set_clients(machine.directory, 0, (4711,))
        assert machine.code(machine.create, 19) == SUCCESS


class TestFinding:
    def test_instances_are_listed_by_profile(self, machine: SimulatedMachine) -> None:
        machine.create(9)
        machine.create(19, 0)
        machine.create(19, 2)
        count = ctypes.c_uint(7)
        found = (machine.nvml.c_nvmlGpuInstance_t * 7)()

        machine.nvml.nvmlDeviceGetGpuInstances(machine.gpu(), 19, found, ctypes.byref(count))

        assert [machine.gi(found[i])[1:] for i in range(count.value)] == [(0, 1), (2, 1)]

    def test_none_of_a_profile_is_an_empty_list(self, machine: SimulatedMachine) -> None:
        count = ctypes.c_uint(7)
        found = (machine.nvml.c_nvmlGpuInstance_t * 7)()

        machine.nvml.nvmlDeviceGetGpuInstances(machine.gpu(), 19, found, ctypes.byref(count))

        assert count.value == 0

    def test_an_instance_is_found_by_id(self, machine: SimulatedMachine) -> None:
        machine.create(9)
        ask = machine.nvml.nvmlDeviceGetGpuInstanceById

        assert machine.gi(ask(machine.gpu(), 2)) == (2, 4, 4)
        assert machine.code(ask, machine.gpu(), 1) == NOT_FOUND

    def test_listing_needs_mig(self, a_machine: Any) -> None:
        machine = a_machine(mig=False)
        ask = machine.nvml.nvmlDeviceGetGpuInstanceById

        assert machine.code(ask, machine.gpu(), 0) == NOT_SUPPORTED

    def test_an_element_of_an_array_is_overwritten_as_with_the_real_binding(
        self, machine: SimulatedMachine
    ) -> None:
        machine.create(19, 0)
        machine.create(20, 1)
        count = ctypes.c_uint(1)
        found = (machine.nvml.c_nvmlGpuInstance_t * 1)()
        ask = machine.nvml.nvmlDeviceGetGpuInstances
        ask(machine.gpu(), 19, found, ctypes.byref(count))
        alias = found[0]
        copy = ctypes.cast(found[0], machine.nvml.c_nvmlGpuInstance_t)

        ask(machine.gpu(), 20, found, ctypes.byref(count))

        assert machine.gi(alias)[1] == 1
        assert machine.gi(copy)[1] == 0


class TestDestroying:
    def test_a_destroyed_instance_frees_its_place(self, machine: SimulatedMachine) -> None:
        instance = machine.create(0)

        machine.nvml.nvmlGpuInstanceDestroy(instance)

        assert machine.free(0) == 1

    def test_a_handle_is_never_taken_for_the_successor(self, machine: SimulatedMachine) -> None:
        old = machine.create(9, 0)
        machine.nvml.nvmlGpuInstanceDestroy(old)

        new = machine.create(9, 0)

        assert machine.gi(new)[0] == 1
        assert machine.code(machine.gi, old) == INVALID_ARGUMENT
        assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, old) == INVALID_ARGUMENT

    def test_compute_instances_go_first(self, machine: SimulatedMachine) -> None:
        instance, compute = machine.create_slice(14)

        assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, instance) == IN_USE

        machine.nvml.nvmlComputeInstanceDestroy(compute)
        assert machine.code(machine.nvml.nvmlGpuInstanceDestroy, instance) == SUCCESS


def test_without_privilege_nothing_is_changed_or_listed(machine: SimulatedMachine) -> None:
    instance = machine.create(19)
    set_privileged(machine.directory, privileged=False)
    nvml, gpu = machine.nvml, machine.gpu()

    assert machine.code(nvml.nvmlDeviceSetMigMode, gpu, 0) == NO_PERMISSION
    assert machine.code(machine.create, 19) == NO_PERMISSION
    assert machine.code(nvml.nvmlGpuInstanceDestroy, instance) == NO_PERMISSION
    assert machine.code(nvml.nvmlGpuInstanceGetInfo, instance) == NO_PERMISSION
    assert machine.code(nvml.nvmlDeviceGetGpuInstanceById, gpu, 13) == NO_PERMISSION
    assert machine.code(machine.placements, 19) == NO_PERMISSION
    assert machine.code(machine.free, 19) == NO_PERMISSION
    assert machine.code(nvml.nvmlDeviceGetGpuInstanceProfileInfo, gpu, 0) == SUCCESS
