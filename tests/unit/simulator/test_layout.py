"""Where the driver puts instances by itself, and what it calls them; against recorded runs."""

from __future__ import annotations

import dataclasses

import pytest

from gpuslice.hardware import board
from gpuslice.model.geometry import Placement
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry
from gpuslice.simulator.layout import (
    add_compute_instance,
    add_gpu_instance,
    device_uuid,
    remove_compute_instance,
    remove_gpu_instance,
)
from gpuslice.simulator.state import SimulatedGpu, new_machine


def a_simulated_gpu(board_key: str = "a100-80gb", *, mirrored: bool = False) -> SimulatedGpu:
    gpu = new_machine(board_key).gpus[0]
    return dataclasses.replace(gpu, mirrored=mirrored, mig_current=True, mig_pending=True)


def fill(gpu: SimulatedGpu, *profile_ids: int) -> tuple[SimulatedGpu, list[int]]:
    """Create instances where the driver likes; their ids in order of creation."""
    ids = []
    for serial, profile_id in enumerate(profile_ids, start=1):
        profile = gpu.board.geometry.with_id(profile_id)
        assert profile is not None
        gpu, made = add_gpu_instance(gpu, profile, None, serial)
        ids.append(made.id)
    return gpu, ids


@pytest.mark.parametrize(
    ("mirrored", "profiles", "ids"),
    [
        (False, (14, 14, 14, 20), [5, 3, 4, 13]),
        (False, (19,) * 7, [13, 11, 12, 7, 8, 9, 10]),
        (False, (9, 9), [2, 1]),
        (True, (9,), [1]),
        (True, (9, 19, 14, 19), [1, 11, 6, 12]),
        (True, (19,) * 7, [9, 7, 8, 11, 12, 13, 14]),
        (False, (15, 15, 15, 15), [5, 3, 4, 6]),
        (False, (5, 9), [1, 2]),
        (False, (0,), [0]),
    ],
)
def test_recorded_sequences_come_out_as_recorded(
    mirrored: bool, profiles: tuple[int, ...], ids: list[int]
) -> None:
    _, found = fill(a_simulated_gpu(mirrored=mirrored), *profiles)

    assert found == ids


def test_small_ones_leave_room_for_a_4g() -> None:
    gpu, _ = fill(a_simulated_gpu(), 19, 14, 5)

    assert {str(gi.placement) for gi in gpu.instances} == {"6:1", "4:2", "0:4"}


def test_a_3g_created_last_fails_where_created_first_it_fits() -> None:
    gpu, ids = fill(a_simulated_gpu(), 19, 19, 14)

    assert ids == [13, 11, 3]
    with pytest.raises(Refusal) as caught:
        fill(gpu, 9)
    assert caught.value.code is Code.INSUFFICIENT_RESOURCES
    assert len(fill(a_simulated_gpu(), 9, 14, 19, 19)[1]) == 4


@pytest.mark.parametrize(("key", "profile_id"), [("a30", 14), ("rtx-pro-6000", 14)])
def test_four_slice_boards_fill_from_the_lowest(key: str, profile_id: int) -> None:
    _, ids = fill(a_simulated_gpu(key), *[profile_id] * 4)

    assert ids == [3, 4, 5, 6]


def test_only_one_media_instance_fits() -> None:
    with pytest.raises(Refusal) as caught:
        fill(a_simulated_gpu(), 20, 20)

    assert caught.value.code is Code.INSUFFICIENT_RESOURCES


def test_all_media_engines_leave_room_only_for_instances_without_any() -> None:
    gpu, _ = fill(a_simulated_gpu("rtx-pro-6000"), 65)

    with pytest.raises(Refusal):
        fill(gpu, 14)
    assert len(fill(gpu, 67, 67, 67)[1]) == 3


def test_a_placement_that_is_none_of_the_profiles_is_invalid() -> None:
    gpu = a_simulated_gpu()
    profile = gpu.board.geometry.named("2g.20gb")
    assert profile is not None

    with pytest.raises(Refusal) as caught:
        add_gpu_instance(gpu, profile, Placement(6, 2), 1)

    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_taken_placement_is_a_lack_of_room() -> None:
    gpu, _ = fill(a_simulated_gpu(), 19, 19)
    profile = gpu.board.geometry.named("3g.40gb")
    assert profile is not None

    with pytest.raises(Refusal) as caught:
        add_gpu_instance(gpu, profile, Placement(4, 4), 9)

    assert caught.value.code is Code.INSUFFICIENT_RESOURCES


