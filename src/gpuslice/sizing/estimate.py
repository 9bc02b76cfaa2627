"""How much memory a slice must have: the arithmetic, with nothing read from anywhere.

A server needs room for four things: the weights, the KV cache of every request it may answer at
once, the working buffers of one step, and what CUDA takes for itself.

**llama.cpp** takes all of it from the slice, so the need is the sum. The KV cache is allocated at
the start for ``context x concurrency`` tokens, each context rounded up to 256. Working buffers: one
step of 512 tokens times the vocabulary in 32 bits (the logits of a whole step, the largest there
can be), plus a mask of 512 x context in 16 bits. Measured with SmolLM2-135M on the CPU: weights and
KV cache as computed to a hundredth of a MiB, buffers 19 MiB where this allows 100.

**vLLM** takes a fraction of the slice, 0.90, and inside it holds weights, activations and KV cache
in blocks of 16 tokens; the CUDA context and what the fraction does not count must fit beside it. So
the slice must satisfy both ``0.90 x slice >= weights + activations + KV`` and
``slice >= weights + activations + KV + beside``. Measured with vLLM 0.20.0 on an H200 for models of
0.6 to 30 billion parameters, steps of 4,096 tokens: activations 0.36 to 0.85 GiB, and 0.16 to
0.61 GiB beside the fraction. The allowances below are the upper ends, and activations grow with the
step.

Source: vLLM documentation, ``gpu_memory_utilization``; llama.cpp, ``llama_kv_cache`` and
``sched_reserve`` log lines; a CUDA context takes 150 to 330 MiB on a slice (NVIDIA MIG User Guide).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpuslice.sizing.shape import ModelShape

MIB = 1024**2

LLAMA_CONTEXT_MIB = 400
"""CUDA context (up to 330 MiB), kernels and what an idle slice already uses (up to 48 MiB)."""

VLLM_FRACTION = 0.90
"""Share of the slice that vLLM manages (``--gpu-memory-utilization``)."""

VLLM_BESIDE_MIB = 640
"""CUDA context, NCCL and graphs, which the fraction does not count."""

_LLAMA_STEP_TOKENS = 512
_LLAMA_CONTEXT_BLOCK = 256
_VLLM_BLOCK = 16
_VLLM_FIXED_MIB = 256
_VLLM_MIB_PER_1024_STEP_TOKENS = 154  # 256 + 4 x 154 MiB = 0.85 GiB at the 4,096 that were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of what a server needs.

    Attributes:
        name: What it is, in a few words.
        memory_mib: What it takes, MiB.
    """

    name: str
    memory_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What one server of a model needs.

    Attributes:
        memory_mib: Least memory of its slice, MiB.
        reason: How that comes about, in words for the plan.
        parts: What it is the sum of; for vLLM the last part is what its fraction leaves free.
    """

    memory_mib: int
    reason: str
    parts: tuple[Part, ...]


def estimate_llama_cpp(model: ModelShape, *, context_tokens: int, concurrency: int) -> Sized:
    """Size a llama.cpp server; see the module's text for the rule."""
    context = _rounded(context_tokens, _LLAMA_CONTEXT_BLOCK)
    buffers = _LLAMA_STEP_TOKENS * (4 * model.vocabulary + 2 * context)
    return _sized(
        Part(name="weights", memory_mib=_mib(model.weights_bytes)),
        _kv_part(model, context, context_tokens, concurrency),
        Part(name="buffers", memory_mib=_mib(buffers)),
        Part(name="CUDA context", memory_mib=LLAMA_CONTEXT_MIB),
    )


def estimate_vllm(model: ModelShape, *, context_tokens: int, concurrency: int) -> Sized:
    """Size a vLLM server; see the module's text for the rule."""
    context = _rounded(context_tokens, _VLLM_BLOCK)
    step = vllm_step_tokens(context_tokens, concurrency)
    activations = _VLLM_FIXED_MIB + math.ceil(step * _VLLM_MIB_PER_1024_STEP_TOKENS / 1024)
    managed = (
        Part(name="weights", memory_mib=_mib(model.weights_bytes)),
        _kv_part(model, context, context_tokens, concurrency),
        Part(name="activations", memory_mib=activations),
    )
    inside = sum(part.memory_mib for part in managed)
    beside = max(VLLM_BESIDE_MIB, math.ceil(inside / VLLM_FRACTION) - inside)
    return _sized(*managed, Part(name="beside vLLM's 0.90 of the slice", memory_mib=beside))


def vllm_step_tokens(context_tokens: int, concurrency: int) -> int:
    """How many tokens one step of vLLM holds: what the engine passes as max-num-batched-tokens.

    The engine room has the same rule and sizing may not import it; a test holds them together.
    """
    return max(min(max(context_tokens, 2048), 8192), concurrency)


def _kv_part(model: ModelShape, context: int, context_tokens: int, concurrency: int) -> Part:
    size = model.attention.bytes_per_token * context * concurrency
    name = f"KV cache ({concurrency:,} × {context_tokens:,} tokens)"
    return Part(name=name, memory_mib=_mib(size))


def _sized(*parts: Part) -> Sized:
    reason = " + ".join(f"{part.memory_mib:,} MiB {part.name}" for part in parts)
    return Sized(memory_mib=sum(part.memory_mib for part in parts), reason=reason, parts=parts)


def _rounded(tokens: int, block: int) -> int:
    return math.ceil(tokens / block) * block


def _mib(size: int) -> int:
    """Round bytes up to MiB."""
    return -(-size // MIB)
