"""The least change of a GPU is the least there is, told by a search that thinks of nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_board_gpu
from gpuslice.errors import NoRoomError
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.planner.partition.check import check_partition
from gpuslice.planner.partition.parts import fewest, held_alone
from gpuslice.planner.partition.plan import plan_partition
from gpuslice.planner.partition.wish import Claims, Device, GpuWish, devices_of, devices_on
from property.strategies_partition import devices, gpus_with_slices

Lying = list[tuple[str, Placement]]


def observed(*gpus: Gpu) -> Observed:
    return Observed(gpus=gpus, driver_version="580", simulated=True)


def fits(geometry: Geometry, lying: Lying, wanted: tuple[str, ...]) -> bool:
    """Try every placement of every slice in turn."""
    if not wanted:
        return True
    profile = geometry.named(wanted[0])
    assert profile is not None
    return any(
        fits(geometry, [*lying, (profile.name, at)], wanted[1:])
        for at in profile.placements
        if geometry.allows(lying, profile.name, at)
    )


def every_filling(found: Counter[Device], geometry: Geometry) -> Iterator[tuple[str, ...]]:
    """Every way to share slices among devices, as the profiles that are then needed."""
    if not found:
        yield ()
        return
    device = min(found)
    rest = found - Counter({device: 1})
    if not device.compute_slices:
        yield from ((device.profile, *more) for more in every_filling(rest, geometry))
        return
    profile = geometry.named(device.profile)
    assert profile is not None
    mates = [d for d in rest.elements() if d.profile == device.profile and d.compute_slices]
    for count in range(len(mates) + 1):
        for some in set(combinations(mates, count)):
            if device.compute_slices + sum(m.compute_slices for m in some) <= (
                profile.compute_slices
            ):
                left = rest - Counter(some)
                yield from ((device.profile, *more) for more in every_filling(left, geometry))


def could_hold(geometry: Geometry, kept: tuple[Slice, ...], rest: Counter[Device]) -> bool:
    lying = [(s.profile, s.placement) for s in kept]
    return any(fits(geometry, lying, needed) for needed in set(every_filling(rest, geometry)))


def most_that_stay(gpu: Gpu, wanted: Counter[Device]) -> int | None:
    """The most slices that can stay, or None where even an empty GPU does not hold what is wanted.

    Every set is tried, and for each every placement of what is still missing.
    """
    assert gpu.geometry is not None
    sets = chain.from_iterable(
        combinations(gpu.slices, count) for count in range(len(gpu.slices), -1, -1)
    )
    for kept in sets:
        if any(not devices_of(s) for s in kept):
            continue
        there: Counter[Device] = sum((devices_of(s) for s in kept), start=Counter())
        if there <= wanted and could_hold(gpu.geometry, kept, wanted - there):
            return len(kept)
    return None


@given(gpu=gpus_with_slices(), data=st.data())
@settings(max_examples=150, derandomize=True)
def test_no_change_destroys_fewer_slices(gpu: Gpu, data: st.DataObject) -> None:
    wanted = data.draw(devices(gpu))
    wish = GpuWish(gpu_uuid=gpu.uuid, mig_on=True, devices=tuple(wanted.elements()))
    best = most_that_stay(gpu, wanted)

    if best is None:
        with pytest.raises(NoRoomError, match="cannot hold"):
            plan_partition(observed(gpu), [wish], Claims())
        return
    made = plan_partition(observed(gpu), [wish], Claims())

    check_partition(made, observed(gpu), [wish])
    assert len(made.gpus[0].foreign) == best


@given(gpu=gpus_with_slices())
@settings(max_examples=100, derandomize=True)
def test_what_is_there_already_is_left_as_it_is(gpu: Gpu) -> None:
    whole = tuple(s for s in gpu.slices if devices_of(s))
    there = devices_on(gpu)
    wish = GpuWish(gpu_uuid=gpu.uuid, mig_on=True, devices=tuple(there.elements()))

    [made] = plan_partition(observed(gpu), [wish], Claims()).gpus

    assert (set(made.foreign), made.create) == (set(whole), ())
    assert not made.enable_mig


@given(gpu=gpus_with_slices(), data=st.data())
@settings(max_examples=60, derandomize=True)
def test_as_many_slices_of_the_running_stack_stay_as_can(gpu: Gpu, data: st.DataObject) -> None:
    wanted = data.draw(devices(gpu))
    running = frozenset(
        s.key for s in gpu.slices if data.draw(st.booleans(), label=f"{s.placement} is a stack's")
    )
    wish = GpuWish(gpu_uuid=gpu.uuid, mig_on=True, devices=tuple(wanted.elements()))
    if most_that_stay(gpu, wanted) is None:
        return
    [made] = plan_partition(observed(gpu), [wish], Claims(running=running)).gpus
    kept = sum(s.key in running for s in made.foreign)
    assert gpu.geometry is not None

    for count in range(len(gpu.slices) + 1):
        for stay in combinations(gpu.slices, count):
            there: Counter[Device] = sum((devices_of(s) for s in stay), start=Counter())
            whole = all(devices_of(s) for s in stay)
            if whole and there <= wanted and could_hold(gpu.geometry, stay, wanted - there):
                assert sum(s.key in running for s in stay) <= kept


@given(sizes=st.lists(st.integers(1, 4), max_size=7), room=st.integers(4, 7))
def test_compute_instances_fill_as_few_slices_as_they_can(sizes: list[int], room: int) -> None:
    found = fewest(tuple(sorted(sizes, reverse=True)), room)

    assert sorted(size for filled in found for size in filled) == sorted(sizes)
    assert all(0 < sum(filled) <= room for filled in found)
    assert len(found) == fewest_by_trying(tuple(sizes), room)


def fewest_by_trying(sizes: tuple[int, ...], room: int) -> int:
    """Put every size into every slice that has been begun, or begin another."""

    def put(number: int, filled: tuple[int, ...]) -> int:
        if number == len(sizes):
            return len(filled)
        size = sizes[number]
        begun = [
            put(number + 1, (*filled[:i], filled[i] + size, *filled[i + 1 :]))
            for i in range(len(filled))
            if filled[i] + size <= room
        ]
        return min([*begun, put(number + 1, (*filled, size))])

    return put(0, ())


def test_every_device_alone_is_held_as_often_as_it_is_said() -> None:
    gpu = a_board_gpu("h100-80gb")
    assert gpu.geometry is not None
    for profile in gpu.geometry.profiles:
        device = Device(profile.name)
        most = held_alone(device, gpu.geometry)
        for count, legal in ((most, True), (most + 1, False)):
            assert fits(gpu.geometry, [], (profile.name,) * count) is legal
