"""Patterns of single GPUs, against the numbers known of them."""

from __future__ import annotations

import pytest

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.planner.packing.patterns import patterns
from gpuslice.planner.packing.question import OwnPlace, Pattern, Question, Site, SiteGroup, Want
from gpuslice.planner.packing.states import States


def a_site(
    geometry: Geometry,
    menu: tuple[tuple[str, tuple[int, ...]], ...],
    fixed: tuple[tuple[str, Placement], ...] = (),
    own: tuple[OwnPlace, ...] = (),
) -> Site:
    return Site(geometry=geometry, fixed=fixed, own=own, menu=menu)


def patterns_of(site: Site, wanted: tuple[int, ...]) -> tuple[Pattern, ...]:
    """The patterns of one GPU, for so many replicas of each want."""
    group = SiteGroup(site=site, members=(0,))
    question = Question(groups=(group,), wants=tuple(Want(count=count) for count in wanted))
    return patterns(States(question), question, site)


def one_demand_each(geometry: Geometry) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Every plain profile is wanted by a demand of its own, so that supplies are multisets."""
    plain = [profile.name for profile in geometry.profiles if not profile.attributes]
    return tuple((name, (number,)) for number, name in enumerate(plain))


def placed_layouts(geometry: Geometry, names: list[str]) -> set[frozenset[tuple[str, Placement]]]:
    """Every legal layout of some profiles, found by asking the geometry about one slice more."""
    found: set[frozenset[tuple[str, Placement]]] = set()
    unseen = [frozenset[tuple[str, Placement]]()]
    while unseen:
        layout = unseen.pop()
        if layout not in found:
            found.add(layout)
            unseen += [
                layout | {(name, at)}
                for name in names
                for at in geometry.named(name).placements  # type: ignore[union-attr] # it is there
                if geometry.allows(tuple(layout), name, at)
            ]
    return found


def weight_left(geometry: Geometry, layout: frozenset[tuple[str, Placement]]) -> int:
    plain = [profile for profile in geometry.profiles if not profile.attributes]
    return sum(profile.memory_slices * geometry.free(tuple(layout), profile) for profile in plain)


@pytest.mark.parametrize(("key", "layouts"), [("a100-80gb", 723), ("a30", 26)])
def test_patterns_are_the_least_wasteful_layouts_of_all_supplies(key: str, layouts: int) -> None:
    geometry = board(key).geometry
    menu = one_demand_each(geometry)
    number_of = {name: accepts[0] for name, accepts in menu}
    best: dict[tuple[int, ...], int] = {}
    every = placed_layouts(geometry, list(number_of))
    for layout in every:
        supply = tuple(sorted(number_of[name] for name, _ in layout))
        best[supply] = max(best.get(supply, 0), weight_left(geometry, layout))
    found = {
        tuple(sorted(part.kind[0] for part in pattern.slices)): -pattern.cost.waste
        for pattern in patterns_of(a_site(geometry, menu), (9,) * len(menu))
    }
    assert len(every) == layouts
    assert found == best


def test_one_pattern_stands_for_all_layouts_of_equal_supply() -> None:
    geometry = board("a100-80gb").geometry
    found = patterns_of(a_site(geometry, (("2g.20gb", (0,)),)), (9,))
    assert [len(pattern.slices) for pattern in found] == [3, 2, 1, 0]


def test_no_pattern_holds_more_than_is_wanted() -> None:
    geometry = board("a100-80gb").geometry
    found = patterns_of(a_site(geometry, (("1g.10gb", (0,)),)), (2,))
    assert max(len(pattern.slices) for pattern in found) == 2


def test_patterns_lie_beside_what_is_fixed() -> None:
    geometry = board("a100-80gb").geometry
    fixed = (("4g.40gb", Placement(0, 4)),)
    found = patterns_of(a_site(geometry, one_demand_each(geometry), fixed), (9,) * 6)
    assert all(part.placement.start >= 4 for pattern in found for part in pattern.slices)


def test_a_new_slice_never_replaces_an_equal_one_of_ours() -> None:
    geometry = board("a30").geometry
    own = (OwnPlace(profile="2g.12gb", placement=Placement(0, 2)),)
    found = patterns_of(a_site(geometry, (("2g.12gb", (0,)),), own=own), (2,))
    full = found[0]
    assert [(part.placement.start, part.kept) for part in full.slices] == [(0, True), (2, False)]
    assert [pattern.cost.destroyed for pattern in found] == [0, 0, 1]


def test_slices_with_all_media_engines_tolerate_only_those_without() -> None:
    geometry = board("rtx-pro-6000").geometry
    fixed = (("1g.24gb+me.all", Placement(0, 3)),)
    menu = (("1g.24gb", (0,)), ("1g.24gb-me", (1,)))
    found = patterns_of(a_site(geometry, menu, fixed), (4, 4))
    assert {part.profile for pattern in found for part in pattern.slices} == {"1g.24gb-me"}
