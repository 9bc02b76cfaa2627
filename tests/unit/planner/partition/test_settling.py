from __future__ import annotations

from collections import Counter

import pytest

from builders import a_board_gpu, with_slices
from gpuslice.errors import NoRoomError
from gpuslice.model.gpu import Gpu
from gpuslice.planner.partition.names import device_named
from gpuslice.planner.partition.parts import fewest
from gpuslice.planner.partition.placing import room
from gpuslice.planner.partition.settling import Settled, settle
from gpuslice.planner.partition.wish import Claims, Device

H100 = a_board_gpu("h100-80gb")


def settled(gpu: Gpu, claims: Claims | None = None, **wanted: int) -> dict[str, list[str]]:
    """What stays, goes and comes; names with ``_`` for what an argument cannot hold."""
    devices: Counter[Device] = Counter()
    for name, count in wanted.items():
        written = name.removeprefix("_").replace("_", ".").replace("..me", "+me")
        devices[device_named(written, gpu)] += count
    return shown(settle(gpu, devices, claims or Claims()))


def shown(found: Settled) -> dict[str, list[str]]:
    parts = {new: "+".join(map(str, new.parts)) for new in found.create}
    return {
        "keep": [f"{s.profile}@{s.placement}" for s in found.keep],
        "destroy": [f"{s.profile}@{s.placement}" for s in found.destroy],
        "create": [
            f"{s.profile}@{s.placement}{parts[s] and f' in {parts[s]}'}" for s in found.create
        ],
    }


def test_an_empty_gpu_gets_everything_and_keeps_most_room() -> None:
    assert settled(H100, _1g_10gb=1)["create"] == ["1g.10gb@6:1"]
    assert settled(H100, _3g_40gb=2)["create"] == ["3g.40gb@0:4", "3g.40gb@4:4"]
    assert settled(H100, _4g_40gb=1, _3g_40gb=1)["create"] == ["4g.40gb@0:4", "3g.40gb@4:4"]


def test_what_is_wanted_stays_and_only_what_is_in_the_way_goes() -> None:
    gpu = with_slices(H100, ("1g.10gb", 0), ("3g.40gb", 4))

    assert settled(gpu, _4g_40gb=1, _3g_40gb=1) == {
        "keep": ["3g.40gb@4:4"],
        "destroy": ["1g.10gb@0:1"],
        "create": ["4g.40gb@0:4"],
    }


def test_a_wanted_slice_goes_only_where_nothing_else_makes_room() -> None:
    gpu = with_slices(H100, ("1g.10gb", 0), ("1g.10gb", 5), ("1g.10gb", 6))

    assert settled(gpu, _1g_10gb=3, _3g_40gb=1) == {
        "keep": ["1g.10gb@5:1", "1g.10gb@6:1"],
        "destroy": ["1g.10gb@0:1"],
        "create": ["3g.40gb@0:4", "1g.10gb@4:1"],
    }


def test_of_equal_slices_those_go_that_leave_most_room() -> None:
    gpu = with_slices(H100, ("1g.10gb", 0), ("1g.10gb", 3), ("1g.10gb", 6))

    assert settled(gpu, _1g_10gb=1)["keep"] == ["1g.10gb@6:1"]


def test_of_equal_slices_those_stay_that_are_in_use_whatever_room_they_leave() -> None:
    gpu = with_slices(H100, ("1g.10gb", 0), ("1g.10gb", 6))
    held = gpu.slices[0].key

    assert settled(gpu, Claims(in_use=frozenset({held})), _1g_10gb=1)["keep"] == ["1g.10gb@0:1"]


def test_of_equal_slices_those_stay_that_are_somebody_elses() -> None:
    gpu = with_slices(H100, ("1g.10gb", 0), ("1g.10gb", 6))
    ours = gpu.slices[1].key

    assert settled(gpu, Claims(ours=frozenset({ours})), _1g_10gb=1)["keep"] == ["1g.10gb@0:1"]


def test_one_slice_of_the_running_stack_stays_before_two_others() -> None:
    gpu = with_slices(H100, ("1g.20gb", 0), ("1g.10gb", 4), ("1g.10gb", 5))
    stack = Claims(running=frozenset({gpu.slices[0].key}))
    wanted = {"_3g_40gb": 1, "_1g_20gb": 1, "_1g_10gb": 2}

    # 3g needs a half for itself, so either the one or the two others have to go.
    assert settled(gpu, None, **wanted)["keep"] == ["1g.10gb@4:1", "1g.10gb@5:1"]
    assert settled(gpu, stack, **wanted)["keep"] == ["1g.20gb@0:2"]


def test_a_half_made_slice_is_never_what_is_wanted() -> None:
    gpu = with_slices(H100, ("3g.40gb", 0), half_made=(0,))

    found = settled(gpu, _3g_40gb=1)

    assert found["destroy"] == ["3g.40gb@0:4"]
    assert len(found["create"]) == 1


def test_compute_instances_share_a_slice() -> None:
    assert settled(H100, _1c_3g_40gb=3)["create"] == ["3g.40gb@4:4 in 1+1+1"]
    assert settled(H100, _1c_3g_40gb=2, _2c_3g_40gb=1)["create"] == [
        "3g.40gb@0:4 in 2+1",
        "3g.40gb@4:4 in 1",
    ]


def test_first_fit_would_take_a_slice_too_many_here() -> None:
    assert fewest((3, 3, 2, 2, 2, 2), 7) == ((3, 2, 2), (3, 2, 2))


def test_more_than_memory_holds_is_refused_with_what_would_fit() -> None:
    with pytest.raises(NoRoomError, match="take 9 memory slices, and it has 8") as caught:
        settled(H100, _3g_40gb=2, _1g_10gb=1)

    assert caught.value.hint == "The most of it that fits: 2 × 3g.40gb."


def test_more_of_one_profile_than_there_are_places_is_refused() -> None:
    with pytest.raises(NoRoomError, match=r"of 3g.40gb it holds 2 at most"):
        settled(H100, _3g_40gb=3)


def test_slices_that_fit_by_number_and_not_by_place_are_refused() -> None:
    with pytest.raises(NoRoomError, match="no placements at which they lie side by side") as caught:
        settled(H100, _2g_20gb=3, _1g_10gb=2)

    assert caught.value.hint == "The most of it that fits: 1 × 1g.10gb, 3 × 2g.20gb."


def test_a_count_beyond_all_measure_is_refused_quickly() -> None:
    wanted = {Device(name, size): 64 for name in ("1g.10gb", "7g.80gb") for size in range(1)}
    wanted |= {Device("7g.80gb", size): 64 for size in (1, 2, 3)}

    with pytest.raises(NoRoomError, match=r"of 1g.10gb it holds 7 at most"):
        settle(H100, Counter(wanted), Claims())


def test_room_counts_the_largest_profiles_first() -> None:
    assert H100.geometry is not None
    upper = with_slices(H100, ("1g.10gb", 6)).occupied
    lower = with_slices(H100, ("1g.10gb", 0)).occupied

    assert room(H100.geometry, upper) > room(H100.geometry, lower)
