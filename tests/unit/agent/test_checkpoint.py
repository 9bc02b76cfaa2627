from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders import a_board_gpu, with_slices
from gpuslice.agent.checkpoint import (
    check_present,
    checkpoint_of,
    checkpoint_text,
    half_made,
    layout_text,
    read_checkpoint,
    wishes_for,
)
from gpuslice.errors import CheckpointError
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.planner.partition.plan import plan_partition
from gpuslice.planner.partition.wish import Claims
from gpuslice.stack.mig_parted import parse_mig_config

SLICED = with_slices(a_board_gpu("h100-80gb"), ("1g.10gb", 2), ("3g.40gb", 4))


def on(*gpus: Gpu) -> Observed:
    return Observed(gpus=gpus, driver_version="580")


def written(folder: Path, **changes: Any) -> Path:
    """A checkpoint of one sliced GPU on disk, with some of its values changed."""
    value = json.loads(checkpoint_text(checkpoint_of(on(SLICED))))
    path = folder / "saved.json"
    path.write_text(json.dumps(value | changes))
    return path


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    assert read_checkpoint(written(tmp_path)) == checkpoint_of(on(SLICED))


def test_restoring_where_all_is_as_it_was_changes_nothing_and_elsewhere_puts_it_back() -> None:
    saved = checkpoint_of(on(SLICED))
    moved = with_slices(a_board_gpu("h100-80gb"), ("1g.10gb", 3), ("3g.40gb", 4))

    same = plan_partition(on(SLICED), wishes_for(saved, on(SLICED)), Claims())
    [back] = plan_partition(on(moved), wishes_for(saved, on(moved)), Claims()).gpus

    assert not same.changes
    assert [(s.profile, str(s.placement)) for s in back.destroy] == [("1g.10gb", "3:1")]
    assert [(s.profile, str(s.placement)) for s in back.create] == [("1g.10gb", "2:1")]


def test_a_gpu_that_is_missing_is_named(tmp_path: Path) -> None:
    saved = checkpoint_of(on(SLICED, a_board_gpu("a30", index=1)))

    with pytest.raises(CheckpointError, match="1 of the 2 GPUs") as caught:
        check_present(saved, on(SLICED), tmp_path / "saved.json")

    assert caught.value.details == ("GPU-1 (NVIDIA A30, was GPU 1)",)
    assert [wish.gpu_uuid for wish in wishes_for(saved, on(SLICED))] == ["GPU-0"]


def a_saved_gpu(**changes: Any) -> dict[str, Any]:
    [gpu] = json.loads(checkpoint_text(checkpoint_of(on(SLICED))))["gpus"]
    return dict(gpu) | changes


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gpuslice_checkpoint": 2}, "of version 2, and this gpuslice reads 1"),
        ({"gpus": [{"uuid": "GPU-0"}]}, "is damaged"),
        ({"gpus": 3}, "is damaged"),
        ({"gpus": [a_saved_gpu(), a_saved_gpu()]}, "contradicts itself"),
        ({"gpus": [a_saved_gpu(mig_on=False)]}, "contradicts itself"),
    ],
)
def test_a_checkpoint_that_cannot_be_believed_is_refused(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no JSON"),
        ("[]", "is no checkpoint"),
        ("{}", "is no checkpoint"),
        ("[" * 100_000, "is no JSON"),
        (" " * (4 * 1024 * 1024 + 1), "is no checkpoint"),
    ],
    ids=["half", "a list", "empty", "deep", "huge"],
)
def test_another_file_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(text)

    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(path)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_checkpoint(tmp_path / "gone.json")


def test_a_layout_joins_gpus_that_look_alike_and_says_what_it_was_made_from() -> None:
    other = with_slices(a_board_gpu("h100-80gb", index=2), ("3g.40gb", 0), ("1g.10gb", 6))
    text = layout_text(on(SLICED, a_board_gpu("l4", index=1), other), "node-7")

    config = parse_mig_config(text.encode(), label="node-7")

    assert text.startswith("# GPUs: NVIDIA H100 80GB HBM3, NVIDIA L4\n")
    assert [(e.devices, e.mig_enabled, e.mig_devices) for e in config.entries] == [
        ((0, 2), True, {"1g.10gb": 1, "3g.40gb": 1}),
        ((1,), False, {}),
    ]


def test_half_made_slices_are_left_out_and_told() -> None:
    gpu = with_slices(a_board_gpu("h100-80gb"), ("3g.40gb", 4), half_made=(4,))

    assert checkpoint_of(on(gpu)).gpus[0].slices == ()
    assert half_made(on(gpu)) == ("GPU 0: 3g.40gb at 4:4 has no compute instance and is left out.",)
