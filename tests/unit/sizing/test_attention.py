from __future__ import annotations

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.attention import config_attention, gguf_attention
from gpuslice.sizing.gguf import GgufHeader, Value

LLAMA: dict[str, Value] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
}
QWEN3_8B = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
}


def a_header(**changes: Value) -> GgufHeader:
    metadata = {**LLAMA, **{key.replace("__", "."): value for key, value in changes.items()}}
    return GgufHeader(version=3, metadata=metadata, lengths={}, tensors=())


def test_grouped_heads_make_the_cache_small() -> None:
    assert gguf_attention(a_header(), "x").bytes_per_token == 131_072
    without = {k: v for k, v in LLAMA.items() if not k.endswith("_kv")}
    header = GgufHeader(version=3, metadata=without, lengths={}, tensors=())
    assert gguf_attention(header, "x").bytes_per_token == 4 * 131_072


def test_head_size_that_is_written_wins_over_the_quotient() -> None:
    header = a_header(llama__attention__key_length=96, llama__attention__value_length=64)
    shape = gguf_attention(header, "x")
    assert (shape.key_length, shape.value_length) == (96, 64)


def test_heads_may_differ_from_layer_to_layer() -> None:
    header = a_header(llama__block_count=3, llama__attention__head_count_kv=(8, 0, 4))
    assert gguf_attention(header, "x").bytes_per_token == 2 * 12 * 256


@pytest.mark.parametrize(
    ("layers", "kv_heads", "bytes_per_token"),
    # Measured with vLLM 0.20.0 on an H200: Qwen3-0.6B, -4B/-8B, Llama-3.1-8B, Qwen3-14B, -30B-A3B.
    [(28, 8, 114_688), (36, 8, 147_456), (32, 8, 131_072), (40, 8, 163_840), (48, 4, 98_304)],
)
def test_cache_per_token_is_what_vllm_was_measured_to_take(
    layers: int, kv_heads: int, bytes_per_token: int
) -> None:
    config = QWEN3_8B | {"num_hidden_layers": layers, "num_key_value_heads": kv_heads}
    assert config_attention(config, "x").bytes_per_token == bytes_per_token


def test_models_that_also_see_keep_their_text_part_inside() -> None:
    shape = config_attention({"model_type": "vl", "text_config": QWEN3_8B}, "x")
    assert shape == config_attention(QWEN3_8B, "x")


def test_head_size_defaults_to_the_quotient() -> None:
    config = {k: v for k, v in QWEN3_8B.items() if k != "head_dim"} | {"head_dim": None}
    assert config_attention(config, "x").key_length == 128


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_lora_rank": 512},
        {"mamba_d_state": 128},
        {"layer_types": ["full_attention", "linear_attention"]},
        {"layer_types": ["mamba", "attention"]},
    ],
)
def test_config_of_another_kind_of_cache_is_unknown(changes: dict[str, object]) -> None:
    with pytest.raises(SizingError, match="keeps more than keys and values"):
        config_attention(QWEN3_8B | changes, "x")


@pytest.mark.parametrize("key", ["llama__attention__kv_lora_rank", "llama__ssm__state_size"])
def test_header_of_another_kind_of_cache_is_unknown(key: str) -> None:
    with pytest.raises(SizingError, match="keeps more than keys and values"):
        gguf_attention(a_header(**{key: 64}), "x")


def test_sliding_windows_are_sized_as_full_contexts() -> None:
    config = QWEN3_8B | {"layer_types": ["sliding_attention", "full_attention"]}
    assert config_attention(config, "x") == config_attention(QWEN3_8B, "x")


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads"])
@pytest.mark.parametrize("value", [None, "36", 0, -1, 2**40, True])
def test_nonsense_in_a_config_is_an_error(key: str, value: object) -> None:
    with pytest.raises(SizingError, match=key):
        config_attention(QWEN3_8B | {key: value}, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"llama__block_count": 2**31},
        {"llama__attention__head_count": 0},
        {"llama__attention__head_count": "many"},
        {"llama__embedding_length": 1},
        {"general__architecture": "unheard"},
    ],
)
def test_nonsense_in_a_header_is_an_error(changes: dict[str, Value]) -> None:
    with pytest.raises(SizingError):
        gguf_attention(a_header(**changes), "x")
