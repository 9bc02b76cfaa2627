"""What a model is made of, as far as memory and speed depend on it.

Values and arithmetic only; no file format is known here. Separate, because the readers of two
formats (config.json, GGUF) meet in these values, and because sizing, the throughput estimate and
the screens all ask them the same questions.

A model is a pile of *layers*. What a layer keeps for one sequence while tokens are generated is one
of six things:

==================  ================================================================================
keys and values     for every token of the context (MHA, GQA and MQA differ in the number of heads)
the same, windowed  for the last `window` tokens only
the same, chunked   for the tokens of the same chunk only (Llama 4)
a latent vector     one compressed vector for every token (MLA), whatever the number of heads
a constant state    the same bytes at any context (Mamba, linear attention, short convolutions)
cross attention     keys and values of an encoder's or an image's tokens, fixed in number
==================  ================================================================================

and a layer may keep two of them (Falcon-H1 has attention and Mamba side by side). So a `Layers` is
one of these kinds, and the count of layers that keep it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Keeps(StrEnum):
    """What a layer keeps for each sequence; the value is how people call it."""

    FULL = "attention"
    WINDOW = "sliding-window attention"
    CHUNK = "attention in chunks"
    LATENT = "latent attention"
    STATE = "constant state"
    CROSS = "cross attention"


class CacheType(StrEnum):
    """The element type of a KV cache, in the engines' own words."""

    F16 = "f16"  # also bf16: two bytes either way
    FP8 = "fp8"
    Q8_0 = "q8_0"  # llama.cpp: 32 elements and their scale in 34 bytes
    Q4_0 = "q4_0"  # llama.cpp: 32 elements and their scale in 18 bytes

    def bytes_of(self, elements: int) -> int:
        """Bytes that so many elements take, rounded up to whole blocks."""
        block, block_bytes = _CACHE_BLOCKS[self]
        return -(-elements // block) * block_bytes


_CACHE_BLOCKS = {
    CacheType.F16: (1, 2),
    CacheType.FP8: (1, 1),
    CacheType.Q8_0: (32, 34),
    CacheType.Q4_0: (32, 18),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Layers that keep the same thing.

    Attributes:
        keeps: What each of them keeps.
        count: How many they are.
        elements: Cache elements of one token in one layer (keys and values together).
        expanded_elements: Elements of one token's keys and values once they are unpacked from a
            latent vector; 0 where they are kept as they are.
        index_bytes: Further bytes of one token in one layer, whatever the cache's type (the
            index of sparse attention).
        tokens: Tokens that are kept at most: the window, the chunk, or the encoder's tokens of
            cross attention; 0 for the whole context.
        state_bytes: Constant state of one sequence in one layer, bytes.
        narrow_state_bytes: The same where an engine keeps all of it in 16 bits; 0 where that is
            settled otherwise.
        state_chunk_tokens: Tokens that a state is computed over at a time, where vLLM keeps one
            for every block while it caches prefixes; 0 where it does not.
        flops_per_context_token: Arithmetic of attention for each pair of a new and a kept token
            in one layer.
    """

    keeps: Keeps
    count: int
    elements: int = 0
    expanded_elements: int = 0
    index_bytes: int = 0
    tokens: int = 0
    state_bytes: int = 0
    narrow_state_bytes: int = 0
    state_chunk_tokens: int = 0
    flops_per_context_token: int = 0

    def token_bytes(self, cache: CacheType) -> int:
        """Cache of one token over these layers, bytes."""
        return self.count * (cache.bytes_of(self.elements) + self.index_bytes)

    def kept_tokens(self, context_tokens: int, step_tokens: int, block_tokens: int = 1) -> int:
        """Tokens of one sequence that these layers have to hold at once.

        A window moves while a step is written, so it holds the window and one step, in whole
        blocks.
        """
        if self.keeps is Keeps.CROSS:
            return self.tokens
        if self.keeps in {Keeps.WINDOW, Keeps.CHUNK}:
            blocks = math.ceil((self.tokens + step_tokens) / block_tokens)
            return min(context_tokens, blocks * block_tokens)
        return context_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One model, as its configuration describes it.

    Attributes:
        name: Its family, in its own configuration's words (``qwen3``, ``llama``).
        layers: What its layers keep; empty for a model without a cache (an encoder).
        longest_context: Most tokens it was made for; 0 where the files do not tell.
        vocabulary: Tokens it knows; 0 where the files do not tell.
        experts: Routed experts of one layer; 0 for a dense model.
        experts_per_token: Of these, how many each token goes through.
        tied: True where the output layer is the embedding table, stored or not.
        layer_count: Layers of the language model; 0 where the files do not tell.
        step_elements: Elements of the widest buffers that one token needs while a step is worked
            on; 0 where the files do not tell.
        notes: What was assumed, in words for the user; each errs on the side of too much.
        exact: False where the cache is an upper estimate and not the engine's own arithmetic.
    """

    name: str
    layers: tuple[Layers, ...]
    longest_context: int = 0
    vocabulary: int = 0
    experts: int = 0
    experts_per_token: int = 0
    tied: bool = False
    layer_count: int = 0
    step_elements: int = 0
    notes: tuple[str, ...] = ()
    exact: bool = True

    def bytes_per_token(self, cache: CacheType = CacheType.F16) -> int:
        """KV cache of one token over all layers that keep tokens of the context, bytes.

        vLLM 0.20.0 on an H200 was measured to take exactly this: 147,456 bytes for Qwen3-8B
        (36 layers, 8 heads of 128 for keys and as many for values, two bytes each).
        """
        return sum(part.token_bytes(cache) for part in self.layers if part.keeps is not Keeps.CROSS)

    @property
    def state_bytes(self) -> int:
        """Constant state of one sequence, bytes."""
        return sum(part.count * part.state_bytes for part in self.layers)

    def sequence_bytes(
        self,
        context_tokens: int,
        *,
        step_tokens: int = 0,
        cache: CacheType = CacheType.F16,
        block_tokens: int = 1,
    ) -> int:
        """Everything one sequence keeps at a context of so many tokens, bytes.

        Args:
            context_tokens: Tokens of the sequence.
            step_tokens: Tokens an engine writes in one step, which a window has to hold as well.
            cache: Element type of the cache.
            block_tokens: Tokens of one block of the cache; windows are held in whole blocks.
        """
        kept = sum(
            part.token_bytes(cache) * part.kept_tokens(context_tokens, step_tokens, block_tokens)
            for part in self.layers
        )
        return kept + self.state_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWork:
    """What generating costs, whatever the card: the figures of a roofline.

    Attributes:
        step_bytes: Weights that every step reads, whatever is in it (all but routed experts,
            embedding rows and towers for images).
        expert_bytes: All routed experts of all layers together.
        experts: Routed experts of one layer; 0 for a dense model.
        experts_per_token: Of these, how many each token goes through.
        kv_bytes_per_token: Cache that a new token reads for each token of its context.
        state_bytes: Constant state that a new token reads and writes.
        flops_per_token: Arithmetic of the weights for one token: two for each that takes part.
        flops_per_context_token: Arithmetic of attention for each token of the context.
    """

    step_bytes: int
    expert_bytes: int
    experts: int
    experts_per_token: int
    kv_bytes_per_token: int
    state_bytes: int
    flops_per_token: int
    flops_per_context_token: int

    def weight_bytes(self, tokens: int) -> float:
        """Weights that one step of so many tokens reads, bytes.

        Every token picks its experts; with even use, a step of ``t`` tokens leaves an expert out
        with probability ``(1 - k/n)^t``.
        """
        if not self.experts:
            return float(self.step_bytes + self.expert_bytes)
        left_out = (1 - self.experts_per_token / self.experts) ** tokens
        return self.step_bytes + self.expert_bytes * (1 - left_out)
