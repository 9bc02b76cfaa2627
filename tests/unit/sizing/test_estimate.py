from __future__ import annotations

import math
from typing import Any

import pytest

from gpuslice.engines.vllm import batched_tokens
from gpuslice.sizing.architecture import Architecture, CacheType, Keeps, Layers
from gpuslice.sizing.estimate import (
    VLLM_BESIDE_MIB,
    VLLM_FRACTION,
    Sized,
    estimate_llama_cpp,
    estimate_sglang,
    estimate_vllm,
    vllm_step_tokens,
)
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.size import shape_of
from gpuslice.sizing.weights import Weights, WeightsPart
from real_models import real_model

GIB = 1024**3


def a_model(
    *, weights_gib: float = 7.56, vocabulary: int = 151936, step_elements: int = 39_424
) -> ModelShape:
    """Qwen3-4B, unless told otherwise."""
    layers = (Layers(keeps=Keeps.FULL, count=36, elements=8 * 256),)
    return with_layers(layers, weights_gib, vocabulary, step_elements)


def with_layers(
    layers: tuple[Layers, ...],
    weights_gib: float = 7.56,
    vocabulary: int = 151936,
    step_elements: int = 39_424,
) -> ModelShape:
    weights = Weights(
        parts=(WeightsPart(kind="bf16", bytes=int(weights_gib * GIB)),), by_role={}, values={}
    )
    architecture = Architecture(
        name="x", layers=layers, vocabulary=vocabulary, step_elements=step_elements
    )
    return ModelShape(architecture=architecture, weights=weights)


def part(sized: Sized, name: str) -> int:
    return next(p.memory_mib for p in sized.parts if p.name.startswith(name))


@pytest.mark.parametrize("estimate", [estimate_llama_cpp, estimate_vllm])
def test_parts_add_up_and_the_reason_names_each(estimate: Any) -> None:
    sized = estimate(a_model(), Load(context_tokens=8192, concurrency=4))
    assert sized.memory_mib == sum(p.memory_mib for p in sized.parts)
    for one in sized.parts:
        assert f"{one.memory_mib:,} MiB {one.name}" in sized.reason


@pytest.mark.parametrize("estimate", [estimate_llama_cpp, estimate_vllm])
def test_cache_grows_with_context_times_concurrency(estimate: Any) -> None:
    once = estimate(a_model(), Load(context_tokens=4096, concurrency=1))
    assert part(once, "KV") == 36 * 8 * 256 * 2 * 4096 // 1024**2
    eightfold = estimate(a_model(), Load(context_tokens=8192, concurrency=4))
    assert part(eightfold, "KV") == 8 * part(once, "KV")


def test_llama_cpp_rounds_each_context_up_to_256_tokens() -> None:
    rounded = estimate_llama_cpp(a_model(), Load(context_tokens=1, concurrency=16))
    assert part(rounded, "KV") == 16 * 256 * 147_456 // 1024**2


def test_vllm_rounds_each_context_up_to_a_block_of_16() -> None:
    rounded = estimate_vllm(a_model(), Load(context_tokens=17, concurrency=1024))
    assert part(rounded, "KV") == 1024 * 32 * 147_456 // 1024**2


@pytest.mark.parametrize("weights_gib", [0.1, 0.5, 3.0, 7.56, 27.5, 70.0])
def test_slice_that_vllm_gets_satisfies_both_of_its_rules(weights_gib: float) -> None:
    sized = estimate_vllm(
        a_model(weights_gib=weights_gib), Load(context_tokens=4096, concurrency=2)
    )
    inside = sum(p.memory_mib for p in sized.parts[:-1])
    assert VLLM_FRACTION * sized.memory_mib >= inside - 1e-6
    assert sized.memory_mib - inside >= VLLM_BESIDE_MIB
    # And it is the least such slice: one MiB less breaks one of the two.
    less = sized.memory_mib - 1
    assert VLLM_FRACTION * less < inside or less - inside < VLLM_BESIDE_MIB


