"""From a model's files to what generating with it costs: the figures that a roofline takes.

Separate from the arithmetic in `throughput`, which knows no files, and from sizing, which asks
what has to be kept and not what has to be read and multiplied.

What a step does not read is left out: the embedding table, of which it takes one row for each
token, unless the table is the output layer as well. Experts are told apart by their tensors' names
in a GGUF file, and by the configuration's sizes in a folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.attention import config_attention, gguf_attention
from gpuslice.sizing.gguf import GgufHeader, GgufTensor, read_gguf
from gpuslice.sizing.safetensors import read_config, read_weights_bytes
from gpuslice.sizing.size import split_files

_EMBEDDING, _OUTPUT, _EXPERTS = "token_embd.", "output.weight", "_exps."
_HINT = "say `throughput:` for this model, what one slice was measured to give"
_BITS_OF_METHODS = {"fp8": 8, "fbgemm_fp8": 8, "mxfp4": 4, "bitsandbytes": 4}
_FP8 = ("fp8", "fbgemm_fp8")
_WHOLE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWork:
    """What generating with one model costs.

    Attributes:
        work: The figures of the roofline.
        fp8: True where its weights are FP8, so that boards that can compute in FP8.
    """

    work: TokenWork
    fp8: bool


def read_work(source: str) -> ModelWork:
    """Read what generating with a model costs.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name.

    Raises:
        SizingError: It cannot be told: a hub name, or files that do not say enough.
    """
    path = Path(source)
    if not path.is_absolute():
        text = f"how fast {source} is cannot be estimated: it is not on this machine"
        raise SizingError(text, hint=_HINT)
    if source.lower().endswith(".gguf"):
        first, *others = (read_gguf(part) for part in split_files(path))
        tensors = (*first.tensors, *(t for other in others for t in other.tensors))
        return ModelWork(work=gguf_work(first, tensors, source), fp8=False)
    config = read_config(path)
    work = config_work(config, read_weights_bytes(path), source)
    return ModelWork(work=work, fp8=_quantization(config).get("quant_method") in _FP8)


def gguf_work(header: GgufHeader, tensors: Sequence[GgufTensor], source: str) -> TokenWork:
    """Take it from the header of a GGUF file.

    Args:
        header: The header of the first file.
        tensors: The tensors of all files of the model.
        source: How to call it in errors.

    Raises:
        SizingError: The header does not tell.
    """
    attention = gguf_attention(header, source)
    tied = not any(tensor.name == _OUTPUT for tensor in tensors)
    read = [t for t in tensors if tied or not t.name.startswith(_EMBEDDING)]
    routed = [tensor for tensor in read if _EXPERTS in tensor.name]
    experts, used = _experts(
        header.metadata.get(f"{header.architecture}.expert_count"),
        header.metadata.get(f"{header.architecture}.expert_used_count"),
    )
    if routed and not experts:
        raise SizingError(f"{source} has experts and does not say how many", hint=_HINT)
    share = used / experts if experts else 1
    elements = _elements(read) - _elements(routed)
    heads = header.metadata.get(f"{header.architecture}.attention.head_count")
    return TokenWork(
        step_bytes=sum(t.bytes for t in read) - sum(t.bytes for t in routed),
        expert_bytes=sum(t.bytes for t in routed),
        experts=experts,
        experts_per_token=used,
        kv_bytes_per_token=attention.bytes_per_token,
        state_bytes=0,
        flops_per_token=round(2 * (elements + share * _elements(routed))),
        flops_per_context_token=_attention_flops(
            heads if isinstance(heads, int) else max(attention.kv_heads),
            attention.key_length + attention.value_length,
            len(attention.kv_heads),
        ),
    )


def config_work(config: Mapping[str, object], weights_bytes: int, source: str) -> TokenWork:
    """Take it from a config.json and the size of all weights.

    Args:
        config: The configuration.
        weights_bytes: All tensors as stored.
        source: How to call it in errors.

    Raises:
        SizingError: The configuration does not tell, or contradicts the size.
    """
    attention, inner = config_attention(config, source), _inner(config)
    bits = _bits(config)
    experts, used = _experts(
        _first(inner, "num_experts", "num_local_experts", "n_routed_experts"),
        _first(inner, "num_experts_per_tok", "num_experts_per_token"),
    )
    layers, hidden = len(attention.kv_heads), _first(inner, "hidden_size")
    width = _first(inner, "moe_intermediate_size", "intermediate_size")
    routed = layers * experts * 3 * hidden * width
    table = 0 if _tied(config, inner) else _first(inner, "vocab_size") * hidden
    step_bytes = weights_bytes - 2 * table - routed * bits // 8
    if step_bytes <= 0:
        text = f"{source} has fewer weights than its configuration says"
        raise SizingError(text, hint=_HINT)
    share = used / experts if experts else 1
    return TokenWork(
        step_bytes=step_bytes,
        expert_bytes=routed * bits // 8,
        experts=experts,
        experts_per_token=used,
        kv_bytes_per_token=attention.bytes_per_token,
        state_bytes=0,
        flops_per_token=round(2 * (step_bytes * 8 / bits + share * routed)),
        flops_per_context_token=_attention_flops(
            _first(inner, "num_attention_heads"),
            attention.key_length + attention.value_length,
            layers,
        ),
    )


def _attention_flops(heads: int, lengths: int, layers: int) -> int:
    """Count for one token and one token of its context: a product and a sum for each element."""
    return 2 * heads * lengths * layers


def _experts(count: object, used: object) -> tuple[int, int]:
    """Return how many experts there are and how many a token takes; (0, 0) for a dense model."""
    if not isinstance(count, int) or not isinstance(used, int) or not 0 < used <= count:
        return (0, 0)
    return (count, used)


def _elements(tensors: Sequence[GgufTensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors)


def _inner(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the part that describes the language model, where others are described as well."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def _tied(config: Mapping[str, object], inner: Mapping[str, object]) -> bool:
    written = inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    return written is True


def _quantization(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return how it is quantized; empty where it is not."""
    how = _inner(config).get("quantization_config", config.get("quantization_config"))
    return how if isinstance(how, dict) else {}


def _bits(config: Mapping[str, object]) -> int:
    """How many bits most weights have: as its quantization says, else 16."""
    how = _quantization(config)
    bits = how.get("bits")
    if isinstance(bits, int) and bits in (2, 3, 4, 8):
        return bits
    return _BITS_OF_METHODS.get(str(how.get("quant_method", "")), _WHOLE)


def _first(config: Mapping[str, object], *keys: str) -> int:
    """Return the first of some numbers that is there and positive, else 0."""
    found = (config.get(key) for key in keys)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0), 0)
