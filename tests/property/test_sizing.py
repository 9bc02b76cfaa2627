from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuslice.errors import SizingError
from gpuslice.sizing import Sized, size_model
from gpuslice.sizing.architecture import Architecture, CacheType, Keeps, Layers
from gpuslice.sizing.config import config_architecture
from gpuslice.sizing.estimate import estimate_llama_cpp, estimate_vllm
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.size import shape_of
from gpuslice.sizing.tensors import Tensor
from gpuslice.sizing.weights import Weights, WeightsPart, quantization_of
from model_files import gguf_bytes

SOUND = gguf_bytes()
CHANGES = st.lists(
    st.tuples(st.integers(0, len(SOUND) - 1), st.sampled_from([0, 1, 9, 127, 255])), max_size=6
)
TENSORS = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries(
        {"dtype": st.sampled_from(["F16", "X"]) | st.integers()},
        optional={
            "shape": st.lists(st.integers() | st.text(max_size=2), max_size=3) | st.none(),
            "data_offsets": st.lists(st.integers(-9, 99), max_size=3),
        },
    )
    | st.integers(),
    max_size=3,
)
COUNTS = st.integers(1, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def size(source: Path, engine: str) -> Sized | SizingError:
    """Size a model; anything but a size or a `SizingError` fails the test."""
    try:
        return size_model(str(source), engine=engine, context_tokens=4096, concurrency=4)
    except SizingError as error:
        return error


@given(changes=CHANGES, end=st.integers(0, len(SOUND)))
def test_damaged_gguf_is_sized_or_told(
    folder: Path, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(SOUND)
    for at, value in changes:
        data[at] = value
    path = folder / "model.gguf"
    path.write_bytes(data[:end] if end % 2 else data)
    answer = size(path, "llama.cpp")
    if isinstance(answer, SizingError):
        assert answer.message
        assert answer.hint
    else:
        assert answer.memory_mib > 0


@given(header=TENSORS, data_bytes=st.integers(0, 99))
def test_any_safetensors_header_is_added_up_or_told(
    folder: Path, header: dict[str, object], data_bytes: int
) -> None:
    raw = json.dumps(header).encode()
    content = struct.pack("<Q", len(raw)) + raw + b"\0" * data_bytes
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text('{"num_hidden_layers": 1, "num_attention_heads": 1}')
    answer = size(folder, "vllm")
    assert isinstance(answer, SizingError)  # the config says too little; or the header is broken


@given(
    weights=st.integers(0, 2**40),
    layers=COUNTS,
    heads=COUNTS,
    vocabulary=st.integers(0, 300_000),
    context=st.integers(1, 200_000),
    concurrency=COUNTS,
)
def test_asking_for_more_never_needs_less(
    weights: int, layers: int, heads: int, vocabulary: int, context: int, concurrency: int
) -> None:
    per_token = Layers(keeps=Keeps.FULL, count=layers, elements=heads * 128)
    model = ModelShape(
        architecture=Architecture(name="x", layers=(per_token,), vocabulary=vocabulary),
        weights=Weights(parts=(WeightsPart(kind="bf16", bytes=weights),), by_role={}, values={}),
    )
    cache = model.architecture.bytes_per_token()
    for estimate in (estimate_llama_cpp, estimate_vllm):
        asked = Load(context_tokens=context, concurrency=concurrency)
        need = estimate(model, asked).memory_mib
        longer = estimate(model, replace(asked, context_tokens=context + 1000))
        wider = estimate(model, replace(asked, concurrency=concurrency + 1))
        assert min(longer.memory_mib, wider.memory_mib) >= need
        assert need * 1024**2 > weights + cache * context * concurrency


T = TypeVar("T")
FAMILIES = st.sampled_from(["llama", "qwen3_next", "gemma3_text", "mamba2", "bert", "whisper", "x"])
NUMBERS: st.SearchStrategy[Any] = st.integers(-1, 70) | st.sampled_from(
    [2**40, None, True, 0.5, "8", [], [1, 2], {}]
)
CONFIG_KEYS = (
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size",
    "kv_lora_rank", "qk_rope_head_dim", "sliding_window", "sliding_window_pattern",
    "full_attention_interval", "attn_layer_period", "attention_chunk_size",
    "linear_conv_kernel_dim",
    "linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim",
    "linear_num_value_heads",
    "mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_d_conv", "state_size", "conv_kernel",
    "num_kv_shared_layers", "num_experts", "num_experts_per_tok", "vocab_size", "intermediate_size",
    "max_position_embeddings", "cross_attention_layers", "index_head_dim", "conv_L_cache",
    "block_configs", "layer_types", "attn_type_list", "quantization_config", "rope_scaling",
    "linear_attn_config", "attn_config", "text_config",
)  # fmt: skip
SOUND_CONFIG = {"num_hidden_layers": 4, "num_attention_heads": 8, "hidden_size": 64}
CONFIGS = st.fixed_dictionaries(
    {"model_type": FAMILIES | NUMBERS},
    optional=dict.fromkeys(CONFIG_KEYS, NUMBERS)
    | {
        "layer_types": st.lists(
            st.sampled_from(["full_attention", "mamba", "conv", 7]), max_size=4
        ),
        "hybrid_override_pattern": st.text("M*-E?", max_size=4),
        "is_encoder_decoder": st.booleans(),
        "block_configs": st.lists(
            st.fixed_dictionaries({"attention": st.dictionaries(st.text(max_size=1), NUMBERS)}),
            max_size=3,
        ),
        "rope_scaling": st.fixed_dictionaries({"type": st.just("yarn"), "factor": NUMBERS}),
        "linear_attn_config": st.dictionaries(
            st.sampled_from(["num_heads", "head_dim", "full_attn_layers"]), NUMBERS
        ),
    },
).map(lambda changes: SOUND_CONFIG | changes)


def told(make: Callable[[], T]) -> T | None:
    """Make something of a configuration, or None; anything but a `SizingError` fails the test."""
    try:
        return make()
    except SizingError as error:
        if not (error.message and error.hint):
            pytest.fail(f"says too little: {error!r}")
        return None


@given(config=CONFIGS, inside=st.booleans())
def test_any_configuration_is_described_or_told(config: dict[str, Any], inside: bool) -> None:
    written = {"text_config": config} if inside else config
    quantization_of(written)
    described = told(lambda: config_architecture(written, "x"))
    if described is None:
        return
    for context in (1, 5000):
        assert 0 <= described.sequence_bytes(context) <= described.sequence_bytes(context + 1)
    assert described.sequence_bytes(64, cache=CacheType.FP8) <= described.sequence_bytes(64)


@given(
    config=CONFIGS,
    shapes=st.lists(st.lists(st.integers(0, 99), max_size=3), max_size=4),
    name=st.sampled_from(["self_attn.k_proj", "attn.c_attn", "mlp.experts.0.up_proj"]),
)
def test_any_configuration_with_any_tensors_is_described_or_told(
    config: dict[str, Any], shapes: list[list[int]], name: str
) -> None:
    tensors = [
        Tensor(name=f"model.layers.{n}.{name}.weight", kind="BF16", shape=tuple(shape), bytes=9)
        for n, shape in enumerate(shapes)
    ]
    model = told(lambda: shape_of(config, tensors, "x"))
    if model is not None:
        assert model.weights.bytes == 9 * len(tensors)
        assert model.work.flops_per_token >= 0
