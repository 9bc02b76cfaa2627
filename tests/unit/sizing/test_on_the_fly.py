"""Weights that are quantized while they are loaded: half or a quarter, and never less than so."""

from __future__ import annotations

import pytest

from gpuslice.sizing.estimate import estimate_sglang, estimate_vllm
from gpuslice.sizing.on_the_fly import ON_THE_FLY, quantized
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.size import shape_of
from gpuslice.sizing.tensors import Tensor
from real_models import real_model

LOAD = Load(context_tokens=4096, concurrency=1)


def shape(name: str, quantization: str = "") -> ModelShape:
    model = real_model(name)
    return shape_of(model.config, model.tensors, name, quantization)


def tensor(name: str, kind: str = "BF16", shape: tuple[int, ...] = (256, 256)) -> Tensor:
    size = 2 if kind == "BF16" else 1
    for length in shape:
        size *= length
    return Tensor(name=name, kind=kind, shape=shape, bytes=size)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.1.mlp.experts.7.down_proj.weight",
        "model.layers.1.block_sparse_moe.experts.0.w2.weight",
        "model.layers.1.mlp.experts.gate_up_proj",
        "transformer.h.3.attn.c_attn.weight",
    ],
)
def test_linear_layers_end_in_eight_bits_and_their_scales(name: str) -> None:
    (made,) = quantized([tensor(name)], "fp8")
    assert made.kind == "F8_E4M3"
    assert 256 * 256 < made.bytes <= 256 * 256 * 1.01


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
        "model.layers.0.mlp.gate.weight",
        "model.layers.0.self_attn.kv_b_proj.weight",
        "model.layers.0.linear_attn.conv1d.weight",
        "visual.blocks.0.attn.qkv.weight",
        "model.layers.0.something_new.weight",
    ],
)
def test_what_may_stay_as_it_is_stored_is_counted_so(name: str) -> None:
    assert quantized([tensor(name)], "fp8") == (tensor(name),)


def test_vectors_and_packed_tensors_are_left() -> None:
    bias = tensor("model.layers.0.self_attn.q_proj.bias", shape=(256,))
    packed = tensor("model.layers.0.self_attn.q_proj.weight", kind="F8_E4M3")
    assert quantized([bias, packed], "bitsandbytes") == (bias, packed)


@pytest.mark.parametrize("quantization", ON_THE_FLY)
@pytest.mark.parametrize("name", ["llama-3.1-8b-instruct", "qwen3-30b-a3b", "deepseek-v2-lite"])
def test_a_model_never_grows(name: str, quantization: str) -> None:
    before, after = shape(name), shape(name, quantization)
    assert after.weights.bytes < before.weights.bytes == after.weights.stored_bytes
    assert after.weights.quantization == quantization


def test_eight_billion_parameters_end_where_vllm_documents_them() -> None:
    # Llama-3.1-8B: 6.98 of 8.03 billion parameters are in linear layers; the tables stay.
    linear, rest = 6_979_321_856, 8_030_261_248 - 6_979_321_856
    weights = shape("llama-3.1-8b-instruct", "fp8").weights
    assert linear + 2 * rest < weights.bytes < 1.01 * linear + 2 * rest


def test_weights_that_are_packed_already_are_left_as_they_are() -> None:
    assert shape("qwen2.5-7b-instruct-awq", "fp8") == shape("qwen2.5-7b-instruct-awq")


def test_word_that_is_not_known_is_no_reason_to_count_less() -> None:
    assert shape("qwen3-4b", "torchao") == shape("qwen3-4b")


def test_rule_says_what_was_there_before() -> None:
    sized = estimate_vllm(shape("qwen3-4b", "fp8"), LOAD)
    assert "quantized while loading" in sized.parts[0].rule
    assert "7,673 MiB before" in sized.parts[0].rule
    assert sized.parts[1].rule == "every tensor as it is stored"


def test_sglang_needs_room_for_all_of_the_stored_weights() -> None:
    model = shape("qwen3-14b", "fp8")
    load = Load(context_tokens=1024, concurrency=1)
    stored_mib = model.weights.stored_bytes / 1024**2
    here, there = estimate_sglang(model, load), estimate_vllm(model, load)
    assert there.memory_mib < stored_mib < here.memory_mib
    assert "before SGLang quantizes them" in here.parts[-1].rule
    assert here.memory_mib == sum(part.memory_mib for part in here.parts)


def test_sglang_needs_no_more_where_the_cache_is_larger_than_what_was_packed() -> None:
    load = Load(context_tokens=32_768, concurrency=16)
    sized = estimate_sglang(shape("qwen3-4b", "fp8"), load)
    assert "before SGLang" not in sized.parts[-1].rule
