"""The roofline, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from gpuslice.hardware import board
from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.throughput import (
    Efficiency,
    Estimate,
    Range,
    SliceSpeed,
    Traffic,
    estimate,
    prefill_s,
    slice_speed,
)

ALL_OF_IT = Efficiency(
    memory_share=1.0, compute_share=1.0, step_s=0.0, low=0.5, high=2.0, basis="by hand"
)
LLAMA_8B = TokenWork(  # 32 layers, 32 heads and 8 KV heads of 128, bf16, embedding table left out
    step_bytes=15_000_000_000,
    expert_bytes=0,
    experts=0,
    experts_per_token=0,
    kv_bytes_per_token=131_072,
    state_bytes=0,
    flops_per_token=15_000_000_000,
    flops_per_context_token=524_288,
)
QWEN3_30B_A3B = TokenWork(  # 48 layers of 128 experts, of which each token takes 8
    step_bytes=2_400_000_000,
    expert_bytes=58_000_000_000,
    experts=128,
    experts_per_token=8,
    kv_bytes_per_token=98_304,
    state_bytes=0,
    flops_per_token=6_000_000_000,
    flops_per_context_token=786_432,
)


def speed_of(key: str, profile: str, *, fp8: bool = False) -> SliceSpeed:
    known = board(key)
    found = known.geometry.named(profile)
    assert found is not None
    return slice_speed(known.speed(), found, known.geometry, fp8=fp8)


def estimated(work: TokenWork, key: str, profile: str, traffic: Traffic) -> Estimate:
    return estimate(work, speed_of(key, profile), traffic, ALL_OF_IT)


@pytest.mark.parametrize(
    ("key", "profile", "gb_per_s", "tflops"),
    [
        # Memory slices of the grid, SMs of the board.
        ("a100-80gb", "1g.10gb", 2039 / 8, 312 * 14 / 108),
        ("a100-80gb", "1g.20gb", 2039 * 2 / 8, 312 * 14 / 108),
        ("a100-80gb", "3g.40gb", 2039 * 4 / 8, 312 * 42 / 108),
        ("a100-80gb", "7g.80gb", 2039, 312 * 98 / 108),
        ("a30", "1g.6gb", 933 / 4, 165 * 14 / 56),
        ("h100-80gb", "3g.40gb", 3350 * 4 / 8, 989.5 * 60 / 132),
        ("rtx-pro-6000", "2g.48gb", 1597 * 6 / 12, 500 * 94 / 188),
    ],
)
def test_a_slice_has_its_share_of_bandwidth_and_of_arithmetic(
    key: str, profile: str, gb_per_s: float, tflops: float
) -> None:
    speed = speed_of(key, profile)
    assert speed.bytes_per_s == pytest.approx(gb_per_s * 1e9)
    assert speed.flops_per_s == pytest.approx(tflops * 1e12)


def test_fp8_counts_where_the_board_computes_in_it() -> None:
    assert speed_of("h200", "7g.141gb", fp8=True).flops_per_s == pytest.approx(1979e12)
    on_ampere = speed_of("a100-80gb", "7g.80gb", fp8=True)
    assert on_ampere == speed_of("a100-80gb", "7g.80gb")


def test_one_request_of_8b_on_half_an_a100_reads_the_weights_for_each_token() -> None:
    # Context 1000 + 1000 / 2: 15 GB + 1500 x 131,072 B = 15.197 GB at 1,019.5 GB/s: 14.906 ms.
    made = estimated(
        LLAMA_8B,
        "a100-80gb",
        "3g.40gb",
        Traffic(concurrency=1, prompt_tokens=1000, answer_tokens=1000),
    )
    assert made.decode.likely == pytest.approx(1019.5e9 / 15.1966e9, rel=1e-4)
    assert made.bound == "memory"
    # Prompt: 1000 x (15 G + 500 x 524,288) = 15.262 TFLOP at 121.33 TFLOP/s: 125.8 ms.
    assert made.prefill.likely == pytest.approx(1000 / 0.12579, rel=1e-3)
    # Together: 1000 tokens in 14.906 s + 0.126 s.
    assert made.answers.likely == pytest.approx(1000 / (14.906 + 0.1258), rel=1e-3)
    assert made.requests.likely == pytest.approx(made.answers.likely / 1000)


def test_eight_requests_of_8b_on_a_whole_h200_share_one_reading() -> None:
    # 15 GB + 8 x 4096 x 131,072 B = 19.295 GB at 4,800 GB/s: 4.020 ms for 8 tokens.
    made = estimated(
        LLAMA_8B, "h200", "7g.141gb", Traffic(concurrency=8, prompt_tokens=3584, answer_tokens=1024)
    )
    assert made.decode.likely == pytest.approx(8 / 4.0198e-3, rel=1e-3)


def test_experts_that_no_token_picks_are_not_read() -> None:
    # One token: 2.4 + 58 x 8/128 GB, four: 2.4 + 58 x (1 - (15/16)^4) GB = 15.597 GB.
    shape = {"prompt_tokens": 0, "answer_tokens": 1}
    one = estimated(QWEN3_30B_A3B, "h100-80gb", "7g.80gb", Traffic(concurrency=1, **shape))
    four = estimated(QWEN3_30B_A3B, "h100-80gb", "7g.80gb", Traffic(concurrency=4, **shape))
    assert one.decode.likely == pytest.approx(3350 / 6.025, rel=1e-3)
    assert four.decode.likely == pytest.approx(4 * 3350 / 15.5977, rel=1e-3)


def test_a_large_batch_waits_for_arithmetic() -> None:
    # 4096 requests without context: 4096 x 15 GFLOP at 989.5 TFLOP/s: 65,967 tokens a second.
    made = estimated(
        LLAMA_8B, "h200", "7g.141gb", Traffic(concurrency=4096, prompt_tokens=0, answer_tokens=1)
    )
    assert made.bound == "arithmetic"
    assert made.decode.likely == pytest.approx(989.5e12 / 15e9, rel=1e-3)


def test_shares_and_the_time_of_a_step_make_it_slower_and_the_scale_counts_last() -> None:
    # 15 GB at half of 1,000 GB/s: 30 ms, and 10 ms: 25 tokens a second, times 1.2.
    reached = Efficiency(
        memory_share=0.5, compute_share=0.5, step_s=0.01, scale=1.2, low=0.5, high=2, basis="x"
    )
    speed = SliceSpeed(bytes_per_s=1e12, flops_per_s=1e15)
    made = estimate(
        LLAMA_8B, speed, Traffic(concurrency=1, prompt_tokens=0, answer_tokens=1), reached
    )
    assert made.decode.likely == pytest.approx(30, rel=1e-3)
    assert (made.decode.low, made.decode.high) == pytest.approx((15, 60), rel=1e-3)


def test_a_short_prompt_takes_one_reading_of_the_weights() -> None:
    speed = SliceSpeed(bytes_per_s=1e12, flops_per_s=1e15)
    assert prefill_s(LLAMA_8B, speed, 1, ALL_OF_IT) == pytest.approx(0.015)
    assert prefill_s(LLAMA_8B, speed, 0, ALL_OF_IT) == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Range(likely=412.3, low=301, high=523), "≈ 410 (290–530)"),  # 73 % and 127 % of 410
        (Range(likely=12_345, low=9_876, high=15_431), "≈ 12,000 (9,600–15,000)"),
        (Range(likely=0.0123, low=0.00984, high=0.02), "≈ 0.012 (0.0096–0.02)"),
        (Range(likely=90, low=63, high=117), "≈ 90 (63–120)"),  # 70 % in floats is less than 63
        (Range(likely=0, low=0, high=0), "≈ 0 (0–0)"),
    ],
)
def test_two_digits_are_written_and_no_more(value: Range, said: str) -> None:
    assert str(value) == said
