"""Peaks of boards: sound numbers, and a loader that believes no others."""

from __future__ import annotations

from typing import Any

import pytest

from gpuslice.hardware import Board, board, load_boards
from gpuslice.hardware.speed import speeds_from

SOUND: dict[str, Any] = {
    "sm_count": 108,
    "memory_gb_per_s": 2039,
    "bf16_tflops": 312,
    "fp8_tflops": None,
    "source": "a data sheet",
    "inferred": [],
}
NAMES = ("SXM", "PCIe")


@pytest.mark.parametrize("known", load_boards(), ids=lambda known: known.key)
def test_the_whole_board_has_the_sms_of_its_largest_profile_and_no_fewer(known: Board) -> None:
    most = max((profile.sm_count for profile in known.geometry.profiles), default=0)
    assert known.speed().sm_count >= most
    assert len(known.speeds) == len(known.names)


@pytest.mark.parametrize("known", load_boards(), ids=lambda known: known.key)
def test_eight_bits_are_about_twice_as_fast_from_ada_and_hopper_on(known: Board) -> None:
    for speed in known.speeds:
        if known.compute_capability < (8, 9):
            assert speed.fp8_tflops is None
        else:
            assert speed.fp8_tflops == pytest.approx(2 * speed.bf16_tflops, rel=0.005)


def test_products_of_one_board_may_differ() -> None:
    a100 = board("a100-80gb")
    assert a100.speed("NVIDIA A100-SXM4-80GB").memory_gb_per_s == 2039
    assert a100.speed("NVIDIA A100 80GB PCIe").memory_gb_per_s == 1935
    assert board("h200").speed("NVIDIA H200 NVL").bf16_tflops == 835.5


def test_a_product_that_is_not_named_has_the_peaks_of_the_commonest() -> None:
    assert board("h200").speed("NVIDIA H200 Something").bf16_tflops == 989.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"watts": 400}, "watts"),
        ({"by_name": {"NVL": {"sm_count": 1}}}, "NVL"),
        ({"by_name": {"PCIe": {"source": "hearsay"}}}, "source"),
        ({"sm_count": 0}, "sm_count is 0"),
        ({"memory_gb_per_s": "2 TB/s"}, "memory_gb_per_s is '2 TB/s'"),
        ({"bf16_tflops": None}, "bf16_tflops is None"),
        ({"bf16_tflops": True}, "bf16_tflops is True"),
        ({"by_name": {"PCIe": {"fp8_tflops": -1}}}, "speed of PCIe: fp8_tflops is -1"),
    ],
)
def test_numbers_that_cannot_be_true_and_keys_that_nobody_knows_are_refused(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        speeds_from(SOUND | wrong, NAMES)
