from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuslice.errors import SizingError
from gpuslice.sizing import Sized, size_model
from gpuslice.sizing.architecture import Architecture, Keeps, Layers
from gpuslice.sizing.estimate import estimate_llama_cpp, estimate_vllm
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.weights import Weights, WeightsPart
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
