"""Small model files for tests, written byte by byte after the formats' descriptions.

Files with large tensors are sparse: they claim their true size and take no room.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

F16 = 1
Q4_0 = 2

MetadataValue = int | float | bool | str | list[int] | list[str] | list[float]

TINY_LLAMA: dict[str, MetadataValue] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.ggml.scores": [0.0, 1.0, 2.0],
}


def gguf_bytes(
    metadata: Mapping[str, MetadataValue] | None = None,
    tensors: Sequence[tuple[str, tuple[int, ...], int]] = (("token_embd.weight", (64, 3), F16),),
    *,
    version: int = 3,
    data: bool = True,
) -> bytes:
    """A GGUF file: metadata, tensors as (name, shape, type), and zeros for their data."""
    known = TINY_LLAMA if metadata is None else metadata
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(known))
    for key, value in known.items():
        head += _string(key) + _value(value)
    offset = 0
    for name, shape, kind in tensors:
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", kind, offset)
        offset += _padded(_tensor_bytes(shape, kind))
    head += b"\0" * (_padded(len(head)) - len(head))
    return head + b"\0" * offset if data else head


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> None:
    """A sparse safetensors file: tensors as name: (dtype, shape, bytes)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + offset)


def qwen3_tensors(
    *, layers: int, width: int, inner: int, kv_heads: int, heads: int, tied: bool
) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Every tensor of a dense Qwen3 in bf16, head size 128, as its published files list them."""
    vocabulary = 151936
    q, kv = heads * 128, kv_heads * 128
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, width)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (q, width),
            f"{at}.self_attn.k_proj.weight": (kv, width),
            f"{at}.self_attn.v_proj.weight": (kv, width),
            f"{at}.self_attn.o_proj.weight": (width, q),
            f"{at}.mlp.gate_proj.weight": (inner, width),
            f"{at}.mlp.up_proj.weight": (inner, width),
            f"{at}.mlp.down_proj.weight": (width, inner),
            f"{at}.input_layernorm.weight": (width,),
            f"{at}.post_attention_layernorm.weight": (width,),
        }
    return {name: ("BF16", shape, 2 * _product(shape)) for name, shape in shapes.items()}


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: MetadataValue) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case _:
            return struct.pack("<I", 9) + _array(value)


def _array(items: list[int] | list[str] | list[float]) -> bytes:
    if all(isinstance(item, str) for item in items):
        return struct.pack("<IQ", 8, len(items)) + b"".join(_string(str(item)) for item in items)
    if all(isinstance(item, int) for item in items):
        return struct.pack(f"<IQ{len(items)}i", 5, len(items), *items)
    return struct.pack(f"<IQ{len(items)}f", 6, len(items), *items)


def _tensor_bytes(shape: tuple[int, ...], kind: int) -> int:
    return _product(shape) * 2 if kind == F16 else _product(shape) // 32 * 18


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _padded(size: int) -> int:
    return -(-size // 32) * 32
