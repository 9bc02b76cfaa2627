from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builders import the_small_model
from gpuslice.errors import SizingError
from gpuslice.sizing.gguf import GgufHeader, HeaderGoesOn, gguf_header, read_gguf
from model_files import F16, Q4_0, TINY_LLAMA, gguf_bytes


def read(folder: Path, data: bytes) -> GgufHeader:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def test_real_model_is_read_as_llama_cpp_reads_it() -> None:
    header = read_gguf(the_small_model())
    assert (header.version, header.architecture, len(header.tensors)) == (3, "llama", 272)
    # llama.cpp logs "CPU_Mapped model buffer size = 92.10 MiB" for this file.
    assert f"{header.weights_bytes / 1024**2:.2f}" == "92.10"
    assert header.lengths["tokenizer.ggml.tokens"] == 49152


def test_real_models_tensors_lie_one_behind_the_other() -> None:
    tensors = sorted(read_gguf(the_small_model()).tensors, key=lambda t: t.offset)
    ends = [-(-(t.offset + t.bytes) // 32) * 32 for t in tensors[:-1]]
    assert ends == [t.offset for t in tensors[1:]]


@pytest.mark.parametrize("version", [2, 3])
def test_both_current_versions_are_read(tmp_path: Path, version: int) -> None:
    assert read(tmp_path, gguf_bytes(version=version)).version == version


def test_vocabulary_is_stepped_over_and_counted(tmp_path: Path) -> None:
    header = read(tmp_path, gguf_bytes())
    assert "tokenizer.ggml.tokens" not in header.metadata
    assert "tokenizer.ggml.scores" not in header.metadata
    assert header.lengths == {"tokenizer.ggml.tokens": 3, "tokenizer.ggml.scores": 3}
    assert header.metadata["llama.block_count"] == 2


def test_heads_per_layer_are_kept(tmp_path: Path) -> None:
    header = read(tmp_path, gguf_bytes({**TINY_LLAMA, "llama.attention.head_count_kv": [2, 1]}))
    assert header.metadata["llama.attention.head_count_kv"] == (2, 1)


def test_long_lists_of_numbers_are_not_kept(tmp_path: Path) -> None:
    header = read(tmp_path, gguf_bytes({"a": list(range(5000)), "b": 7}))
    assert header.metadata == {"b": 7}
    assert header.lengths == {"a": 5000}


def test_quantised_tensor_takes_its_blocks(tmp_path: Path) -> None:
    header = read(tmp_path, gguf_bytes(tensors=[("a", (64, 2), Q4_0), ("b", (10,), F16)]))
    assert [tensor.bytes for tensor in header.tensors] == [4 * 18, 20]
    assert header.weights_bytes == 92


@pytest.mark.parametrize("missing", [1, 100])
def test_file_without_all_of_its_data_is_cut_off(tmp_path: Path, missing: int) -> None:
    whole = gguf_bytes(tensors=[("a", (64, 4), F16)])
    with pytest.raises(SizingError, match=rf"cut off: {missing} of {len(whole)} bytes are missing"):
        read(tmp_path, whole[:-missing])


def test_every_cut_through_the_header_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    header = gguf_bytes(data=False)
    for end in range(len(header)):
        with pytest.raises(SizingError):
            read(tmp_path, header[:end])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + b"\0" * 100, "does not start with 'GGUF'"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "claims 1,152,921,504,606,846,976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "claims 1,099,511,627,776 keys"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**50), "cut off inside its header"),
        (b"GGUF" + struct.pack("<IQQQcI", 3, 0, 1, 1, b"a", 99), "value of the unknown type 99"),
        (
            b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 8, 2**40),
            "claims 1,099,511,627,776 strings",
        ),
        (
            b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 4, 2**62),
            "elements of 'a'",
        ),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 9, 1), "list of lists"),
        (gguf_bytes(tensors=[("a", (1, 1, 1, 1, 1), F16)]), "tensor of 5 dimensions"),
        (gguf_bytes(tensors=[("a", (32,), 4)], data=False), "unknown type 4"),
        (gguf_bytes({"general.alignment": 0}), "alignment 0"),
    ],
)
def test_broken_file_is_named_with_what_is_broken(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(SizingError, match=said) as caught:
        read(tmp_path, data)
    assert str(tmp_path / "model.gguf") in caught.value.message
    assert caught.value.hint


def test_missing_file_is_translated(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match="there is no file") as caught:
        read_gguf(tmp_path / "none.gguf")
    assert "owner/name:Q4_K_M" in caught.value.hint


def test_file_that_may_not_be_read_is_translated(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match="cannot be read: Is a directory"):
        read_gguf(tmp_path)


@pytest.mark.parametrize("given", range(0, 300, 7))
def test_beginning_of_a_file_asks_for_more_or_says_what_the_whole_file_says(given: int) -> None:
    whole = gguf_bytes(tensors=[("a", (64, 4), F16)])
    try:
        header = gguf_header(whole[:given], len(whole), "x")
    except HeaderGoesOn:
        assert given < len(gguf_bytes(tensors=[("a", (64, 4), F16)], data=False))
    else:
        assert header == gguf_header(whole, len(whole), "x")


def test_beginning_of_a_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    data = gguf_bytes(data=False)
    with pytest.raises(SizingError, match="cut off inside its header"):
        gguf_header(data[:100], 100, "x")
    assert read(tmp_path, gguf_bytes()) == gguf_header(gguf_bytes(), len(gguf_bytes()), "x")
