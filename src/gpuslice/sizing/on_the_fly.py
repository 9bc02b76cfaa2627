"""What becomes of weights that an engine quantizes while it loads them (``--quantization``).

Separate, because these weights stand in no file: the stored tensors go in, and the tensors that the
engine will hold come out, so that everything behind adds up as if they had been read.

Only matrices that are surely quantized are counted as such: the linear layers inside the layers of
the language model, and the experts. Embeddings, the output layer, norms, routers, convolutions,
towers for images and whatever has a name that is not known stay as they are stored, and so does
``kv_b_proj`` of latent attention, of which vLLM keeps an unpacked copy. Scales are counted by the
densest layout that the method may use: fp8 has one of 32 bits for a tensor, a block of 128 x 128
weights, or a row of 512 weights at least; MXFP8 has 8 bits for 32 weights; bitsandbytes' NF4 has 32
bits for 64, which vLLM unpacks from the nested form.

While it loads, vLLM holds one layer unpacked since January 2026 (vllm #31914). SGLang makes room
for all of them first, so the slice has to hold the stored weights once (`held_at_once`).

Source: vLLM documentation, "Online Quantization" and "BitsAndBytes"; vllm #29196, #31914; SGLang
documentation, "Quantization".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from gpuslice.sizing.tensors import Role, Tensor, role_of

_FP8 = ("F8_E4M3", Fraction(1) + Fraction(4, 512))
_METHODS: dict[str, tuple[str, Fraction]] = {
    # What is written: the type that tensors end as, and bytes for each weight.
    "fp8": _FP8,
    "fp8_per_tensor": _FP8,
    "fp8_per_block": _FP8,
    "w8a8_fp8": _FP8,
    "mxfp8": ("F8_E4M3", Fraction(1) + Fraction(1, 32)),
    "bitsandbytes": ("bitsandbytes (4 bits)", Fraction(1, 2) + Fraction(4, 64)),
}
_AT_ONCE = frozenset({("sglang", "fp8"), ("sglang", "w8a8_fp8"), ("sglang", "mxfp8")})
_PLAIN = frozenset({"BF16", "F16", "F32"})
_LINEAR = re.compile(
    r"\.(\w+_proj|qkv|wqkv|Wqkv|query_key_value|dense|dense_h_to_4h|dense_4h_to_h|fc[12]|w[123koqv]"
    r"|c_attn|c_fc|(input|output)_linear)(\.weight)?$"
)
_KEPT = re.compile(r"\.(kv_b_proj|router|gate)\.")

ON_THE_FLY = tuple(_METHODS)
"""What ``--quantization`` may say about weights that are stored unpacked."""


def method_of(quantization: str) -> str:
    """Say how weights that are quantized so are packed, as `quantization_of` does; "" for not."""
    if quantization not in _METHODS:
        return ""
    return "bitsandbytes" if quantization == "bitsandbytes" else "fp8"


def quantized(tensors: Iterable[Tensor], quantization: str) -> tuple[Tensor, ...]:
    """Replace the tensors that an engine quantizes by what it makes of them.

    Args:
        tensors: All of a model, as they are stored, unpacked.
        quantization: One of `ON_THE_FLY`; anything else changes nothing.
    """
    if quantization not in _METHODS:
        return tuple(tensors)
    kind, each = _METHODS[quantization]
    return tuple(
        replace(tensor, kind=kind, bytes=min(-(-tensor.elements * each // 1), tensor.bytes))
        if _is_linear(tensor)
        else tensor
        for tensor in tensors
    )


def held_at_once(engine: str, quantization: str) -> bool:
    """Tell whether an engine holds all weights as they are stored before it quantizes them."""
    return (engine, quantization) in _AT_ONCE


def _is_linear(tensor: Tensor) -> bool:
    """Tell a matrix of a linear layer, or the stacked ones of experts, by name, type and shape."""
    named = _LINEAR.search(tensor.name) and not _KEPT.search(tensor.name)
    inside = tensor.layer is not None and role_of(tensor, 0) in {Role.DENSE, Role.EXPERT}
    return bool(named and inside and tensor.kind in _PLAIN and len(tensor.shape) > 1)
