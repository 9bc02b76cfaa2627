"""The table of layouts holds what the geometry allows, all of it and nothing else."""

from __future__ import annotations

import pytest

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.planner.packing.layouts import LayoutTable, layout_table

A100, A30 = board("a100-80gb").geometry, board("a30").geometry


def plain_names(geometry: Geometry) -> frozenset[str]:
    return frozenset(profile.name for profile in geometry.profiles if not profile.attributes)


def all_names(geometry: Geometry) -> frozenset[str]:
    return frozenset(profile.name for profile in geometry.profiles)


def lying(table: LayoutTable, bits: int) -> frozenset[tuple[str, Placement]]:
    return frozenset((part.profile.name, part.placement) for part in table.members(bits))


def legal(geometry: Geometry, names: frozenset[str]) -> set[frozenset[tuple[str, Placement]]]:
    """Every layout of some profiles, found by asking the geometry about one slice more."""
    places = [(p.name, at) for p in geometry.profiles if p.name in names for at in p.placements]
    found: set[frozenset[tuple[str, Placement]]] = set()
    unseen = [frozenset[tuple[str, Placement]]()]
    while unseen:
        layout = unseen.pop()
        if layout not in found:
            found.add(layout)
            unseen += [layout | {p} for p in places if geometry.allows(tuple(layout), *p)]
    return found


@pytest.mark.parametrize("key", ["a100-80gb", "a30", "rtx-pro-6000"])
def test_plain_layouts_are_those_the_geometry_allows(key: str) -> None:
    geometry = board(key).geometry
    table = layout_table(geometry, plain_names(geometry))
    assert {lying(table, bits) for bits in table.layouts} == legal(geometry, plain_names(geometry))


@pytest.mark.parametrize(("key", "count"), [("a30", 76), ("rtx-pro-6000", 717)])
def test_layouts_with_media_engines_are_those_the_geometry_allows(key: str, count: int) -> None:
    geometry = board(key).geometry
    table = layout_table(geometry, all_names(geometry))
    assert {lying(table, bits) for bits in table.layouts} == legal(geometry, all_names(geometry))
    assert len(table.layouts) == count


@pytest.mark.parametrize(("key", "count"), [("a100-80gb", 723), ("a30", 26), ("h200", 723)])
def test_every_placed_layout_is_walked_once(key: str, count: int) -> None:
    geometry = board(key).geometry
    table = layout_table(geometry, plain_names(geometry))
    assert len(table.layouts) == len(set(table.layouts)) == count
    assert table.layouts[0] == 0


def test_without_double_memory_profiles_nineteen_layouts_are_maximal() -> None:
    table = layout_table(A100, plain_names(A100) - {"1g.20gb"})
    maximal = [a for a in table.layouts if not any(a != b and a & b == a for b in table.layouts)]
    assert (len(table.layouts), len(maximal)) == (298, 19)


def test_a_part_is_known_by_its_bit_and_listed_from_left_to_right() -> None:
    table = layout_table(A30, plain_names(A30))
    left, right = table.bit("1g.6gb", Placement(0, 1)), table.bit("2g.12gb", Placement(2, 2))
    names = [(part.profile.name, part.placement.start) for part in table.members(right | left)]
    assert names == [("1g.6gb", 0), ("2g.12gb", 2)]
    assert [part.mask for part in table.members(right | left)] == [0b0001, 0b1100]


def test_what_the_geometry_does_not_have_has_no_bit() -> None:
    table = layout_table(A30, frozenset({"1g.6gb"}))
    assert table.bit("2g.12gb", Placement(0, 2)) == 0
    assert table.bit("1g.6gb", Placement(4, 1)) == 0
    assert table.members(0) == ()


@pytest.mark.parametrize("strange", [(), (("of-another-driver", Placement(2, 2)),)])
def test_room_is_what_the_geometry_counts_as_free(
    strange: tuple[tuple[str, Placement], ...],
) -> None:
    table = layout_table(A100, plain_names(A100))
    plain = [profile for profile in A100.profiles if not profile.attributes]
    for bits in table.layouts:
        there = (*lying(table, bits), *strange)
        if all(not at.overlaps(taken) for _, taken in strange for _, at in lying(table, bits)):
            free = sum(profile.memory_slices * A100.free(there, profile) for profile in plain)
            assert table.room(bits, strange) == free


def test_a_table_is_made_once_for_a_geometry_and_its_profiles() -> None:
    names = plain_names(A30)
    assert layout_table(A30, names) is layout_table(board("a30").geometry, frozenset(names))
    assert layout_table(A30, names) is not layout_table(A30, frozenset({"1g.6gb"}))
