from __future__ import annotations

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.architecture import Keeps
from gpuslice.sizing.config import config_architecture

QWEN3_8B: dict[str, object] = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
}
STATE = {
    "mamba_n_heads": 8,
    "mamba_d_head": 64,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_d_conv": 4,
}
JAMBA = {"attn_layer_period": 9, "attn_layer_offset": 4}


def counts(config: dict[str, object]) -> dict[Keeps, int]:
    return {part.keeps: part.count for part in config_architecture(config, "x").layers}


@pytest.mark.parametrize(
    ("layers", "kv_heads", "bytes_per_token"),
    # Measured with vLLM 0.20.0 on an H200: Qwen3-0.6B, -4B/-8B, Llama-3.1-8B, Qwen3-14B, -30B-A3B.
    [(28, 8, 114_688), (36, 8, 147_456), (32, 8, 131_072), (40, 8, 163_840), (48, 4, 98_304)],
)
def test_cache_per_token_is_what_vllm_was_measured_to_take(
    layers: int, kv_heads: int, bytes_per_token: int
) -> None:
    config = QWEN3_8B | {"num_hidden_layers": layers, "num_key_value_heads": kv_heads}
    assert config_architecture(config, "x").bytes_per_token() == bytes_per_token


@pytest.mark.parametrize("key", ["text_config", "language_config", "llm_config"])
def test_models_that_also_see_keep_their_text_part_inside(key: str) -> None:
    described = config_architecture({"model_type": "vl", key: QWEN3_8B}, "x")
    assert described == config_architecture(QWEN3_8B, "x")


def test_model_that_also_hears_and_speaks_thinks_in_its_thinker() -> None:
    config = {"thinker_config": {"text_config": QWEN3_8B}, "talker_config": {"x": 1}}
    assert config_architecture(config, "x") == config_architecture(QWEN3_8B, "x")


def test_head_size_defaults_to_the_quotient() -> None:
    config = {k: v for k, v in QWEN3_8B.items() if k != "head_dim"} | {"head_dim": None}
    assert config_architecture(config, "x").bytes_per_token() == 147_456


def test_without_heads_of_its_own_every_head_has_a_key() -> None:
    config = {k: v for k, v in QWEN3_8B.items() if k != "num_key_value_heads"}
    assert config_architecture(config, "x").bytes_per_token() == 4 * 147_456


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sliding_window": 4096, "use_sliding_window": False}, {Keeps.FULL: 36}),
        ({"sliding_window": 4096}, {Keeps.WINDOW: 36}),
        ({"sliding_window": 9, "max_window_layers": 30}, {Keeps.FULL: 30, Keeps.WINDOW: 6}),
        ({"sliding_window": 9, "sliding_window_pattern": 4}, {Keeps.FULL: 9, Keeps.WINDOW: 27}),
        (
            {"sliding_window": 9, "sliding_window_pattern": "LLG"},
            {Keeps.FULL: 12, Keeps.WINDOW: 24},
        ),
        ({"attention_chunk_size": 8192}, {Keeps.FULL: 9, Keeps.CHUNK: 27}),
        ({"cross_attention_layers": [3, 8]}, {Keeps.FULL: 34, Keeps.CROSS: 2}),
        ({"num_kv_shared_layers": 6}, {Keeps.FULL: 30}),
        (STATE | {"attn_layer_indices": [1, 5]}, {Keeps.FULL: 2, Keeps.STATE: 34}),
        (
            STATE | {"attn_layer_period": 9, "attn_layer_offset": 4},
            {Keeps.FULL: 4, Keeps.STATE: 32},
        ),
        (STATE | {"full_attention_interval": 4}, {Keeps.FULL: 9, Keeps.STATE: 27}),
        (STATE | {"model_type": "falcon_h1"}, {Keeps.FULL: 36, Keeps.STATE: 36}),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, {Keeps.LATENT: 36}),
    ],
)
def test_each_family_says_in_its_own_words_what_its_layers_are(
    changes: dict[str, object], expected: dict[Keeps, int]
) -> None:
    assert counts(QWEN3_8B | changes) == expected


def test_layers_that_are_listed_one_by_one_win_over_any_rule() -> None:
    kinds = ["sliding_attention", "full_attention", "mamba", "hybrid", "moe", "chunked_attention"]
    config = QWEN3_8B | STATE | {"layer_types": kinds * 6, "sliding_window": 7}
    config |= {"attention_chunk_size": 11}
    assert counts(config)[Keeps.FULL] == 12
    assert counts(config)[Keeps.STATE] == 12
    limits = {p.keeps: p.tokens for p in config_architecture(config, "x").layers}
    assert limits[Keeps.WINDOW] == 7
    assert limits[Keeps.CHUNK] == 11


def test_kind_that_nobody_knows_counts_as_full_attention_and_is_told() -> None:
    config = QWEN3_8B | {"layer_types": ["full_attention"] * 35 + ["telepathy"]}
    described = config_architecture(config, "x")
    assert described.bytes_per_token() == 147_456
    assert not described.exact
    assert "1 layers are of a kind that is not known" in described.notes[0]


def test_unknown_family_is_marked_as_an_estimate() -> None:
    described = config_architecture(QWEN3_8B | {"model_type": "brandnew"}, "x")
    assert not described.exact
    assert "'brandnew' is not a known architecture" in described.notes[0]
    assert config_architecture(QWEN3_8B, "x").exact


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_encoders_keep_nothing(family: str) -> None:
    config = QWEN3_8B | {"model_type": family}
    assert config_architecture(config, "x").sequence_bytes(512) == 0


def test_decoder_of_a_pair_keeps_its_own_tokens_and_the_encoders() -> None:
    whisper: dict[str, object] = {
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "decoder_layers": 4,
        "decoder_attention_heads": 20,
        "d_model": 1280,
        "max_source_positions": 1500,
        "max_target_positions": 448,
    }
    described = config_architecture(whisper, "x")
    token = 4 * 2 * 1280 * 2
    assert described.bytes_per_token() == token
    assert described.sequence_bytes(448) == token * (448 + 1500)
    assert described.longest_context == 448


def test_layers_that_were_pruned_one_by_one_are_added_up() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 8}},
        {"attention": {"n_heads_in_group": 16}},
        {"attention": {"n_heads_in_group": None, "no_op": True}},
    ]
    config = {**QWEN3_8B, "model_type": "nemotron-nas", "block_configs": blocks}
    assert config_architecture(config, "x").bytes_per_token() == 2 * (4 + 2) * 2 * 128


@pytest.mark.parametrize(
    ("scaling", "longest"),
    [
        (None, 32_768),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131_072),
        ({"type": "linear", "factor": 2}, 65_536),
        ({"rope_type": "llama3", "factor": 8.0}, 32_768),
        ({"rope_type": "yarn", "factor": "large"}, 32_768),
    ],
)
def test_longest_context_is_stretched_as_the_rope_is(
    scaling: dict[str, object] | None, longest: int
) -> None:
    config = QWEN3_8B | {"max_position_embeddings": 32768, "rope_scaling": scaling}
    assert config_architecture(config, "x").longest_context == longest


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads"])
@pytest.mark.parametrize("value", [None, "36", 0, -1, 2**40, True])
def test_nonsense_in_a_config_is_an_error(key: str, value: object) -> None:
    with pytest.raises(SizingError, match=key):
        config_architecture(QWEN3_8B | {key: value}, "x")


def test_state_that_is_not_described_is_an_error() -> None:
    config = QWEN3_8B | {"full_attention_interval": 4}
    with pytest.raises(SizingError, match="does not say its state size"):
        config_architecture(config, "x")
