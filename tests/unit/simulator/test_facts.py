"""The simulator against what is known of real drivers, in every state a GPU can be in.

Every placed layout is walked by creating instances, and in each of them the simulator's answers are
held against small independent code: NVIDIA's own reckoning of ids, the published order in which the
driver tries placements, and counting by trying everything.
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache

import pytest

from gpuslice.hardware import board
from gpuslice.model.geometry import Placement, Profile
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry
from gpuslice.simulator.layout import add_compute_instance, add_gpu_instance, occupied_in
from gpuslice.simulator.state import SimulatedGpu, new_machine

SEVEN_SLICES = ("a100-40gb", "a100-80gb", "h100-80gb", "h200", "b200")
DOUBLE, MEDIA = 15, 20

DRIVER_ORDER = {
    19: (6, 4, 5, 0, 1, 2, 3),
    20: (6, 4, 5, 0, 1, 2, 3),
    15: (4, 0, 2, 6),
    14: (4, 0, 2),
    9: (4, 0),
    5: (0,),
    0: (0,),
}
"""The reference allocator: by profile id, the starts in the order the driver tries them."""
SIZES = {19: 1, 20: 1, 15: 2, 14: 2, 9: 4, 5: 4, 0: 8}


def picked_by_the_driver(profile_id: int, used: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The reference allocator, which reproduces every recorded sequence."""
    size = SIZES[profile_id]
    for start in DRIVER_ORDER[profile_id]:
        if all(start + size <= a or a + b <= start for a, b in used):
            return start, size
    return None


def an_empty_gpu(key: str, *, mirrored: bool = False) -> SimulatedGpu:
    gpu = new_machine(key).gpus[0]
    return dataclasses.replace(gpu, mirrored=mirrored, mig_current=True, mig_pending=True)


def layout_of(gpu: SimulatedGpu) -> frozenset[tuple[int, Placement]]:
    return frozenset((gi.profile_id, gi.placement) for gi in gpu.instances)


def with_one_more(gpu: SimulatedGpu, profile: Profile, at: Placement | None) -> SimulatedGpu | None:
    """The GPU with an instance more, or None where the simulator refuses it for want of room."""
    try:
        return add_gpu_instance(gpu, profile, at, 1 + len(gpu.instances))[0]
    except Refusal as refusal:
        if refusal.code is not Code.INSUFFICIENT_RESOURCES:
            raise
        return None


@cache
def every_state(key: str, *left_out: int) -> tuple[tuple[SimulatedGpu, ...], int]:
    """Every state that creating leads to, and in how many of them nothing more can be created."""
    empty = an_empty_gpu(key)
    profiles = [p for p in board(key).geometry.profiles if p.id not in left_out]
    seen, open_ones, maximal = {layout_of(empty): empty}, [empty], 0
    while open_ones:
        gpu = open_ones.pop()
        tried = (with_one_more(gpu, p, at) for p in profiles for at in p.placements)
        larger = [one for one in tried if one is not None]
        maximal += not larger
        for one in larger:
            if layout_of(one) not in seen:
                seen[layout_of(one)] = one
                open_ones.append(one)
    return tuple(seen.values()), maximal


@pytest.mark.parametrize("key", SEVEN_SLICES)
@pytest.mark.parametrize(
    ("left_out", "placed", "maximal"),
    [((MEDIA,), 723, 78), ((MEDIA, DOUBLE), 298, 19)],
    ids=["with double memory", "without"],
)
def test_seven_slices_have_the_known_layouts(
    key: str, left_out: tuple[int, ...], placed: int, maximal: int
) -> None:
    states, found_maximal = every_state(key, *left_out)

    assert (len(states), found_maximal) == (placed, maximal)


@pytest.mark.parametrize("key", SEVEN_SLICES)
def test_the_driver_s_own_choice_is_the_reference_s_in_every_state(key: str) -> None:
    states, _ = every_state(key, MEDIA)
    for gpu in states:
        used = [(gi.placement.start, gi.placement.size) for gi in gpu.instances]
        for profile in board(key).geometry.profiles:
            after = with_one_more(gpu, profile, None)
            wanted = picked_by_the_driver(profile.id, used)
            made = layout_of(after) - layout_of(gpu) if after else frozenset()
            expected = {(profile.id, Placement(*wanted))} if wanted else frozenset()
            assert made == expected, (profile.name, used)


