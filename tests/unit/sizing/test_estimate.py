from __future__ import annotations

from typing import Any

import pytest

from gpuslice.engines.vllm import batched_tokens
from gpuslice.sizing.estimate import (
    VLLM_BESIDE_MIB,
    VLLM_FRACTION,
    Sized,
    estimate_llama_cpp,
    estimate_vllm,
    vllm_step_tokens,
)
from gpuslice.sizing.shape import AttentionShape, ModelShape

GIB = 1024**3


def a_model(*, weights_gib: float = 7.56, **changes: Any) -> ModelShape:
    """Qwen3-4B, unless told otherwise."""
    attention = AttentionShape(kv_heads=(8,) * 36, key_length=128, value_length=128)
    known: dict[str, Any] = {"attention": attention, "vocabulary": 151936}
    return ModelShape(weights_bytes=int(weights_gib * GIB), **(known | changes))


def part(sized: Sized, name: str) -> int:
    return next(p.memory_mib for p in sized.parts if p.name.startswith(name))


@pytest.mark.parametrize("estimate", [estimate_llama_cpp, estimate_vllm])
def test_parts_add_up_and_the_reason_names_each(estimate: Any) -> None:
    sized = estimate(a_model(), context_tokens=8192, concurrency=4)
    assert sized.memory_mib == sum(p.memory_mib for p in sized.parts)
    for one in sized.parts:
        assert f"{one.memory_mib:,} MiB {one.name}" in sized.reason


@pytest.mark.parametrize("estimate", [estimate_llama_cpp, estimate_vllm])
def test_cache_grows_with_context_times_concurrency(estimate: Any) -> None:
    once = estimate(a_model(), context_tokens=4096, concurrency=1)
    assert part(once, "KV") == 36 * 8 * 256 * 2 * 4096 // 1024**2
    eightfold = estimate(a_model(), context_tokens=8192, concurrency=4)
    assert part(eightfold, "KV") == 8 * part(once, "KV")


def test_llama_cpp_rounds_each_context_up_to_256_tokens() -> None:
    rounded = estimate_llama_cpp(a_model(), context_tokens=1, concurrency=16)
    assert part(rounded, "KV") == 16 * 256 * 147_456 // 1024**2


def test_vllm_rounds_each_context_up_to_a_block_of_16() -> None:
    rounded = estimate_vllm(a_model(), context_tokens=17, concurrency=1024)
    assert part(rounded, "KV") == 1024 * 32 * 147_456 // 1024**2


@pytest.mark.parametrize("weights_gib", [0.1, 0.5, 3.0, 7.56, 27.5, 70.0])
def test_slice_that_vllm_gets_satisfies_both_of_its_rules(weights_gib: float) -> None:
    sized = estimate_vllm(a_model(weights_gib=weights_gib), context_tokens=4096, concurrency=2)
    inside = sum(p.memory_mib for p in sized.parts[:-1])
    assert VLLM_FRACTION * sized.memory_mib >= inside - 1e-6
    assert sized.memory_mib - inside >= VLLM_BESIDE_MIB
    # And it is the least such slice: one MiB less breaks one of the two.
    less = sized.memory_mib - 1
    assert VLLM_FRACTION * less < inside or less - inside < VLLM_BESIDE_MIB


@pytest.mark.parametrize(
    ("weights_gib", "fraction_gib", "available_gib"),
    # Rows of the measurement on an H200 (143155 MiB seen), steps of 4,096 tokens.
    [(1.12, 69.90, 68.42), (7.56, 69.90, 61.49), (15.27, 69.90, 53.97), (56.88, 97.86, 40.32)],
)
def test_activations_allowed_cover_what_was_measured(
    weights_gib: float, fraction_gib: float, available_gib: float
) -> None:
    sized = estimate_vllm(a_model(weights_gib=weights_gib), context_tokens=4096, concurrency=32)
    measured_mib = (fraction_gib - weights_gib - available_gib) * 1024
    assert part(sized, "activations") >= measured_mib - 1  # the table has two decimals


@pytest.mark.parametrize("context", [1, 2048, 4096, 8192, 100_000])
@pytest.mark.parametrize("concurrency", [1, 64, 4096])
def test_step_is_the_one_the_engine_is_told(context: int, concurrency: int) -> None:
    assert vllm_step_tokens(context, concurrency) == batched_tokens(context, concurrency)
