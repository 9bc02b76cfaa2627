"""Blocks and groups of a cache: what vLLM 0.20.0's own arithmetic gives for real models."""

from __future__ import annotations

import pytest

from gpuslice.sizing.arguments import asked_with
from gpuslice.sizing.estimate import estimate_sglang, estimate_vllm
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.size import shape_of
from real_models import real_model

FALCON, GRANITE, NEMOTRON = (
    "falcon-h1-0.5b-instruct",
    "granite-4.0-h-tiny",
    "nemotron-h-8b-base-8k",
)


def described(name: str, **changes: object) -> ModelShape:
    model = real_model(name)
    return shape_of(model.config | changes, model.tensors, name)


@pytest.mark.parametrize(
    ("name", "state", "token", "block", "pages"),
    [
        # State in one layer, cache of a token in one layer, tokens of a block that holds a state,
        # and pages of one request of 8,192 tokens over all layers.
        (FALCON, 2 * (24 * 64 * 128 + 3 * 1792), 512, 800, 36 * (11 + 1)),
        (GRANITE, 2 * (48 * 64 * 128 + 3 * 3328), 2048, 400, 4 * (21 + 9)),
        (NEMOTRON, 4 * 128 * 64 * 128 + 2 * 3 * 10_240, 4096, 1040, 4 * (8 + 6)),
    ],
)
def test_vllm_keeps_states_in_16_bits_but_where_it_is_known_not_to(
    name: str, state: int, token: int, block: int, pages: int
) -> None:
    assert block - 16 < state / token <= block
    sized = estimate_vllm(described(name), Load(context_tokens=8192, concurrency=1))
    assert sized.cache_bytes == pages * block * token


def test_states_are_in_32_bits_where_somebody_says_so_and_with_sglang() -> None:
    narrow = estimate_vllm(described(GRANITE), Load(context_tokens=8192, concurrency=1))
    told = described(GRANITE, mamba_ssm_cache_dtype="float32")
    wide = estimate_vllm(told, Load(context_tokens=8192, concurrency=1))
    argued = asked_with(
        Load(context_tokens=8192, concurrency=1), ("--mamba-ssm-cache-dtype", "float32")
    ).load
    assert narrow.cache_bytes < wide.cache_bytes
    assert estimate_vllm(described(GRANITE), argued).cache_bytes == wide.cache_bytes
    sglang = [
        estimate_sglang(model, Load(context_tokens=8192, concurrency=1)).cache_bytes
        for model in (described(GRANITE), told)
    ]
    assert sglang[0] == sglang[1] == wide.cache_bytes


def test_prefix_caching_keeps_a_mamba_state_in_every_block_and_two_of_a_delta_net() -> None:
    load = Load(context_tokens=8192, concurrency=1, states=2)
    # Blocks are whole chunks of 256 tokens then: 512 of them hold a state of 394 tokens' bytes.
    sized = estimate_vllm(described(GRANITE, mamba_chunk_size=256), load)
    assert sized.cache_bytes == 4 * (16 + 9 * 16) * 512 * 2048
    # 12 layers of attention and 36 with states: 16 blocks of 544 tokens, and 2 states.
    delta = estimate_vllm(described("qwen3-next-80b-a3b-instruct"), load)
    assert delta.cache_bytes == (12 * 16 + 36 * 2) * 544 * 2048
