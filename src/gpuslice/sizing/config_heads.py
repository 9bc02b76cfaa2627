"""How large the cache of one token is in one layer with attention, as a config.json says.

Separate, because here the families' many spellings of heads and head sizes become three numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.sizing.config_reader import ConfigReader

_HEADS = ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", "num_query_groups")
_MOST_HEADS = 1024**2
# Families that have latent attention and keep whole keys and values all the same.
_UNPACKED = ("minicpm3",)
_INDEX_BYTES_PER_BLOCK = 4  # DeepSeek-V3.2: an index of fp8 with one scale for 128 elements


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSizes:
    """Sizes of attention in one layer.

    Attributes:
        elements: Cache elements of one token.
        flops: Arithmetic for each pair of a new and a kept token.
        latent: True where one compressed vector stands for keys and values.
        expanded: Elements of one token's keys and values once they are unpacked from that vector.
        index_bytes: Bytes of one token for the index of sparse attention.
    """

    elements: int
    flops: int
    latent: bool = False
    expanded: int = 0
    index_bytes: int = 0


def head_sizes(config: ConfigReader, layers: int) -> HeadSizes:
    """Read the sizes of attention.

    Raises:
        SizingError: The configuration leaves them out, or says what cannot be true.
    """
    heads = config.need(*_HEADS, most=_MOST_HEADS)
    rank = config.whole("kv_lora_rank")
    if rank is not None:
        return _latent(config, heads, rank)
    key = config.whole("head_dim", "kv_channels", "d_kv", "attention_head_dim")
    if key is None:
        width = config.need("hidden_size", "n_embd", "d_model")
        key = width // heads
        if key < 1:
            raise config.silent("head_dim")
    value = config.whole("v_head_dim") or key
    kv_heads = _kv_heads(config, heads, layers)
    return HeadSizes(elements=kv_heads * (key + value), flops=2 * heads * (key + value))


def _latent(config: ConfigReader, heads: int, rank: int) -> HeadSizes:
    """Multi-head latent attention: a compressed vector, and one rotary key for all heads."""
    rotary = config.need("qk_rope_head_dim")
    if config.word("model_type") in _UNPACKED:
        key = config.need("qk_nope_head_dim") + rotary
        return HeadSizes(elements=2 * heads * key, flops=4 * heads * key)
    index = config.count("index_head_dim")
    index_bytes = index + _INDEX_BYTES_PER_BLOCK * -(-index // 128)
    return HeadSizes(
        elements=rank + rotary,
        flops=2 * heads * (2 * rank + rotary),
        latent=True,
        expanded=heads * (config.count("qk_nope_head_dim") + config.count("v_head_dim")),
        index_bytes=index_bytes,
    )


def _kv_heads(config: ConfigReader, heads: int, layers: int) -> int:
    """Heads with a key and value of their own; the mean, rounded up, where layers differ."""
    inner = config.inner("attn_config")  # DBRX, MPT
    if inner.values:
        return inner.whole(*_KV_HEADS, most=_MOST_HEADS) or heads
    if config.flag("multi_query_attention"):  # ChatGLM
        return config.need("multi_query_group_num", most=_MOST_HEADS)
    if config.flag("multi_query") and not config.flag("new_decoder_architecture"):
        return 1  # Falcon-7B, StarCoder
    for key in _KV_HEADS:
        listed = [n for n in config.items(key) if isinstance(n, int) and 0 <= n <= _MOST_HEADS]
        if listed and len(listed) == layers:
            return -(-sum(listed) // layers)
    return config.whole(*_KV_HEADS, most=_MOST_HEADS) or heads
