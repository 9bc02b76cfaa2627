from __future__ import annotations

import re
from dataclasses import replace

import pytest

from builders import a_board_gpu
from gpuslice.errors import MigUnsupportedError, UnknownProfileError
from gpuslice.hardware import load_boards
from gpuslice.model.gpu import Gpu
from gpuslice.planner.partition.names import device_named, label, part_sizes
from gpuslice.planner.partition.wish import Device
from gpuslice.simulator.compute_profiles import compute_geometry


def renamed(gpu: Gpu, old: str, new: str) -> Gpu:
    """The GPU under a driver that calls a profile something else."""
    assert gpu.geometry is not None
    profiles = tuple(replace(p, name=new) if p.name == old else p for p in gpu.geometry.profiles)
    return replace(gpu, geometry=replace(gpu.geometry, profiles=profiles))


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("3g.40gb", Device("3g.40gb")),
        ("1g.10gb+me", Device("1g.10gb+me")),
        ("1c.3g.40gb", Device("3g.40gb", 1)),
        ("3c.3g.40gb", Device("3g.40gb")),
        ("4c.7g.80gb", Device("7g.80gb", 4)),
    ],
)
def test_a_name_is_looked_up_on_the_gpu(name: str, device: Device) -> None:
    assert device_named(name, a_board_gpu("h100-80gb")) == device
    assert str(device_named(name, a_board_gpu("h100-80gb"))) == str(device)


@pytest.mark.parametrize("driver_says", ["7g.80gb", "7g.79gb"])
@pytest.mark.parametrize("file_says", ["7g.80gb", "7g.79gb", "1c.7g.79gb"])
def test_one_profile_with_two_names_is_one_thing(driver_says: str, file_says: str) -> None:
    gpu = renamed(a_board_gpu("h100-80gb"), "7g.80gb", driver_says)

    assert device_named(file_says, gpu).profile == driver_says


def test_the_drivers_rule_names_every_plain_profile_of_every_board() -> None:
    checked = 0
    for board in load_boards():
        for profile in board.geometry.profiles:
            if not board.exact:
                continue  # its memory is a guess, and names are made of it
            checked += 1
            assert label(profile, board.memory_mib) == profile.name, f"{board.key} {profile.name}"
    assert checked > 40


def test_a_size_that_is_another_profile_is_not_near() -> None:
    with pytest.raises(UnknownProfileError, match=r"GPU 0 \(.*\) has no 2g.10gb") as caught:
        device_named("2g.10gb", a_board_gpu("h100-80gb"))

    assert "Did you mean 2g.20gb?" in caught.value.hint
    assert "1g.10gb+me" in caught.value.details[0]


def test_attributes_are_part_of_a_name() -> None:
    with pytest.raises(UnknownProfileError):
        device_named("3g.40gb+me", a_board_gpu("h100-80gb"))


@pytest.mark.parametrize("name", ["4c.3g.40gb", "3c.4g.40gb", "5c.7g.80gb", "99c.1g.10gb"])
def test_a_compute_instance_that_no_slice_has_is_refused(name: str) -> None:
    with pytest.raises(UnknownProfileError, match=f"there is no {re.escape(name)}"):
        device_named(name, a_board_gpu("h100-80gb"))


def test_the_compute_instances_that_a_slice_has_are_those_of_the_simulated_driver() -> None:
    for board in load_boards():
        for profile in board.geometry.profiles:
            offered = compute_geometry(board.key, profile.id).profiles
            smaller = {p.compute_slices for p in offered} - {profile.compute_slices}
            assert set(part_sizes(profile)) == smaller, f"{board.key} {profile.name}"


def test_a_gpu_without_mig_has_no_slice() -> None:
    with pytest.raises(MigUnsupportedError, match="has no MIG"):
        device_named("3g.40gb", a_board_gpu("l4"))
