from __future__ import annotations

import pytest

from gpuslice.driver.geometry import profile_name
from gpuslice.hardware.boards import load_boards
from gpuslice.model.geometry import Profile

ROWS = [
    pytest.param(board.memory_mib, profile, id=f"{board.key} {profile.name}")
    for board in load_boards()
    for profile in board.geometry.profiles
]


@pytest.mark.parametrize(("board_mib", "profile"), ROWS)
def test_nvidias_naming_rule_names_every_known_profile(board_mib: int, profile: Profile) -> None:
    name = profile_name(
        compute_slices=profile.compute_slices,
        memory_mib=profile.memory_mib,
        board_mib=board_mib,
        nvml_enum=profile.nvml_enum,
    )
    assert name == profile.name
