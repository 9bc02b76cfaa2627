from __future__ import annotations

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.architecture import Architecture, Keeps
from gpuslice.sizing.gguf import GgufHeader, Value
from gpuslice.sizing.gguf_architecture import gguf_architecture

LLAMA: dict[str, Value] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
}


def a_header(**changes: Value) -> GgufHeader:
    metadata = {**LLAMA, **{key.replace("__", "."): value for key, value in changes.items()}}
    return GgufHeader(version=3, metadata=metadata, lengths={}, tensors=())


def described(architecture: str, **keys: Value) -> Architecture:
    metadata: dict[str, Value] = {"general.architecture": architecture}
    metadata |= {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    header = GgufHeader(version=3, metadata=metadata, lengths={}, tensors=())
    return gguf_architecture(header, "x")


def test_grouped_heads_make_the_cache_small() -> None:
    assert gguf_architecture(a_header(), "x").bytes_per_token() == 131_072
    without = {k: v for k, v in LLAMA.items() if not k.endswith("_kv")}
    header = GgufHeader(version=3, metadata=without, lengths={}, tensors=())
    assert gguf_architecture(header, "x").bytes_per_token() == 4 * 131_072


def test_head_size_that_is_written_wins_over_the_quotient() -> None:
    header = a_header(llama__attention__key_length=96, llama__attention__value_length=64)
    (layers,) = gguf_architecture(header, "x").layers
    assert layers.elements == 8 * (96 + 64)


def test_heads_may_differ_from_layer_to_layer() -> None:
    header = a_header(llama__block_count=3, llama__attention__head_count_kv=(8, 0, 4))
    assert gguf_architecture(header, "x").bytes_per_token() == 2 * 12 * 256


def test_window_is_a_cache_of_its_own() -> None:
    model = described(
        "gemma3",
        block_count=12,
        embedding_length=2560,
        attention__head_count=8,
        attention__head_count_kv=4,
        attention__key_length=256,
        attention__value_length=256,
        attention__sliding_window=1024,
    )
    counts = {part.keeps: part.count for part in model.layers}
    assert counts == {Keeps.FULL: 2, Keeps.WINDOW: 10}
    token = 2 * 4 * 512
    assert model.sequence_bytes(8192, step_tokens=512) == token * (2 * 8192 + 10 * 1536)


def test_layers_without_heads_keep_a_state_in_32_bits() -> None:
    # Granite 4.0 H: Mamba-2 with 48 heads of 64, states of 128, one group, a convolution of 4.
    model = described(
        "granitehybrid",
        block_count=4,
        embedding_length=1536,
        attention__head_count=12,
        attention__head_count_kv=(0, 0, 4, 0),
        ssm__state_size=128,
        ssm__inner_size=3072,
        ssm__group_count=1,
        ssm__conv_kernel=4,
    )
    assert model.bytes_per_token() == 2 * 4 * 2 * 128
    assert model.state_bytes == 3 * 4 * ((3072 + 2 * 128) * 3 + 3072 * 128)


def test_one_layer_in_four_has_attention_in_qwen3_next() -> None:
    model = described(
        "qwen3next",
        block_count=48,
        embedding_length=2048,
        full_attention_interval=4,
        attention__head_count=16,
        attention__head_count_kv=2,
        attention__key_length=256,
        attention__value_length=256,
        ssm__state_size=128,
        ssm__inner_size=4096,
        ssm__group_count=16,
        ssm__conv_kernel=4,
    )
    assert model.bytes_per_token() == 12 * 2 * 512 * 2
    assert model.state_bytes == 36 * 4 * (8192 * 3 + 4096 * 128)


def test_falcon_h1_has_both_in_every_layer() -> None:
    model = described(
        "falcon-h1",
        block_count=2,
        embedding_length=1024,
        attention__head_count=8,
        attention__head_count_kv=2,
        ssm__state_size=128,
        ssm__inner_size=1536,
        ssm__group_count=1,
        ssm__conv_kernel=4,
    )
    assert {part.keeps: part.count for part in model.layers} == {Keeps.FULL: 2, Keeps.STATE: 2}


def test_pure_state_space_model_keeps_no_tokens() -> None:
    model = described(
        "mamba",
        block_count=24,
        embedding_length=768,
        ssm__state_size=16,
        ssm__inner_size=1536,
        ssm__conv_kernel=4,
    )
    assert model.bytes_per_token() == 0
    assert model.state_bytes == 24 * 4 * (1536 * 3 + 1536 * 16)


def test_latent_attention_keeps_what_its_keys_say() -> None:
    model = described(
        "deepseek2",
        block_count=27,
        embedding_length=2048,
        attention__head_count=16,
        attention__head_count_kv=1,
        attention__kv_lora_rank=512,
        attention__key_length=576,
        attention__value_length=512,
    )
    assert model.bytes_per_token() == 27 * (576 + 512) * 2


def test_encoder_keeps_nothing() -> None:
    assert described("bert", block_count=12).layers == ()


def test_state_of_another_make_is_unknown() -> None:
    with pytest.raises(SizingError, match="keeps more than keys and values"):
        described("rwkv7", block_count=24, wkv__head_size=64)


@pytest.mark.parametrize(
    "changes",
    [
        {"llama__block_count": 2**31},
        {"llama__attention__head_count": 0},
        {"llama__attention__head_count": "many"},
        {"llama__embedding_length": 1},
        {"llama__ssm__state_size": 16, "llama__attention__head_count_kv": 8},
        {"general__architecture": "unheard"},
    ],
)
def test_nonsense_in_a_header_is_an_error(changes: dict[str, Value]) -> None:
    with pytest.raises(SizingError):
        gguf_architecture(a_header(**changes), "x")
