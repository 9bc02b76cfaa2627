"""What a model's weights take, by type, and what of them one token reads.

Separate, because it is the one place that knows the packings: in AWQ, GPTQ and their kin eight
weights share one whole number and bring scales beside them, so neither the type nor the number of
elements of a tensor tells how many weights it holds. Bytes are always those that are stored; only
arithmetic (FLOPs) needs the number of weights.

Two rules of loading are kept here, both of vLLM and transformers: an output layer that is *tied* to
the embedding table is not loaded even where the file holds a copy, and vLLM holds matrices that are
stored in 32 bits in 16.

Source: measured with vLLM 0.20.0 on an H200: Qwen3-0.6B, whose file holds its tied output layer
twice, loads 1.12 GiB of 1.40; the packings are described with each method, see `_SCHEMES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpuslice.sizing.architecture import Architecture, TokenWork
from gpuslice.sizing.padding import padding_bytes
from gpuslice.sizing.tensors import Role, Tensor, layers_in, role_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPart:
    """The weights of one type.

    Attributes:
        kind: ``bf16``, ``fp8``, ``AWQ (4 bits)``, ``Q4_K`` …
        bytes: What they take, bytes.
    """

    kind: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """All weights of a model.

    Attributes:
        parts: By type, the largest first.
        halved_bytes: What an engine saves that holds 32-bit matrices in 16 bits.
        padded_bytes: What an engine adds that pads packed experts to its kernels' tiles.
        method: How the weights are packed (``awq``, ``gptq``, ``fp8``, ``nvfp4`` …), or "".
        quantization: What an engine is told to quantize them to while it loads them, or "".
        stored_bytes: What they took before that; 0 where they are loaded as they are.
        by_role: Bytes of each role.
        values: Number of weights of each role, packed ones counted singly.
    """

    parts: tuple[WeightsPart, ...]
    halved_bytes: int = 0
    padded_bytes: int = 0
    method: str = ""
    quantization: str = ""
    stored_bytes: int = 0
    by_role: Mapping[Role, int]
    values: Mapping[Role, int]

    @property
    def bytes(self) -> int:
        """All of them as stored, less what is not loaded."""
        return sum(part.bytes for part in self.parts)


# Methods by the word of `quantization_config.quant_method`: what people call it, and bits a weight.
_SCHEMES = {
    "awq": ("AWQ", 4),
    "gptq": ("GPTQ", 4),
    "auto-round": ("GPTQ", 4),
    "bitsandbytes": ("bitsandbytes", 4),
    "fp8": ("fp8", 8),
    "fbgemm_fp8": ("fp8", 8),
    "compressed-tensors": ("compressed-tensors", 8),
    "mxfp4": ("MXFP4", 4),
    "modelopt": ("modelopt", 8),
    "nvfp4": ("NVFP4", 4),
}
_PLAIN = {
    "F64": "fp64", "F32": "fp32", "BF16": "bf16", "F16": "fp16", "F8_E4M3": "fp8",
    "F8_E5M2": "fp8", "F8_E8M0": "fp8 scales", "F4": "fp4", "I8": "int8", "U8": "uint8",
    "I16": "int16", "I32": "int32", "I64": "int64", "U16": "uint16", "U32": "uint32",
    "U64": "uint64", "BOOL": "bool",
}  # fmt: skip
_PACKED_ENDS = (
    ".qweight", ".weight_packed", "_blocks", ".weight_quantized", "_packed",
)  # fmt: skip
_BESIDE_ENDS = (
    ".qzeros", ".scales", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_scale_2",
    ".weight_global_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx", ".input_scale",
    ".input_global_scale", "_scales", "_scale_inv", ".absmax", ".quant_map", ".nested_absmax",
    ".nested_quant_map", ".bitsandbytes__nf4", ".bitsandbytes__fp4", ".SCB", ".k_scale", ".v_scale",
    ".weight_format", "_scale", "_scale_2",
)  # fmt: skip
_SMALL_TYPES = frozenset({"U8", "I8", "F4", "F8_E4M3", "F8_E5M2", "I32", "U32", "I64"})


def quantization_of(config: Mapping[str, object]) -> tuple[str, int]:
    """Read how a model's weights are packed: method and bits of a weight; ("", 16) for not at all.

    The method is ``nvfp4`` wherever the weights are that, whichever tool wrote them.
    """
    written = config.get("quantization_config")
    if not isinstance(written, dict):
        inner = config.get("text_config")
        return quantization_of(inner) if isinstance(inner, dict) else ("", 16)
    method = str(written.get("quant_method", "")).lower()
    text = str(written).lower()
    if "nvfp4" in text:
        return "nvfp4", 4
    bits = _written_bits(written) or _SCHEMES.get(method, ("", 8))[1]
    if method == "bitsandbytes":
        bits = 4 if written.get("load_in_4bit") else 8
    if method in {"modelopt", "compressed-tensors", "fbgemm_fp8"} and bits == 8 and "float" in text:
        return "fp8", 8
    if method == "modelopt" and "fp8" in text:
        return "fp8", 8
    return method, bits


def _written_bits(written: Mapping[object, object]) -> int:
    """Find the bits of a weight: beside the method, or inside the first group of layers."""
    for key in ("bits", "w_bit", "num_bits"):
        bits = written.get(key)
        if isinstance(bits, int) and not isinstance(bits, bool) and 1 <= bits <= 16:
            return bits
    for key in ("config_groups", "group_0", "weights"):
        inner = written.get(key)
        if isinstance(inner, dict):
            return _written_bits(inner)
    return 0


def weights_of(
    tensors: Iterable[Tensor], architecture: Architecture, method: str = "", bits: int = 16
) -> Weights:
    """Add up a model's tensors by type and by role.

    Args:
        tensors: All of them.
        architecture: The model, for the number of its layers and whether it is tied.
        method: As `quantization_of` says.
        bits: Bits of a packed weight.
    """
    stored = tuple(tensors)
    layers = architecture.layer_count or layers_in(stored)
    has_table = any(role_of(tensor, layers) is Role.EMBEDDING for tensor in stored)
    kinds: Counter[str] = Counter()
    by_role: Counter[Role] = Counter()
    values: Counter[Role] = Counter()
    halved = padded = 0
    for tensor in stored:
        role = role_of(tensor, layers)
        if role is Role.OUTPUT and architecture.tied and has_table:
            continue
        kind = _kind(tensor, method, bits)
        kinds[kind] += tensor.bytes
        by_role[role] += tensor.bytes
        values[role] += _values(tensor, method, bits)
        if kind == "fp32" and len(tensor.shape) > 1:  # scales of packed weights stay as they are
            halved += tensor.bytes // 2
        if method == "mxfp4":
            padded += padding_bytes(tensor)
    parts = tuple(WeightsPart(kind=kind, bytes=size) for kind, size in kinds.most_common() if size)
    return Weights(
        parts=parts,
        halved_bytes=halved,
        padded_bytes=padded,
        method=method,
        by_role=by_role,
        values=values,
    )


def token_work(architecture: Architecture, weights: Weights) -> TokenWork:
    """Derive what generating one token reads and computes."""
    table = Role.EMBEDDING if architecture.tied else Role.OUTPUT
    step = weights.by_role.get(Role.DENSE, 0) + weights.by_role.get(table, 0)
    share = _chosen_share(architecture)
    taking_part = weights.values.get(Role.DENSE, 0) + weights.values.get(table, 0)
    taking_part += round(weights.values.get(Role.EXPERT, 0) * share)
    return TokenWork(
        step_bytes=step,
        expert_bytes=weights.by_role.get(Role.EXPERT, 0),
        experts=architecture.experts,
        experts_per_token=architecture.experts_per_token,
        kv_bytes_per_token=architecture.bytes_per_token(),
        state_bytes=architecture.state_bytes,
        flops_per_token=2 * taking_part,
        flops_per_context_token=sum(
            part.count * part.flops_per_context_token for part in architecture.layers
        ),
    )


def _chosen_share(architecture: Architecture) -> float:
    if not architecture.experts:
        return 1.0
    return min(1.0, architecture.experts_per_token / architecture.experts)


def _kind(tensor: Tensor, method: str, bits: int) -> str:
    plain = _PLAIN.get(tensor.kind, tensor.kind)
    if not method or not _is_packed(tensor, method):
        return plain
    called = _SCHEMES.get(method, (method, bits))[0]
    return called if called.lower().startswith(("fp", "mx", "nv")) else f"{called} ({bits} bits)"


def _is_packed(tensor: Tensor, method: str) -> bool:
    """Tell a packed weight, or what belongs to one, from a plain tensor of a packed model."""
    if tensor.name.endswith(_PACKED_ENDS + _BESIDE_ENDS) or ".quant_state." in tensor.name:
        return True
    return bool(method) and tensor.kind in _SMALL_TYPES


def _values(tensor: Tensor, method: str, bits: int) -> int:
    """Count the weights that a tensor holds; scales and indices are none."""
    if tensor.name.endswith(_BESIDE_ENDS) or ".quant_state." in tensor.name:
        return 0
    if method and _is_packed(tensor, method) and tensor.kind not in {"F8_E4M3", "F8_E5M2"}:
        return tensor.bytes * 8 // max(1, bits)
    return tensor.elements
