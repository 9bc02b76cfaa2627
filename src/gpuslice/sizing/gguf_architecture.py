"""From a GGUF header to an `Architecture`: what each layer keeps when llama.cpp runs it.

Separate from the reader, because here its keys get a meaning, and because llama.cpp keeps other
things than the servers that read a config.json: its states are in 32 bits, a window is a cache of
its own, and latent attention keeps the values beside the compressed keys.

Source: ggml, docs/gguf.md; llama.cpp, ``llama_kv_cache``, ``llama_kv_cache_iswa`` and
``llama_memory_recurrent`` log lines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpuslice.errors import SizingError
from gpuslice.sizing.architecture import Architecture, Keeps, Layers
from gpuslice.sizing.gguf import GgufHeader, Value

_HINT = "in a stack file say `slice:` or `memory:` for this model"
_MOST_LAYERS = 4096
_LARGEST = 1024**2  # no head, and no number of heads, is larger
# One layer in so many sees the whole context; llama.cpp knows it by the architecture's name.
_FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4}
_ENCODERS = frozenset({"bert", "nomic-bert", "jina-bert-v2", "modern-bert", "neo-bert"})
_BOTH = frozenset({"falcon-h1"})  # attention and a state in every layer
_UNREAD = ("wkv.head_size",)  # RWKV: a state of another make


def gguf_architecture(header: GgufHeader, source: str) -> Architecture:
    """Describe a model by its GGUF header.

    Raises:
        SizingError: The header does not tell, or says what cannot be true.
    """
    keys = _Keys(header=header, source=source)
    if other := next((key for key in _UNREAD if keys.value(key)), None):
        kind = f"{source} is a {header.architecture} model that keeps more than keys and values"
        raise SizingError(f"{kind} ({other}): its size is unknown", hint=_HINT)
    count = keys.positive("block_count", most=_MOST_LAYERS)
    layers = () if header.architecture in _ENCODERS else _layers(keys, count)
    return Architecture(
        name=header.architecture,
        layers=layers,
        longest_context=keys.count("context_length"),
        vocabulary=_vocabulary(header),
        experts=keys.count("expert_count"),
        experts_per_token=keys.count("expert_used_count"),
        tied=not any(tensor.name == "output.weight" for tensor in header.tensors),
        layer_count=count,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """The keys of one header, without the architecture's name in front."""

    header: GgufHeader
    source: str

    def value(self, key: str) -> Value | None:
        return self.header.metadata.get(f"{self.header.architecture}.{key}")

    def count(self, key: str) -> int:
        value = self.value(key)
        right = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40
        return int(value) if right and isinstance(value, int) else 0

    def positive(self, key: str, *, default: int = 0, most: int = _LARGEST) -> int:
        value = default if self.value(key) is None and default else self.value(key)
        name = f"{self.header.architecture}.{key}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.silent(key)
        if not 1 <= value <= most:
            text = f"{self.source} says {name} = {value}, which cannot be true"
            raise SizingError(text, hint=_HINT)
        return value

    def per_layer(self, key: str, layers: int) -> tuple[int, ...] | None:
        """Read a number for all layers, or one for each."""
        value = self.value(key)
        if isinstance(value, int) and 0 < value <= _LARGEST:
            return (value,) * layers
        if isinstance(value, tuple) and len(value) == layers:
            return value if all(0 <= heads <= _LARGEST for heads in value) else None
        return None

    def silent(self, key: str) -> SizingError:
        name = f"{self.header.architecture}.{key}"
        return SizingError(
            f"{self.source} does not say its {name}, so its size is unknown", hint=_HINT
        )


def _layers(keys: _Keys, count: int) -> tuple[Layers, ...]:
    kv_heads = _kv_heads(keys, count)
    attention = _attention_layers(keys, kv_heads)
    state = _state_bytes(keys)
    if not state:
        return attention
    both = keys.header.architecture in _BOTH
    with_state = count if both else sum(1 for heads in kv_heads if not heads)
    return (*attention, Layers(keeps=Keeps.STATE, count=with_state, state_bytes=state))


def _kv_heads(keys: _Keys, count: int) -> tuple[int, ...]:
    """Key/value heads of each layer; none where a layer keeps a state instead."""
    heads = keys.per_layer("attention.head_count", count)
    if heads is None:
        if _state_bytes(keys):
            return (0,) * count  # a pure state-space model
        raise keys.silent("attention.head_count")
    kv_heads = keys.per_layer("attention.head_count_kv", count) or heads
    if every := keys.count("full_attention_interval"):
        return tuple(n if (at + 1) % every == 0 else 0 for at, n in enumerate(kv_heads))
    return kv_heads


def _attention_layers(keys: _Keys, kv_heads: tuple[int, ...]) -> tuple[Layers, ...]:
    if not any(kv_heads):
        return ()
    heads = keys.per_layer("attention.head_count", len(kv_heads)) or kv_heads
    width = keys.count("embedding_length")
    default = width // max(heads) if max(heads) else 0
    key = keys.positive("attention.key_length", default=default)
    value = keys.positive("attention.value_length", default=default)
    counted: Counter[tuple[bool, int]] = Counter()
    for at, own in enumerate(kv_heads):
        if own:
            counted[_is_windowed(keys, at), own] += 1
    return tuple(
        Layers(
            keeps=Keeps.WINDOW if windowed else Keeps.FULL,
            count=layers,
            elements=own * (key + value),
            tokens=keys.count("attention.sliding_window") if windowed else 0,
            flops_per_context_token=2 * max(heads) * (key + value),
        )
        for (windowed, own), layers in sorted(counted.items())
    )


def _is_windowed(keys: _Keys, layer: int) -> bool:
    """Tell whether a layer has a window; where nothing tells, it sees the whole context."""
    every = _FULL_EVERY.get(keys.header.architecture, 0)
    return bool(every and keys.count("attention.sliding_window") and (layer + 1) % every)


def _state_bytes(keys: _Keys) -> int:
    """Constant state of one sequence in one layer, in 32 bits; 0 for a model without."""
    length = keys.count("shortconv.l_cache")
    if length:
        return 4 * keys.count("embedding_length") * (length - 1)
    state = keys.count("ssm.state_size")
    if not state:
        return 0
    inner = keys.positive("ssm.inner_size")
    kernel = keys.positive("ssm.conv_kernel")
    width = inner + 2 * keys.count("ssm.group_count") * state
    return 4 * (width * (kernel - 1) + inner * state)


def _vocabulary(header: GgufHeader) -> int:
    written = header.metadata.get(f"{header.architecture}.vocab_size")
    tokens = header.lengths.get("tokenizer.ggml.tokens", 0)
    return max(tokens, written if isinstance(written, int) else 0)