def test_removing_an_instance_makes_the_same_one_possible_again() -> None:
    gpu, _ = fill(a_simulated_gpu(), 9, 9)

    smaller = remove_gpu_instance(gpu, gpu.instances[0])

    assert fill(smaller, 9)[1] == [gpu.instances[0].id]


def test_an_instance_with_compute_instances_stays() -> None:
    gpu, _ = fill(a_simulated_gpu(), 9)
    gpu = with_compute(gpu, 2)

    with pytest.raises(Refusal) as caught:
        remove_gpu_instance(gpu, gpu.instances[0])

    assert caught.value.code is Code.IN_USE


def with_compute(gpu: SimulatedGpu, *profile_ids: int) -> SimulatedGpu:
    for serial, profile_id in enumerate(profile_ids, start=100 + len(gpu.instances)):
        gi = gpu.instances[0]
        profile = compute_geometry(gpu.board_key, gi.profile_id).with_id(profile_id)
        assert profile is not None
        gpu, _ = add_compute_instance(gpu, gi, profile, None, serial)
    return gpu


def test_compute_instances_get_the_lowest_free_id() -> None:
    gpu, _ = fill(a_simulated_gpu(), 9)
    gpu = with_compute(gpu, 0, 0, 0)
    gi = gpu.instances[0]

    gpu = remove_compute_instance(gpu, gi, gi.compute_instances[1])
    gpu = with_compute(gpu, 0)

    assert [ci.id for ci in gpu.instances[0].compute_instances] == [0, 1, 2]


def test_a_compute_instance_goes_where_it_leaves_most_room() -> None:
    """In a 3g, one slice at 2 leaves room for a pair at 0; at 0 or 1 it would not."""
    gpu, _ = fill(a_simulated_gpu(), 9)

    gpu = with_compute(gpu, 0, 1)

    placed = [str(ci.placement) for ci in gpu.instances[0].compute_instances]
    assert placed == ["2:1", "0:2"]


def test_a_full_instance_takes_no_further_compute_instance() -> None:
    gpu, _ = fill(a_simulated_gpu("h100-80gb"), 9)
    gpu = with_compute(gpu, 2)

    with pytest.raises(Refusal) as caught:
        with_compute(gpu, 0)

    assert caught.value.code is Code.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("key", ["a100-80gb", "h200", "a30", "rtx-pro-6000"])
def test_devices_side_by_side_never_share_a_uuid(key: str, mirrored: bool) -> None:
    """Every instance is tried alone and cut into single slices, at every placement."""
    empty = a_simulated_gpu(key, mirrored=mirrored)
    plain = [p for p in board(key).geometry.profiles if not p.attributes]
    uuids: dict[str, set[tuple[int, int]]] = {}
    for profile in plain:
        for at in profile.placements:
            gpu, _ = add_gpu_instance(empty, profile, at, 1)
            gpu = with_compute(gpu, *[0] * profile.compute_slices) if profile.id != 15 else gpu
            for ci in gpu.instances[0].compute_instances:
                uuid = device_uuid(gpu, gpu.instances[0], ci)
                uuids.setdefault(uuid, set()).add((gpu.instances[0].id, ci.placement.start))

    assert all(len(places) == 1 for places in uuids.values())


def test_the_same_place_has_the_same_uuid_whatever_the_profile() -> None:
    """As on a real card, where a 3g and a 1c.3g in its place were seen with one UUID."""
    gpu, _ = fill(a_simulated_gpu(), 9)
    whole, part = with_compute(gpu, 2), with_compute(gpu, 0, 0, 0)

    def first(of: SimulatedGpu) -> str:
        gi = of.instances[0]
        lowest = min(gi.compute_instances, key=lambda ci: ci.placement.start)
        return device_uuid(of, gi, lowest)

    assert first(whole) == first(part)
