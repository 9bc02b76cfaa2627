"""The table of the online policy, and the fleet that is kept by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuslice.errors import PlanningError, UnknownProfileError
from gpuslice.hardware.boards import board, load_boards
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.planner.online import OnlinePolicy, Spot, online_policy
from gpuslice.planner.online_fleet import OnlineFleet

A100 = board("a100-80gb").geometry
FULL = 0b1111_1111


@pytest.fixture(scope="module")
def policy() -> OnlinePolicy:
    return online_policy(A100)


def place_alone(policy: OnlinePolicy, bits: int, profile: str) -> Placement | None:
    spot = policy.place([bits], profile)
    return None if spot is None else spot.placement


def test_a_full_gpu_is_worth_nothing_and_an_empty_one_most(policy: OnlinePolicy) -> None:
    assert policy.values[FULL] == 0
    assert max(policy.values) == policy.values[0]


def test_a_value_never_grows_when_something_is_taken(policy: OnlinePolicy) -> None:
    for bits, value in enumerate(policy.values):
        for unit in range(8):
            assert policy.values[bits | 1 << unit] <= value + 1e-9


def test_the_value_of_one_profile_counts_what_it_still_gets() -> None:
    halves = online_policy(A100, {"3g.40gb": 1})

    assert halves.values[0] == pytest.approx(2 * halves.values[0b1111])
    assert halves.values[0b1111] == pytest.approx(4**1.1)
    assert halves.values[0b0001_0001] == 0


def test_the_value_of_a_gpu_that_refuses_half_of_what_comes_is_worked_out_by_hand() -> None:
    mixed = online_policy(A100, {"3g.40gb": 1, "7g.80gb": 1})

    half = (0.5 * 4**1.1) / (0.5 + 0.1 * 0.5)
    assert mixed.values[0b1111] == pytest.approx(half)
    assert mixed.values[0] == pytest.approx(0.5 * (4**1.1 + half) + 0.5 * 8**1.1)


def test_a_small_slice_goes_where_no_large_one_fits_any_more(policy: OnlinePolicy) -> None:
    empty, broken = 0, 0b0000_1011

    assert policy.place([empty, broken], "1g.10gb") == Spot(
        gpu=1, profile="1g.10gb", placement=Placement(2, 1)
    )


def test_a_3g_leaves_room_for_a_4g(policy: OnlinePolicy) -> None:
    assert place_alone(policy, 0, "3g.40gb") == Placement(4, 4)


def test_the_mix_decides_where_a_slice_goes() -> None:
    for_whole = online_policy(A100, {"7g.80gb": 10, "1g.10gb": 1})
    for_4g = online_policy(A100, {"4g.40gb": 10, "1g.10gb": 1})
    second_half_taken, empty = 0b1111_0000, 0

    broken = for_whole.place([second_half_taken, empty], "1g.10gb")
    spared = for_4g.place([second_half_taken, empty], "1g.10gb")

    assert broken is not None
    assert broken.gpu == 0
    assert spared is not None
    assert spared.gpu == 1
    assert spared.placement.start >= 4


def test_equal_gpus_are_taken_by_position(policy: OnlinePolicy) -> None:
    spot = policy.place([FULL, 0, 0, 0], "2g.20gb")

    assert spot is not None
    assert spot.gpu == 1


def test_a_profile_that_is_not_expected_is_placed_all_the_same() -> None:
    only_small = online_policy(A100, {"1g.10gb": 1})

    assert place_alone(only_small, 0, "7g.80gb") == Placement(0, 8)
    assert place_alone(only_small, 0b1000_0000, "7g.80gb") is None


def test_weights_count_only_in_proportion() -> None:
    weights = {"1g.10gb": 1.0, "3g.40gb": 3.0}

    once = online_policy(A100, weights)
    often = online_policy(A100, {name: 7 * weight for name, weight in weights.items()})

    assert often.values == pytest.approx(once.values)
    assert often.moves == once.moves


def test_no_mix_is_an_equal_mix(policy: OnlinePolicy) -> None:
    names = [profile.name for profile in A100.profiles if not profile.attributes]

    assert online_policy(A100, dict.fromkeys(names, 2.0)).moves == policy.moves


@pytest.mark.parametrize("profile", ["1g.10gb+me", "9g.90gb", ""])
def test_only_plain_profiles_of_the_gpus_are_placed(policy: OnlinePolicy, profile: str) -> None:
    with pytest.raises(UnknownProfileError, match="not a plain profile") as caught:
        policy.place([0], profile)
    assert "3g.40gb" in caught.value.hint


def test_a_mix_of_profiles_that_are_not_there_is_refused() -> None:
    with pytest.raises(UnknownProfileError, match=r"1g\.5gb"):
        online_policy(A100, {"1g.5gb": 1, "1g.10gb": 1})


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"1g.10gb": 0.0},
        {"1g.10gb": -1.0, "2g.20gb": 2.0},
        {"1g.10gb": float("nan")},
        {"1g.10gb": float("inf")},
        {"1g.10gb": 1e308, "2g.20gb": 1e308},
    ],
)
def test_a_mix_without_sense_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(PlanningError, match="weights of a mix"):
        online_policy(A100, weights)


def test_a_geometry_without_profiles_is_refused() -> None:
    with pytest.raises(PlanningError, match="no plain profile"):
        online_policy(Geometry(profiles=()))


def test_a_limit_that_masks_cannot_tell_is_refused() -> None:
    profiles = tuple(
        replace(p, max_instances=2) if p.name == "1g.10gb" else p for p in A100.profiles
    )
    with pytest.raises(PlanningError, match="7 fit side by side, but only 2"):
        online_policy(Geometry(profiles=profiles))


@pytest.mark.parametrize("bits", [-1, 256])
def test_a_mask_of_another_grid_is_refused(policy: OnlinePolicy, bits: int) -> None:
    with pytest.raises(PlanningError, match="grid of 8"):
        policy.place([0, bits], "1g.10gb")


@pytest.mark.parametrize("key", [known.key for known in load_boards() if known.has_mig])
def test_beside_a_slice_with_attributes_all_plain_profiles_may_lie_or_none(key: str) -> None:
    """So that a mask, which shuts out all or none, is exact."""
    geometry = board(key).geometry
    policy = online_policy(geometry)
    nowhere = Placement(geometry.memory_slices, 0)
    plain = [profile for profile in geometry.profiles if profile.name in policy.moves]

    for other in (profile for profile in geometry.profiles if profile.attributes):
        lying = [(other.name, nowhere)]
        allowed = {geometry.allows(lying, p.name, p.placements[0]) for p in plain}
        assert allowed == {policy.occupancy(lying) == 0}


def test_a_slice_that_tolerates_nothing_takes_the_whole_gpu() -> None:
    policy = online_policy(board("rtx-pro-6000").geometry)

    assert policy.occupancy([("1g.24gb+me", Placement(0, 3))]) == 0b111
    assert policy.occupancy([("1g.24gb+me.all", Placement(0, 3))]) == 0b1111_1111_1111


def test_a_fleet_starts_from_what_lies_there(policy: OnlinePolicy) -> None:
    fleet = OnlineFleet(policy, [[("7g.80gb", Placement(0, 8))], [("4g.40gb", Placement(0, 4))]])

    assert fleet.occupancies == (FULL, 0b1111)
    assert fleet.place("7g.80gb") is None
    assert fleet.place("3g.40gb") == Spot(gpu=1, profile="3g.40gb", placement=Placement(4, 4))
    assert fleet.place("1g.10gb") is None
    assert fleet.lying_on(1) == (("4g.40gb", Placement(0, 4)), ("3g.40gb", Placement(4, 4)))


def test_a_fleet_takes_back_what_lay_there_before(policy: OnlinePolicy) -> None:
    fleet = OnlineFleet(policy, [[("7g.80gb", Placement(0, 8))]])

    fleet.release(Spot(gpu=0, profile="7g.80gb", placement=Placement(0, 8)))

    assert fleet.occupancies == (0,)


@pytest.mark.parametrize(
    "spot",
    [
        Spot(gpu=0, profile="3g.40gb", placement=Placement(0, 4)),
        Spot(gpu=0, profile="4g.40gb", placement=Placement(4, 4)),
        Spot(gpu=1, profile="4g.40gb", placement=Placement(0, 4)),
        Spot(gpu=-1, profile="4g.40gb", placement=Placement(0, 4)),
    ],
)
def test_what_is_not_there_cannot_be_released(policy: OnlinePolicy, spot: Spot) -> None:
    fleet = OnlineFleet(policy, [[("4g.40gb", Placement(0, 4))]])

    with pytest.raises(PlanningError, match="to release"):
        fleet.release(spot)
    assert fleet.occupancies == (0b1111,)


def test_nothing_is_released_twice(policy: OnlinePolicy) -> None:
    fleet = OnlineFleet.empty(policy, 1)
    spot = fleet.place("2g.20gb")
    assert spot is not None
    fleet.release(spot)

    with pytest.raises(PlanningError, match="to release"):
        fleet.release(spot)


def test_two_slices_that_shut_others_out_have_both_to_go() -> None:
    policy = online_policy(board("rtx-pro-6000").geometry)
    slices = [("1g.24gb+me.all", Placement(0, 3)), ("2g.48gb+me.all", Placement(6, 6))]
    fleet = OnlineFleet(policy, [slices])

    fleet.release(Spot(gpu=0, profile="1g.24gb+me.all", placement=Placement(0, 3)))
    assert fleet.place("1g.24gb") is None

    fleet.release(Spot(gpu=0, profile="2g.48gb+me.all", placement=Placement(6, 6)))
    assert fleet.place("4g.96gb") is not None


def test_what_a_fleet_remembers_does_not_grow_with_its_history(policy: OnlinePolicy) -> None:
    fleet = OnlineFleet.empty(policy, 3)
    first = fleet.place("1g.10gb")
    assert first is not None
    for _ in range(2_000):
        spot = fleet.place("7g.80gb")
        assert spot is not None
        fleet.release(spot)

    assert sum(len(queue) for queue in fleet._queues.values()) < 300
    assert fleet.place("7g.80gb") == Spot(gpu=1, profile="7g.80gb", placement=Placement(0, 8))