@pytest.mark.parametrize(
    ("weights_gib", "fraction_gib", "available_gib", "elements", "seqs"),
    # Rows of the measurement on an H200 (143155 MiB seen), steps of 4,096 tokens: Qwen3-0.6B, -4B
    # (twice), -8B, Llama-3.1-8B, Qwen3-14B, -30B-A3B. Elements are 3 x inner + 4 x width.
    [
        (1.12, 69.90, 68.42, 3 * 3072 + 4 * 1024, 32),
        (7.56, 69.90, 61.67, 3 * 9728 + 4 * 2560, 32),
        (7.56, 69.90, 61.49, 3 * 9728 + 4 * 2560, 256),
        (15.27, 69.90, 53.97, 3 * 12288 + 4 * 4096, 32),
        (14.99, 69.90, 54.23, 3 * 14336 + 4 * 4096, 32),
        (27.52, 69.90, 41.57, 3 * 17408 + 4 * 5120, 32),
        (56.88, 97.86, 40.32, 8 * (3 * 768 + 2048) + 4 * 2048, 32),
    ],
)
def test_activations_allowed_are_what_was_measured_and_a_little_more(
    weights_gib: float, fraction_gib: float, available_gib: float, elements: int, seqs: int
) -> None:
    model = a_model(weights_gib=weights_gib, step_elements=elements)
    sized = estimate_vllm(model, Load(context_tokens=4096, concurrency=seqs))
    measured_mib = (fraction_gib - weights_gib - available_gib) * 1024
    assert -10 <= part(sized, "activations") - measured_mib <= 170  # the table has two decimals


def test_model_of_unknown_width_is_allowed_what_was_measured_most() -> None:
    sized = estimate_vllm(a_model(step_elements=0), Load(context_tokens=4096, concurrency=1))
    assert part(sized, "activations") == 360 + 4 * 154


def test_cache_of_eight_bits_halves_its_line() -> None:
    load = Load(context_tokens=4096, concurrency=4)
    small = Load(context_tokens=4096, concurrency=4, cache=CacheType.FP8)
    whole, half = (estimate_vllm(a_model(), each) for each in (load, small))
    assert part(half, "KV") * 2 == part(whole, "KV")


def test_rarer_kind_of_layer_fills_up_the_groups_of_vllm() -> None:
    # Gemma 3 27B: 52 layers with a window and 10 without are 6 groups of 10 and one of 10.
    window = Layers(keeps=Keeps.WINDOW, count=52, elements=4096, tokens=1024)
    full = Layers(keeps=Keeps.FULL, count=10, elements=4096)
    sized = estimate_vllm(with_layers((full, window)), Load(context_tokens=2048, concurrency=1))
    assert part(sized, "KV") == 70 * 4096 * 2 * 2048 // 1024**2


def test_windows_are_held_in_whole_blocks() -> None:
    # llama.cpp logs 1,280 cells for a window of 128 and steps of 1,024, in blocks of 256; vLLM
    # takes one block of 16 more than the window and a step.
    window = Layers(keeps=Keeps.WINDOW, count=1, elements=512 * 1024, tokens=128)
    load = Load(context_tokens=65_536, concurrency=1, step_tokens=1000)
    assert part(estimate_llama_cpp(with_layers((window,)), load), "KV") == 128 + 512 + 128
    assert part(estimate_vllm(with_layers((window,)), load), "KV") == 128 + 1000 + 8 + 16


def test_engines_in_blocks_hold_chunks_as_full_attention_and_llama_cpp_does_not() -> None:
    # Llama 4 Scout: 36 layers in chunks of 8,192 and 12 that see everything.
    chunks = Layers(keeps=Keeps.CHUNK, count=36, elements=2048, tokens=8192)
    full = Layers(keeps=Keeps.FULL, count=12, elements=2048)
    model = with_layers((full, chunks))
    load = Load(context_tokens=65_536, concurrency=1, step_tokens=8192)
    for estimate in (estimate_vllm, estimate_sglang):
        sized = estimate(model, load)
        assert part(sized, "KV") == 48 * 4096 * 65_536 // 1024**2
        assert "48 layers of attention" in sized.parts[1].rule
    short = part(estimate_llama_cpp(model, load), "KV")
    assert short == (12 * 65_536 + 36 * (8192 + 512)) * 4096 // 1024**2


