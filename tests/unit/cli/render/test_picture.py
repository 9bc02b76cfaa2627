"""The row of memory slices reads without colour, on grids of every length."""

from __future__ import annotations

import pytest

from builders import a_board_gpu, a_slice, owned, with_slices
from gpuslice.cli.render.picture import (
    LEGEND,
    Cell,
    Fate,
    after_cells,
    before_cells,
    observed_cells,
    row,
    ruler,
)
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import GpuPlan, PlannedSlice, Seat

PLANNED = PlannedSlice(
    gpu_uuid="GPU-0", placement=Placement(4, 4), profile="3g.40gb", profile_id=9, memory_mib=40192
)


def a_cell(start: int, size: int, fate: Fate = Fate.STAYS, label: str = "chat/0 2g.20gb") -> Cell:
    return Cell(placement=Placement(start, size), label=label, fate=fate)


def test_an_empty_gpu_is_a_row_of_free_slices() -> None:
    assert row([], 8).plain == "    ·    " * 8
    assert ruler(8).plain.split() == list("01234567")


def test_a_slice_covers_its_memory_slices_with_sign_and_label() -> None:
    drawn = row([a_cell(2, 2, Fate.COMES)], 8).plain
    assert drawn == "    ·    " * 2 + "+chat/0 2g.20gb  ▕" + "    ·    " * 4


@pytest.mark.parametrize(
    ("fate", "sign"),
    [(Fate.COMES, "+"), (Fate.STAYS, "="), (Fate.GOES, "-"), (Fate.FOREIGN, "!")],
)
def test_every_fate_has_a_sign_of_its_own_and_stands_in_the_legend(fate: Fate, sign: str) -> None:
    assert row([a_cell(0, 4, fate)], 8).plain.startswith(f"{sign}chat/0 2g.20gb ")
    assert f" {sign} " in LEGEND.plain


@pytest.mark.parametrize("grid", [4, 8, 12])
def test_every_grid_is_drawn_to_the_same_width_and_under_its_numbers(grid: int) -> None:
    cells = [a_cell(0, 1), a_cell(grid // 2, grid // 2, Fate.COMES)]
    drawn = row(cells, grid).plain
    numbers = ruler(grid).plain
    assert len(drawn) == len(numbers) == 72
    assert drawn.index("+") == numbers.index(str(grid // 2))
    assert drawn.count("·") == grid // 2 - 1


def test_a_label_that_is_too_long_is_cut_and_the_sign_stays() -> None:
    drawn = row([a_cell(0, 1, Fate.GOES, "1g.10gb a-very-long-name/12")], 8).plain
    assert drawn.startswith("-1g.10g…▕")


def test_cells_are_drawn_in_the_order_they_lie() -> None:
    right, left = a_cell(4, 4, label="right"), a_cell(0, 4, label="left")
    assert row([right, left], 8).plain == row([left, right], 8).plain


def test_what_is_there_is_ours_by_record_and_somebody_elses_otherwise() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 2), ("1g.10gb", 3))
    first, second, _ = gpu.slices
    owners = {first.key: ReplicaId("chat", 0), second.key: None}
    assert [(c.label, c.fate) for c in observed_cells(gpu, owners)] == [
        ("chat/0 2g.20gb", Fate.STAYS),
        ("1g.10gb", Fate.STAYS),
        ("1g.10gb", Fate.FOREIGN),
    ]


def test_before_shows_what_goes_and_after_shows_what_comes() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 2), ("4g.40gb", 4))
    keep, foreign, goes = gpu.slices
    plan = GpuPlan(
        gpu_uuid=gpu.uuid, keep=(keep,), foreign=(foreign,), destroy=(goes,), create=(PLANNED,)
    )
    owners = {o.slice: o.replica for o in (owned(keep, "chat"), owned(goes, "old"))}
    seats = (
        Seat(replica=ReplicaId("chat", 0), kept=keep),
        Seat(replica=ReplicaId("new", 0), created=PLANNED),
    )
    assert {c.label: c.fate for c in before_cells(plan, owners)} == {
        "old/0 4g.40gb": Fate.GOES,
        "chat/0 2g.20gb": Fate.STAYS,
        "somebody else's": Fate.FOREIGN,
    }
    assert {c.label: c.fate for c in after_cells(plan, seats)} == {
        "new/0 3g.40gb": Fate.COMES,
        "chat/0 2g.20gb": Fate.STAYS,
        "somebody else's": Fate.FOREIGN,
    }


def test_a_slice_of_ours_that_nobody_sits_on_shows_its_profile_only() -> None:
    plan = GpuPlan(gpu_uuid="GPU-0", keep=(a_slice(),))
    assert [c.label for c in after_cells(plan, ())] == ["2g.20gb"]
