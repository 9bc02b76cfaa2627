"""What must hold for every choice of the online policy, and how it does against other orders."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.planner.online import OnlinePolicy, Spot, online_policy
from gpuslice.planner.online_fleet import OnlineFleet
from property.strategies_planner import BOARDS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "planner"
MARGIN = 0.003
"""How much less than the best published order may be accepted: three in a thousand."""

quick = settings(deadline=None, derandomize=True, max_examples=60)

Layout = list[tuple[str, Placement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fleet with things lying on it, and what happens then."""

    geometry: Geometry
    policy: OnlinePolicy
    fleet: list[Layout]
    events: list[tuple[str, int]]


@cache
def policy_of(key: str) -> OnlinePolicy:
    return online_policy(board(key).geometry)


@st.composite
def layouts(draw: st.DrawFn, geometry: Geometry) -> Layout:
    """Up to four slices that may lie side by side, attributes and all."""
    places = [(profile.name, at) for profile in geometry.profiles for at in profile.placements]
    lying: Layout = []
    for name, at in draw(st.lists(st.sampled_from(places), max_size=4)):
        if geometry.allows(lying, name, at):
            lying.append((name, at))
    return lying


@st.composite
def online_cases(draw: st.DrawFn) -> Case:
    """A board, a fleet, and requests; an event without a profile releases one of those placed."""
    key = draw(st.sampled_from(BOARDS))
    geometry, policy = board(key).geometry, policy_of(key)
    event = st.tuples(st.sampled_from((*policy.moves, "")), st.integers(0, 99))
    return Case(
        geometry=geometry,
        policy=policy,
        fleet=draw(st.lists(layouts(geometry), min_size=1, max_size=4)),
        events=draw(st.lists(event, max_size=30)),
    )


def room_for(geometry: Geometry, lying: Layout, name: str) -> bool:
    profile = geometry.named(name)
    assert profile is not None
    return any(geometry.allows(lying, name, at) for at in profile.placements)


@quick
@given(case=online_cases())
def test_what_fits_is_placed_legally_and_what_does_not_is_refused(case: Case) -> None:
    fleet = [list(lying) for lying in case.fleet]
    for name, _ in case.events:
        if not name:
            continue
        spot = case.policy.place([case.policy.occupancy(lying) for lying in fleet], name)
        if spot is None:
            assert not any(room_for(case.geometry, lying, name) for lying in fleet)
        else:
            assert case.geometry.allows(fleet[spot.gpu], spot.profile, spot.placement)
            fleet[spot.gpu].append((spot.profile, spot.placement))


@quick
@given(case=online_cases())
def test_a_fleet_answers_as_the_policy_does_whatever_came_and_went(case: Case) -> None:
    fleet = OnlineFleet(case.policy, case.fleet)
    plain = [list(lying) for lying in case.fleet]
    placed: list[Spot] = []
    for name, pick in case.events:
        if name:
            spot = case.policy.place([case.policy.occupancy(lying) for lying in plain], name)
            assert fleet.place(name) == spot
            if spot is not None:
                plain[spot.gpu].append((spot.profile, spot.placement))
                placed.append(spot)
        elif placed:
            spot = placed.pop(pick % len(placed))
            fleet.release(spot)
            plain[spot.gpu].remove((spot.profile, spot.placement))
    assert [sorted(lying) for lying in plain] == [
        sorted(fleet.lying_on(gpu)) for gpu in range(len(plain))
    ]


@quick
@given(case=online_cases())
def test_releasing_everything_restores_the_fleet(case: Case) -> None:
    fleet = OnlineFleet(case.policy, case.fleet)
    before = fleet.occupancies
    spots = [fleet.place(name) for name, _ in case.events if name]

    for spot in spots:
        if spot is not None:
            fleet.release(spot)

    assert fleet.occupancies == before
    again = [fleet.place(name) for name, _ in case.events if name]
    assert again == spots


@quick
@given(key=st.sampled_from(BOARDS), data=st.data())
def test_every_choice_costs_least(key: str, data: st.DataObject) -> None:
    """Against the definition: the drop of every placement on every GPU, looked at one by one."""
    policy, geometry = policy_of(key), board(key).geometry
    fleet = data.draw(st.lists(layouts(geometry), min_size=1, max_size=4))
    name = data.draw(st.sampled_from(sorted(policy.moves)))
    profile = geometry.named(name)
    assert profile is not None
    found = []
    for gpu, lying in enumerate(fleet):
        before = policy.occupancy(lying)
        for at in profile.placements:
            if geometry.allows(lying, name, at):
                after = policy.occupancy([*lying, (name, at)])
                drop = round(policy.values[before] - policy.values[after], 9)
                free = geometry.memory_slices - after.bit_count()
                found.append((drop, free, gpu, at))

    spot = policy.place([policy.occupancy(lying) for lying in fleet], name)

    if found:
        _, _, gpu, at = min(found)
        assert spot == Spot(gpu=gpu, profile=name, placement=at)
    else:
        assert spot is None


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The benchmark with its published orders, on a path of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("online")


@pytest.fixture(scope="module")
def results(benchmark: ModuleType) -> dict[str, dict[str, Any]]:
    """What every policy reaches with every mix, on fleets small enough for a test."""
    size = benchmark.Size(gpus=60, fillings=8, churns=2, requests=1200, settling=300)
    return {
        name: benchmark.results(mix, size, f"test/{name}") for name, mix in benchmark.MIXES.items()
    }


@pytest.mark.parametrize("question", ["accepted", "churn"])
@pytest.mark.parametrize("mix", ["uniform", "small-heavy", "large-heavy", "memory-heavy"])
def test_no_published_order_accepts_noticeably_more(
    results: dict[str, dict[str, Any]], mix: str, question: str
) -> None:
    reached = {name: getattr(result, question) for name, result in results[mix].items()}
    ours = reached.pop("gpuslice")

    assert len(reached) == 7
    assert ours >= reached["first fit, lowest start"]
    assert {name for name, theirs in reached.items() if ours < theirs - MARGIN} == set()


def test_the_same_seed_gives_the_same_result(
    benchmark: ModuleType, results: dict[str, dict[str, Any]]
) -> None:
    size = benchmark.Size(gpus=60, fillings=1, churns=1, requests=200, settling=50)
    mix = benchmark.MIXES["uniform"]

    once, again = (benchmark.results(mix, size, "seed") for _ in range(2))
    other = benchmark.results(mix, size, "another seed")

    assert once == again
    assert once != other