def test_prefix_caching_holds_two_states_of_a_request() -> None:
    state = Layers(keeps=Keeps.STATE, count=12, state_bytes=1024**2)
    full = Layers(keeps=Keeps.FULL, count=12, elements=1024)
    model = with_layers((full, state))
    one, two = (
        part(estimate_vllm(model, Load(context_tokens=1, concurrency=1, states=states)), "KV")
        for states in (1, 2)
    )
    assert (one, two) == (24, 36)


def test_state_takes_a_whole_block_of_the_cache() -> None:
    state = Layers(keeps=Keeps.STATE, count=36, state_bytes=2_000_000)
    full = Layers(keeps=Keeps.FULL, count=12, elements=1024)
    sized = estimate_vllm(with_layers((full, state)), Load(context_tokens=1, concurrency=1))
    block = math.ceil(2_000_000 / 2048 / 16) * 16  # tokens of 2,048 bytes, in sixteens
    page = block * 2048
    assert page - 16 * 2048 < 2_000_000 <= page
    assert part(sized, "KV") == -(-(12 + 36) * page // 1024**2)


def test_what_is_served_beside_the_model_has_its_line() -> None:
    load = Load(context_tokens=1, concurrency=1, beside=(("adapter sql", 5 * 1024**2),))
    for estimate in (estimate_llama_cpp, estimate_vllm):
        assert part(estimate(a_model(), load), "adapter sql") == 5


def test_every_line_says_how_it_comes_about() -> None:
    for estimate in (estimate_llama_cpp, estimate_vllm):
        sized = estimate(a_model(), Load(context_tokens=4096, concurrency=4))
        assert all(one.rule for one in sized.parts)


@pytest.mark.parametrize("context", [1, 2048, 4096, 8192, 100_000])
@pytest.mark.parametrize("concurrency", [1, 64, 4096])
def test_step_is_the_one_the_engine_is_told(context: int, concurrency: int) -> None:
    assert vllm_step_tokens(context, concurrency) == batched_tokens(context, concurrency)


def test_vllm_has_room_to_unpack_latent_vectors_of_eight_requests_or_65536_tokens() -> None:
    # DeepSeek-V2-Lite: 576 elements kept, 16 heads of 128 + 128 once they are unpacked.
    latent = Layers(keeps=Keeps.LATENT, count=27, elements=576, expanded_elements=4096)
    model = with_layers((latent,))
    sizes = [
        part(estimate_vllm(model, Load(context_tokens=context, concurrency=requests)), "unpacked")
        for context, requests in ((1024, 1), (8192, 32), (131_072, 2048))
    ]
    tokens = (8 * 1024, 65_536, 2048 * 64)  # the last: a block of 64 for every request
    assert sizes == [math.ceil(2 * each * (576 + 4096) / 1024**2) for each in tokens]
    sglang = estimate_sglang(model, Load(context_tokens=8192, concurrency=1))
    assert not any("unpacked" in one.name for one in sglang.parts)


def test_vllm_takes_more_beside_its_share_where_it_repacks_mxfp4() -> None:
    packed = real_model("gpt-oss-20b")
    shape = shape_of(packed.config, packed.tensors, packed.name)
    load = Load(context_tokens=8192, concurrency=1)
    sized, sglang = estimate_vllm(shape, load), estimate_sglang(shape, load)
    assert sized.beside_mib >= 2349  # measured on an H200
    assert "MXFP4" in sized.parts[-1].rule
    assert "MXFP4" not in sglang.parts[-1].rule
    assert estimate_vllm(a_model(), load).beside_mib == 640
