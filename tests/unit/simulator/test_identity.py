"""GI ids and UUIDs, against recorded listings."""

from __future__ import annotations

import re

import pytest

from gpuslice.model.geometry import Placement
from gpuslice.simulator.identity import gpu_instance_id, mig_uuid, random_uuid

CANONICAL = {(0, 8): 0, (0, 4): 1, (4, 4): 2, (0, 2): 3, (2, 2): 4, (4, 2): 5, (6, 2): 6} | {
    (start, 1): 7 + start for start in range(7)
}
MIRRORED = {(0, 8): 0, (0, 4): 2, (4, 4): 1, (0, 2): 5, (2, 2): 6, (4, 2): 3, (6, 2): 4} | {
    (start, 1): number for start, number in enumerate((11, 12, 13, 14, 7, 8, 9))
}


@pytest.mark.parametrize(("mirrored", "table"), [(False, CANONICAL), (True, MIRRORED)])
def test_eight_unit_boards_number_instances_as_recorded(
    mirrored: bool, table: dict[tuple[int, int], int]
) -> None:
    found = {
        (start, size): gpu_instance_id(Placement(start, size), grid=8, mirrored=mirrored)
        for start, size in table
    }

    assert found == table


@pytest.mark.parametrize(("grid", "unit"), [(4, 1), (12, 3)])
def test_four_slice_boards_number_quarters_from_three(grid: int, unit: int) -> None:
    quarters = [Placement(unit * place, unit) for place in range(4)]
    halves = [Placement(0, 2 * unit), Placement(2 * unit, 2 * unit)]

    assert [gpu_instance_id(at, grid=grid, mirrored=False) for at in quarters] == [3, 4, 5, 6]
    assert [gpu_instance_id(at, grid=grid, mirrored=False) for at in halves] == [1, 2]
    assert gpu_instance_id(Placement(0, grid), grid=grid, mirrored=False) == 0


def test_the_uuid_is_the_one_the_published_algorithm_gives() -> None:
    """Computed once with the reference derivation of open-gpu-kernel-modules, ``gpu_uuid.c``."""
    uuid = mig_uuid(chip_id=0x170, pdi=0x0123456789ABCDEF, gpu_instance=3, engine=0)

    assert uuid == "MIG-2e970466-1780-55fc-974e-996b1607f05d"


def test_a_uuid_depends_on_gpu_instance_and_engine() -> None:
    base = {"chip_id": 0x180, "pdi": 7, "gpu_instance": 1, "engine": 0}
    variants = [base] + [{**base, key: value + 1} for key, value in base.items()]

    assert len({mig_uuid(**variant) for variant in variants}) == len(variants)


def test_random_uuids_are_of_version_four() -> None:
    shape = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

    assert re.fullmatch(shape, random_uuid())
    assert random_uuid() != random_uuid()