def test_the_remaining_capacity_is_what_can_in_fact_be_created() -> None:
    """In every state, counted by trying every set of placements of the profile, greedy or not."""
    geometry = board("a100-80gb").geometry
    states, _ = every_state("a100-80gb", MEDIA)
    for gpu in states:
        taken = [gi.placement for gi in gpu.instances]
        for profile in geometry.profiles:
            free = [at for at in profile.placements if not any(at.overlaps(o) for o in taken)]
            most = max(
                size
                for size in range(len(free) + 1)
                for chosen in itertools.combinations(free, size)
                if not any(a.overlaps(b) for a, b in itertools.combinations(chosen, 2))
            )
            assert geometry.free(gpu.occupied, profile) == min(most, profile.max_instances)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("key", ["a100-80gb", "a30", "rtx-pro-6000"])
def test_ids_side_by_side_are_different_and_follow_from_the_place(key: str, mirrored: bool) -> None:
    """A node of the tree of halves: neither itself nor below another that is taken."""
    left_out = (MEDIA,) if key == "a100-80gb" else (21, 6, 47, 65, 67, 35, 64, 66, 32)
    for state in every_state(key, *left_out)[0]:
        gpu = an_empty_gpu(key, mirrored=mirrored)
        for profile_id, at in layout_of(state):
            profile = gpu.board.geometry.with_id(profile_id)
            assert profile is not None
            gpu, _ = add_gpu_instance(gpu, profile, at, 1 + len(gpu.instances))
        ids = [gi.id for gi in gpu.instances]
        assert len(set(ids)) == len(ids)
        assert not any(one in above(other) for one in ids for other in ids)


def above(number: int) -> set[int]:
    """The nodes above one in a binary tree whose root is 0 and whose halves are 1 and 2."""
    found = set()
    while number:
        number = (number - 1) // 2
        found.add(number)
    return found


@pytest.mark.parametrize(
    ("profile_id", "wanted"),
    [
        (19, [("1c", 1, 14)]),
        (14, [("1c", 2, 14), ("2c", 1, 28)]),
        (9, [("1c", 3, 14), ("2c", 1, 28), ("3c", 1, 42)]),
        (5, [("1c", 4, 14), ("2c", 2, 28), ("4c", 1, 56)]),
        (0, [("1c", 7, 14), ("2c", 3, 28), ("3c", 2, 42), ("4c", 1, 56), ("7c", 1, 98)]),
    ],
)
def test_an_a100_offers_the_recorded_compute_instances(
    profile_id: int, wanted: list[tuple[str, int, int]]
) -> None:
    found = compute_geometry("a100-40gb", profile_id).profiles

    assert [(row.name, row.max_instances, row.sm_count) for row in found] == wanted


def with_one_more_part(gpu: SimulatedGpu, row: Profile) -> SimulatedGpu | None:
    """The GPU with a compute instance more in its only GPU instance, or None without room."""
    gi = gpu.instances[0]
    try:
        return add_compute_instance(gpu, gi, row, None, 2 + len(gi.compute_instances))[0]
    except Refusal as refusal:
        if refusal.code is not Code.INSUFFICIENT_RESOURCES:
            raise
        return None


@pytest.mark.parametrize("key", ["a100-80gb", "h100-80gb", "h200", "a30", "rtx-pro-6000"])
def test_compute_instances_fill_their_instance_and_no_more(key: str) -> None:
    """In every state a GPU instance can be cut into, the shares of compute add up to it at most.

    And what the simulator says is free is what can in fact be created.
    """
    for profile in board(key).geometry.profiles:
        geometry = compute_geometry(key, profile.id)
        empty, _ = add_gpu_instance(an_empty_gpu(key), profile, None, 1)
        open_ones, seen = [empty], set()
        while open_ones:
            gpu = open_ones.pop()
            gi = gpu.instances[0]
            occupied = occupied_in(geometry, gi)
            if frozenset(occupied) in seen:
                continue
            seen.add(frozenset(occupied))
            parts = [row for name, _ in occupied for row in geometry.profiles if row.name == name]
            assert sum(row.compute_slices for row in parts) <= profile.compute_slices
            assert len({ci.id for ci in gi.compute_instances}) == len(gi.compute_instances)
            for row in geometry.profiles:
                after = with_one_more_part(gpu, row)
                assert (after is not None) == (geometry.free(occupied, row) > 0)
                open_ones += [after] if after else []
        assert len(seen) > 1
