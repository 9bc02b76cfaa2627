from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.safetensors import (
    CONFIG,
    INDEX,
    read_config,
    read_shard,
    read_tensors,
)
from model_files import write_safetensors


def read_weights_bytes(folder: Path) -> int:
    return sum(tensor.bytes for tensor in read_tensors(folder))


def read_shard_bytes(path: Path) -> int:
    return sum(tensor.bytes for tensor in read_shard(path))


def write_index(folder: Path, *shards: str) -> None:
    weight_map = {f"tensor{number}": shard for number, shard in enumerate(shards)}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def test_mixed_types_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"a": ("BF16", (4, 3), 24), "b": ("F32", (), 4), "c": ("I8", (7,), 7)}
    write_safetensors(path, tensors)
    assert read_shard_bytes(path) == 35


def test_shards_of_the_index_count_and_no_others(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-1.safetensors", {"a": ("F16", (5,), 10)})
    write_safetensors(tmp_path / "model-2.safetensors", {"b": ("F16", (6,), 12)})
    write_safetensors(tmp_path / "consolidated.safetensors", {"a": ("F16", (11,), 22)})
    write_index(tmp_path, "model-1.safetensors", "model-2.safetensors", "model-1.safetensors")
    assert read_weights_bytes(tmp_path) == 22


def test_without_an_index_the_usual_name_wins(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": ("F16", (5,), 10)})
    write_safetensors(tmp_path / "adapter.safetensors", {"b": ("F16", (6,), 12)})
    assert read_weights_bytes(tmp_path) == 10


def test_missing_shards_are_listed(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "one.safetensors", {"a": ("F16", (5,), 10)})
    write_index(tmp_path, "one.safetensors", "two.safetensors", "three.safetensors")
    with pytest.raises(SizingError, match="lacks 2 of 3 shards") as caught:
        read_weights_bytes(tmp_path)
    assert caught.value.details == ("three.safetensors", "two.safetensors")


def test_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    write_index(tmp_path, "../elsewhere.safetensors")
    with pytest.raises(SizingError, match="not a file of its folder"):
        read_weights_bytes(tmp_path)


def test_folder_without_weights_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SizingError, match="unknown") as caught:
        read_weights_bytes(tmp_path)
    assert "slice:" in caught.value.hint


def test_cut_off_shard_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": ("F16", (50,), 100)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SizingError, match="30 of 100 bytes of tensors are missing"):
        read_shard_bytes(path)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no safetensors file"),
        (b"\x05\0\0", "no safetensors file"),
        (struct.pack("<Q", 2**60) + b"{}", "no safetensors file"),
        (struct.pack("<Q", 4) + b"{xx}", "JSON cannot be read"),
        (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        (struct.pack("<Q", 8) + b'{"a": 1}', "cannot be true"),
    ],
)
def test_broken_shard_is_told(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw)
    with pytest.raises(SizingError, match=said):
        read_shard_bytes(path)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F16", "shape": [5], "data_offsets": [0, 11]},
        {"dtype": "F16", "shape": [5], "data_offsets": [10, 0]},
        {"dtype": "F16", "shape": [-5], "data_offsets": [0, 10]},
        {"dtype": "F16", "shape": ["5"], "data_offsets": [0, 10]},
        {"dtype": "F16", "data_offsets": [0, 10]},
    ],
)
def test_tensor_that_contradicts_itself_is_told(tmp_path: Path, tensor: object) -> None:
    raw = json.dumps({"weight": tensor}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * 20)
    with pytest.raises(SizingError, match="'weight'"):
        read_shard_bytes(path)


def test_type_of_the_future_is_taken_at_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": ("F5_NEW", (5,), 4)})
    assert read_shard_bytes(path) == 4


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": ' + "[" * 5000, "\xff"])
def test_broken_config_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG).write_text(text, encoding="latin-1")
    with pytest.raises(SizingError, match="is broken"):
        read_config(tmp_path)


def test_missing_config_means_unknown(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match=r"has no config\.json"):
        read_config(tmp_path)


def test_shards_that_count_themselves_are_missed_without_an_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-00001-of-00003.safetensors", {"a": ("F16", (5,), 10)})
    with pytest.raises(SizingError, match="holds 1 of 3 shards and no index") as caught:
        read_tensors(tmp_path)
    assert "did not finish" in caught.value.hint


def test_download_in_pieces_is_told(tmp_path: Path) -> None:
    pieces = tmp_path / ".cache" / "huggingface" / "download"
    pieces.mkdir(parents=True)
    (pieces / "abc.incomplete").write_bytes(b"12")
    with pytest.raises(SizingError, match="a download that did not finish"):
        read_tensors(tmp_path)
