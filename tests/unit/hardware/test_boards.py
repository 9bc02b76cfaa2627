"""The board table: complete, consistent with itself and with what is known of MIG layouts."""

from __future__ import annotations

import math

import pytest

from gpuslice.errors import UnknownBoardError
from gpuslice.hardware import MIG_PRODUCTS, Board, board, board_for, load_boards
from gpuslice.model.geometry import Geometry, Placement, Profile

BOARDS = load_boards()
MIG_BOARDS = tuple(known for known in BOARDS if known.has_mig)
PROFILES = [(known, profile) for known in MIG_BOARDS for profile in known.geometry.profiles]
WITH_SEEN_SIZES = [
    (known, profile)
    for known, profile in PROFILES
    if not {"memory_mib", f"{profile.name}.memory_mib"}.intersection(known.inferred)
]


def label(value: Board | Profile) -> str:
    return value.key if isinstance(value, Board) else value.name


def without(geometry: Geometry, *enums: int) -> Geometry:
    kept = tuple(profile for profile in geometry.profiles if profile.nvml_enum not in enums)
    return Geometry(profiles=kept)


def every_layout(geometry: Geometry) -> tuple[int, list[frozenset[tuple[str, Placement]]]]:
    """How many layouts there are, the empty one included, and those nothing can be added to."""
    empty: frozenset[tuple[str, Placement]] = frozenset()
    seen, open_ones, maximal = {empty}, [empty], []
    while open_ones:
        layout = open_ones.pop()
        larger = [
            layout | {(profile.name, at)}
            for profile in geometry.profiles
            for at in profile.placements
            if geometry.allows(tuple(layout), profile.name, at)
        ]
        if not larger:
            maximal.append(layout)
        for one in larger:
            if one not in seen:
                seen.add(one)
                open_ones.append(one)
    return len(seen), maximal


def test_every_key_and_alias_means_one_board() -> None:
    keys = [key for known in BOARDS for key in (known.key, *known.aliases)]

    assert len(keys) == len(set(keys))


def test_no_two_boards_share_a_name_or_a_pci_id() -> None:
    names = [name for known in BOARDS for name in known.names]
    ids = [number for known in BOARDS for number in known.pci_device_ids]

    assert len(names) == len(set(names))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("known", MIG_BOARDS, ids=lambda known: known.key)
def test_profile_ids_and_enums_are_unique_on_a_board(known: Board) -> None:
    profiles = known.geometry.profiles

    assert len({profile.id for profile in profiles}) == len(profiles)
    assert len({profile.nvml_enum for profile in profiles}) == len(profiles)
    assert len({profile.name for profile in profiles}) == len(profiles)


@pytest.mark.parametrize(("known", "profile"), WITH_SEEN_SIZES, ids=label)
def test_profile_names_follow_from_memory_as_the_kernel_makes_them(
    known: Board, profile: Profile
) -> None:
    """Source: NVIDIA/go-nvlib, ``mig_profile.go``: eighths of the board, rounded up to GiB."""
    eighths = math.ceil(8 * profile.memory_mib / known.memory_mib)
    gib = math.floor(eighths / 8 * math.ceil(known.memory_mib / 1024) + 0.5)

    assert profile.base_name == f"{profile.compute_slices}g.{gib}gb"


@pytest.mark.parametrize(("known", "profile"), PROFILES, ids=label)
def test_no_profile_promises_more_instances_than_fit(known: Board, profile: Profile) -> None:
    assert known.geometry.free((), profile) == profile.max_instances


@pytest.mark.parametrize(("known", "profile"), PROFILES, ids=label)
def test_placements_tile_the_grid(known: Board, profile: Profile) -> None:
    grid = known.geometry.memory_slices

    assert grid in (4, 8, 12)
    assert grid % profile.memory_slices == 0
    assert all(at.start % profile.memory_slices == 0 for at in profile.placements)


def test_the_same_id_is_another_profile_on_another_board() -> None:
    a100 = board("a100-80gb").geometry.with_id(14)
    a30 = board("a30").geometry.with_id(14)

    assert a100 is not None
    assert a30 is not None
    assert (a100.name, a30.name) == ("2g.20gb", "1g.6gb")


def test_the_double_memory_profile_has_its_own_id_and_one_compute_slice() -> None:
    profile = board("a100-80gb").geometry.named("1g.20gb")

    assert profile is not None
    assert (profile.id, profile.compute_slices, profile.memory_slices) == (15, 1, 2)


@pytest.mark.parametrize(
    ("left_out", "placed", "maximal", "kinds"),
    [((7, 9), 298, 19, 14), ((7,), 723, 78, 38), ((), 2319, 239, 64)],
    ids=["base", "with double memory", "with media"],
)
def test_seven_slice_boards_have_the_known_numbers_of_layouts(
    left_out: tuple[int, ...], placed: int, maximal: int, kinds: int
) -> None:
    """Source: NVIDIA's figures show 18 and, since R510, 19 combinations of the base profiles."""
    count, largest = every_layout(without(board("a100-80gb").geometry, *left_out))

    assert (count, len(largest)) == (placed, maximal)
    assert len({tuple(sorted(name for name, _ in layout)) for layout in largest}) == kinds


@pytest.mark.parametrize("key", ["a30", "rtx-pro-6000"])
def test_four_slice_boards_have_the_known_numbers_of_layouts(key: str) -> None:
    geometry = board(key).geometry
    plain = tuple(p for p in geometry.profiles if not p.attributes)

    _, largest = every_layout(Geometry(profiles=plain))

    assert len(largest) == 5


def test_a_board_is_found_by_key_alias_and_in_capitals() -> None:
    assert board("a100").key == board("A100-80GB").key == board(" a100-80gb ").key == "a100-80gb"


def test_an_unknown_board_says_what_was_meant_and_what_there_is() -> None:
    with pytest.raises(UnknownBoardError, match="Did you mean 'h100-80gb'") as caught:
        board("h100-88gb")

    assert all(known.key in caught.value.hint for known in BOARDS)


def test_a_board_like_none_known_is_not_guessed_at() -> None:
    with pytest.raises(UnknownBoardError) as caught:
        board("voodoo2")

    assert "Did you mean" not in caught.value.message


def test_a_board_known_only_in_part_says_why_it_cannot_be_simulated() -> None:
    with pytest.raises(UnknownBoardError, match="profile ids and placements are not public"):
        board("rtx-pro-5000")


@pytest.mark.parametrize("known", BOARDS, ids=lambda known: known.key)
def test_a_board_is_found_by_what_nvml_says(known: Board) -> None:
    for name in known.names:
        assert board_for(name) is known
    for number in known.pci_device_ids:
        assert board_for("", number) is board_for("", number << 16 | 0x10DE) is known


def test_the_pci_id_decides_over_the_name() -> None:
    assert board_for("NVIDIA H200", 0x20B2) is board("a100-80gb")


def test_a_card_nobody_knows_is_no_board() -> None:
    assert board_for("NVIDIA GeForce RTX 5090", 0x2B85) is None


@pytest.mark.parametrize("key", ["t4", "l4"])
def test_there_are_boards_without_mig(key: str) -> None:
    assert not board(key).has_mig
    assert key.upper() not in MIG_PRODUCTS


def test_inferred_numbers_are_marked() -> None:
    assert board("a100-80gb").exact
    assert "3g.90gb.decoders" in board("b200").inferred
    assert "memory_mib" in board("b300").inferred
