"""What sizing needs to know of a model, whatever file it was read from.

Values only. Separate, so that the readers of files and the arithmetic meet in one small type.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.sizing.architecture import Architecture, CacheType, TokenWork
from gpuslice.sizing.weights import Weights, token_work


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """One model, as its files describe it.

    Attributes:
        architecture: What its layers keep.
        weights: Its tensors, added up.
        in_fp8: The same, if an engine is told to quantize them to fp8 while it loads them; None
            where that is no choice, since they are packed already.
    """

    architecture: Architecture
    weights: Weights
    in_fp8: Weights | None = None

    @property
    def work(self) -> TokenWork:
        """What generating one token reads and computes."""
        return token_work(self.architecture, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a server of a model is asked to hold at once.

    Attributes:
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time, each with a full context.
        cache: Element type of the KV cache.
        beside: Memory of what is served beside the model, such as adapters or a draft model: name
            and bytes of each.
        step_tokens: Tokens of one step; 0 for as many as the engine is told by gpuslice.
        fraction: Share of the slice that the engine may manage; 0 for what gpuslice tells it.
        states: Constant states that are held for one request; vLLM with prefix caching holds two,
            one of them to go on from, or one for every block.
        wide_states: True where the engine is told to keep states in 32 bits.
    """

    context_tokens: int
    concurrency: int
    cache: CacheType = CacheType.F16
    beside: tuple[tuple[str, int], ...] = ()
    step_tokens: int = 0
    fraction: float = 0.0
    states: int = 1
    wide_states: bool = False
