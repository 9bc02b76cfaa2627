"""From a model's own description to the sizes of its KV cache.

Separate from the readers, because here the words of two formats (GGUF keys, config.json keys)
become one shape, and because here it is decided what we do not claim to know. The arithmetic holds
for attention with one key and one value per head and layer: llama, mistral, qwen, gemma, phi and
their kin. Models that keep something else (latent attention, state spaces, linear attention) are
refused by name rather than sized wrongly. Sliding windows are counted as full contexts: too much,
never too little.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf import GgufHeader
from gpuslice.sizing.shape import AttentionShape

_HINT = "say `slice:` or `memory:` for this model"
_MOST_LAYERS = 4096
_LARGEST = 1024**2  # no head, and no number of heads, is larger

# What shows that a model keeps something other than keys and values.
_GGUF_OTHER = ("attention.kv_lora_rank", "ssm.state_size", "ssm.conv_kernel", "wkv.head_size")
_CONFIG_OTHER = (
    "kv_lora_rank",
    "ssm_state_size",
    "state_size",
    "mamba_d_state",
    "linear_num_key_heads",
)

_GGUF_KEYS = (
    "block_count",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
)


def gguf_attention(header: GgufHeader, source: str) -> AttentionShape:
    """Take the attention's sizes from a GGUF header.

    Raises:
        SizingError: The header does not tell, or the model keeps something other than keys and
            values.
    """
    arch = header.architecture
    if other := next((k for k in _GGUF_OTHER if header.metadata.get(f"{arch}.{k}")), None):
        raise _unlike(source, arch, other)
    known = {key: header.metadata.get(f"{arch}.{key}") for key in _GGUF_KEYS}
    layers = _positive(known["block_count"], f"{arch}.block_count", source, most=_MOST_LAYERS)
    heads = _per_layer(known["attention.head_count"], layers)
    if heads is None:
        raise _silent(source, f"{arch}.attention.head_count")
    kv_heads = _per_layer(known["attention.head_count_kv"], layers) or heads
    width = known["embedding_length"]
    default = width // max(heads) if isinstance(width, int) and max(heads) else None
    key = known["attention.key_length"] or default
    value = known["attention.value_length"] or default
    return AttentionShape(
        kv_heads=kv_heads,
        key_length=_positive(key, f"{arch}.attention.key_length", source),
        value_length=_positive(value, f"{arch}.attention.value_length", source),
    )


def config_attention(config: Mapping[str, object], source: str) -> AttentionShape:
    """Take the attention's sizes from a config.json.

    Raises:
        SizingError: It does not tell, or the model keeps something other than keys and values.
    """
    inner = config.get("text_config")  # models that also see or hear
    config = inner if isinstance(inner, dict) else config
    if other := _other_in_config(config):
        raise _unlike(source, str(config.get("model_type", "")), other)
    layers = _positive(
        config.get("num_hidden_layers"), "num_hidden_layers", source, most=_MOST_LAYERS
    )
    heads = _positive(config.get("num_attention_heads"), "num_attention_heads", source)
    written = config.get("num_key_value_heads")
    kv_heads = heads if written is None else _positive(written, "num_key_value_heads", source)
    head_dim = config.get("head_dim")
    if head_dim is None:
        head_dim = _positive(config.get("hidden_size"), "hidden_size", source) // heads
    length = _positive(head_dim, "head_dim", source)
    return AttentionShape(kv_heads=(kv_heads,) * layers, key_length=length, value_length=length)


def _other_in_config(config: Mapping[str, object]) -> str:
    """Name what shows that a model keeps something other than keys and values, or ""."""
    for key in _CONFIG_OTHER:
        if config.get(key):
            return key
    kinds = config.get("layer_types")
    for kind in kinds if isinstance(kinds, list) else ():
        if "attention" not in str(kind) or "linear" in str(kind):
            return f"layer_types: {kind}"
    return ""


def _per_layer(value: object, layers: int) -> tuple[int, ...] | None:
    """Read a number for all layers, or one for each."""
    if isinstance(value, int) and 0 < value <= _LARGEST:
        return (value,) * layers
    if isinstance(value, tuple) and len(value) == layers:
        return value if all(0 <= heads <= _LARGEST for heads in value) else None
    return None


def _positive(value: object, key: str, source: str, *, most: int = _LARGEST) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _silent(source, key)
    if not 1 <= value <= most:
        raise SizingError(f"{source} says {key} = {value}, which cannot be true", hint=_HINT)
    return value


def _silent(source: str, key: str) -> SizingError:
    return SizingError(f"{source} does not say its {key}, so its size is unknown", hint=_HINT)


def _unlike(source: str, architecture: str, key: str) -> SizingError:
    kind = f"a {architecture} model" if architecture else "a model"
    text = f"{source} is {kind} that keeps more than keys and values ({key}): its size is unknown"
    return SizingError(text, hint=_HINT)
