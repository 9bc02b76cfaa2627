"""How vLLM and SGLang hold a cache: in blocks, and in groups of equally many layers.

Separate from the estimate, because this is the arithmetic of one allocator and has its own rules:

- A block holds 16 tokens of one layer; where a model has states it is as large as a state, for a
  state fills a whole block.
- Where a model mixes kinds of layers, memory is handed out to groups of equally many layers, so the
  rarer kind decides and the commoner is filled up.
- vLLM keeps states in the model's 16 bits unless it is told otherwise, and while it caches prefixes
  it keeps a Mamba state in every block of the context, of other states two.

Source: vLLM 0.20.0, ``_align_hybrid_block_size`` (platforms/interface.py), ``MambaSpec``
(v1/kv_cache_interface.py), ``_get_kv_cache_groups_uniform_page_size`` (v1/core/kv_cache_utils.py),
``MambaStateDtypeCalculator`` (model_executor/layers/mamba/mamba_utils.py).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from gpuslice.sizing.architecture import CacheType, Keeps, Layers
from gpuslice.sizing.shape import Load

_BLOCK_TOKENS = 16


def as_vllm_keeps_states(layers: tuple[Layers, ...], load: Load) -> tuple[Layers, ...]:
    """Give each state the bytes that vLLM keeps it in."""
    if load.wide_states:
        return layers
    return tuple(
        replace(part, state_bytes=part.narrow_state_bytes or part.state_bytes) for part in layers
    )


def in_blocks(layers: tuple[Layers, ...], load: Load) -> tuple[tuple[Layers, ...], int]:
    """Fill layers up to groups and states up to blocks.

    All groups have equally many layers: as many as the rarest kind, or as the commonest where that
    is less than a quarter more.

    Returns:
        The layers as they are held, and how many tokens a block of the cache has.
    """
    kept = [part for part in _with_whole_chunks(layers) if part.keeps is not Keeps.CROSS]
    cross = tuple(part for part in layers if part.keeps is Keeps.CROSS)
    if len(kept) < 2:
        held = tuple(_with_states(part, load, part.state_bytes, 0) for part in kept)
        return (*held, *cross), _BLOCK_TOKENS
    counts = [part.count for part in kept]
    group = max(counts) if max(counts) < 1.25 * min(counts) else min(counts)
    block = max(_state_block(kept, load), _BLOCK_TOKENS)
    page = max((part.token_bytes(load.cache) // part.count * block for part in kept), default=0)
    filled = (
        replace(
            _with_states(part, load, max(part.state_bytes, page), block),
            count=rounded(part.count, group),
        )
        for part in kept
    )
    return (*filled, *cross), block


def rounded(tokens: int, block: int) -> int:
    """Round up to whole blocks."""
    return math.ceil(tokens / block) * block


def _with_states(part: Layers, load: Load, size: int, block: int) -> Layers:
    """Let layers with a state hold as many of that size as the engine keeps for one request."""
    if part.keeps is not Keeps.STATE:
        return part
    states = load.states
    if states > 1 and part.state_chunk_tokens and block:
        states = max(states, math.ceil(load.context_tokens / block))
    return replace(part, state_bytes=states * size)


def _with_whole_chunks(layers: tuple[Layers, ...]) -> tuple[Layers, ...]:
    """Let layers that attend in chunks keep the whole context, beside those that need it.

    vLLM holds chunks as full attention unless an environment variable says otherwise, because its
    groups make them slower; SGLang is taken to do the same.

    Source: vLLM, ``VllmConfig``: "There is a latency regression when using chunked local attention
    with the hybrid KV cache manager. Disabling it, by default."
    """
    whole = tuple(
        replace(part, keeps=Keeps.FULL, tokens=0) if part.keeps is Keeps.CHUNK else part
        for part in layers
    )
    counts = Counter[Layers]()
    for part in whole:
        counts[replace(part, count=1)] += part.count
    return tuple(replace(part, count=count) for part, count in counts.items())


def _state_block(layers: list[Layers], load: Load) -> int:
    """Tokens that a block needs so that a state fits into it; 0 where there is none."""
    state = max(part.state_bytes for part in layers)
    a_token = max(_token_bytes(part, load.cache) for part in layers)
    if not state or not a_token:
        return 0
    steps = [part.state_chunk_tokens for part in layers if part.state_chunk_tokens]
    step = math.lcm(_BLOCK_TOKENS, *steps) if load.states > 1 else _BLOCK_TOKENS
    return rounded(math.ceil(state / a_token), step)


def _token_bytes(part: Layers, cache: CacheType) -> int:
    return part.token_bytes(cache) // part.count
