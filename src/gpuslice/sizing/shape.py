"""What sizing needs to know of a model, whatever file it was read from.

Values only. Separate, so that the readers of files and the arithmetic meet in one small type.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """The sizes that a KV cache is made of.

    Attributes:
        kv_heads: Key/value heads of each layer (fewer than query heads under GQA); one per layer.
        key_length: Elements of one key head.
        value_length: Elements of one value head.
    """

    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int

    @property
    def bytes_per_token(self) -> int:
        """KV cache of one token over all layers, bytes, at two bytes an element (f16, bf16).

        Both engines keep the cache in 16 bits unless told otherwise. vLLM 0.20.0 on an H200 was
        measured to take exactly this: 147,456 bytes for Qwen3-8B (36 layers, 8 heads of 128).
        """
        return 2 * sum(self.kv_heads) * (self.key_length + self.value_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """One model, as its files describe it.

    Attributes:
        weights_bytes: All tensors as stored.
        attention: What its KV cache is made of.
        vocabulary: Tokens it knows, or 0 where the files do not tell.
    """

    weights_bytes: int
    attention: AttentionShape
    vocabulary: int = 0
