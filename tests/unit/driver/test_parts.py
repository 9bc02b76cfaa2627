"""Several compute instances in one slice: where they go, and what happens where that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpuslice.driver.parts import seat
from gpuslice.errors import DriverError, ReadBackError
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Slice
from simulated_gpus import SimulatedGpus, simulated_gpus

PLACED = "nvmlGpuInstanceCreateComputeInstanceWithPlacement"
UNPLACED = "nvmlGpuInstanceCreateComputeInstance"
PLACEMENTS = "nvmlGpuInstanceGetComputeInstancePossiblePlacements"


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedGpus:
    return simulated_gpus(tmp_path)


def cut(machine: SimulatedGpus, profile: str, *parts: int) -> Slice:
    return machine.driver.create_slice(replace(machine.planned(profile, 0), parts=parts))


def shown(slice_: Slice) -> list[tuple[int, int]]:
    """(start, compute slices) of each part."""
    return [(part.start, part.compute_slices) for part in slice_.parts]


@pytest.mark.parametrize("board", ["a100-80gb", "h100-80gb", "a30", "rtx-pro-6000"])
def test_the_largest_profile_can_be_cut_into_single_slices(tmp_path: Path, board: str) -> None:
    machine = simulated_gpus(tmp_path, board)
    whole = max(machine.geometry.profiles, key=lambda profile: profile.compute_slices)
    made = cut(machine, whole.name, *(1,) * whole.compute_slices)
    assert shown(made) == [(start, 1) for start in range(whole.compute_slices)]
    uuids = [part.uuid for part in made.parts]
    assert len(set(uuids)) == whole.compute_slices
    assert made.uuid in uuids
    assert machine.slices() == (made,)
    machine.driver.destroy_slice(made)
    assert machine.slices() == ()


def test_parts_are_made_in_the_order_asked_for(machine: SimulatedGpus) -> None:
    made = cut(machine, "4g.40gb", 2, 1, 1)
    assert shown(made) == [(0, 2), (2, 1), (3, 1)]
    assert [part.compute_instance_id for part in made.parts] == [0, 1, 2]
    assert [made.name_of(part) for part in made.parts] == [
        "2c.4g.40gb",
        "1c.4g.40gb",
        "1c.4g.40gb",
    ]


def test_a_part_that_would_take_the_only_place_of_a_later_one_goes_elsewhere(
    machine: SimulatedGpus,
) -> None:
    assert shown(cut(machine, "3g.40gb", 1, 2)) == [(0, 2), (2, 1)]


def test_a_slice_may_be_cut_in_part_only(machine: SimulatedGpus) -> None:
    made = cut(machine, "3g.40gb", 1)
    assert shown(made) == [(0, 1)]


def test_one_part_of_all_slices_is_a_slice_like_any_other(machine: SimulatedGpus) -> None:
    assert cut(machine, "3g.40gb", 3).parts == ()


@pytest.mark.parametrize("parts", [(2, 2), (0, 1), (4,)])
def test_parts_that_no_such_slice_holds_are_refused_before_anything_is_made(
    machine: SimulatedGpus, parts: Sequence[int]
) -> None:
    machine.nvml.fail("nvmlDeviceCreateGpuInstanceWithPlacement", 999)
    with pytest.raises(DriverError, match=r"3g\.40gb cannot be cut into"):
        cut(machine, "3g.40gb", *parts)


def test_a_size_that_nothing_offers_is_refused_with_those_that_are(machine: SimulatedGpus) -> None:
    with pytest.raises(DriverError, match=r"it offers \[1, 2, 4\] slices, 3 are needed"):
        cut(machine, "4g.40gb", 3, 1)
    assert machine.slices() == ()


def test_parts_that_do_not_lie_side_by_side_are_refused(machine: SimulatedGpus) -> None:
    machine.nvml.replace(PLACEMENTS, only_the_first(machine))
    with pytest.raises(DriverError, match=r"no room for 2c \+ 2c \+ 2c \+ 1c side by side"):
        cut(machine, "7g.80gb", 2, 2, 2, 1)
    assert machine.slices() == ()


def only_the_first(machine: SimulatedGpus) -> Any:
    def listed(instance: Any, profile_id: int, array: Any, count: Any) -> Any:
        real = getattr(machine.nvml.original, PLACEMENTS)(instance, profile_id, array, count)
        if array is not None:
            count._obj.value = 1
        return real

    return listed


def test_a_driver_that_takes_no_placement_chooses_and_is_read_back(machine: SimulatedGpus) -> None:
    machine.nvml.fail(PLACED, machine.nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    assert sorted(size for _, size in shown(cut(machine, "4g.40gb", 2, 1, 1))) == [1, 1, 2]


def test_a_driver_that_does_not_tell_placements_chooses_and_is_read_back(
    machine: SimulatedGpus,
) -> None:
    machine.nvml.fail(PLACEMENTS, machine.nvml.NVML_ERROR_NOT_SUPPORTED)
    machine.nvml.fail(PLACED, machine.nvml.NVML_ERROR_UNKNOWN)
    assert sorted(size for _, size in shown(cut(machine, "3g.40gb", 1, 1))) == [1, 1]


def test_a_part_that_lies_elsewhere_than_asked_is_noticed(machine: SimulatedGpus) -> None:
    def by_the_drivers_own_choice(instance: Any, profile_id: int, placement: Any) -> Any:
        original = machine.nvml.original
        elsewhere = original.c_nvmlComputeInstancePlacement_t(start=1, size=1)
        return getattr(original, PLACED)(instance, profile_id, original.byref(elsewhere))

    machine.nvml.replace(PLACED, by_the_drivers_own_choice)
    with pytest.raises(ReadBackError, match="was to have 1c, but has 1c at 1"):
        cut(machine, "3g.40gb", 1)
    assert machine.slices() == ()


def test_a_part_that_fails_takes_the_slice_with_it(machine: SimulatedGpus) -> None:
    made: list[Any] = []

    def fail_the_second(instance: Any, profile_id: int, placement: Any) -> Any:
        if made:
            machine.nvml.refuse(machine.nvml.NVML_ERROR_INSUFFICIENT_RESOURCES)
        made.append(getattr(machine.nvml.original, PLACED)(instance, profile_id, placement))
        return made[0]

    machine.nvml.replace(PLACED, fail_the_second)
    with pytest.raises(DriverError, match="a compute instance of 1 slices, 2 of 2"):
        cut(machine, "3g.40gb", 1, 1)
    assert machine.slices() == ()


def test_a_slice_that_somebody_else_cut_is_shown_with_its_parts(machine: SimulatedGpus) -> None:
    handle = machine.nvml.nvmlDeviceCreateGpuInstance(machine.handle(), 9)
    for _ in range(2):
        getattr(machine.nvml, UNPLACED)(handle, 0)
    (there,) = machine.slices()
    assert [size for _, size in shown(there)] == [1, 1]
    assert there.compute_instance_id == 0


def places(*starts: int, size: int = 1) -> list[Placement]:
    return [Placement(start, size) for start in starts]


def test_seats_are_the_first_places_that_fit_together() -> None:
    assert seat([places(0, 1, 2), places(0, 1, 2)]) == (Placement(0, 1), Placement(1, 1))
    assert seat([places(0, 1, 2), places(0, size=2)]) == (Placement(2, 1), Placement(0, 2))
    assert seat([places(0), places(0)]) is None
    assert seat([]) == ()
