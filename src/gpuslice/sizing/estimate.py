"""How much memory a slice must have: the arithmetic, with nothing read from anywhere.

A server needs room for four things: the weights, what every request it may answer at once keeps
(KV cache and constant states), the working buffers of one step, and what CUDA takes for itself.

**llama.cpp** takes all of it from the slice, so the need is the sum. The KV cache is allocated at
the start for ``context x concurrency`` tokens, each context rounded up to 256. Working buffers: one
step of 512 tokens times the vocabulary in 32 bits (the logits of a whole step, the largest there
can be), plus a mask of 512 x context in 16 bits. Measured with SmolLM2-135M on the CPU: weights and
KV cache as computed to a hundredth of a MiB, buffers 19 MiB where this allows 100.

**vLLM** takes a fraction of the slice, 0.97, and inside it holds weights, activations and KV cache
in blocks of 16 tokens; the CUDA context and what the fraction does not count must fit beside it. So
the slice must satisfy both ``0.97 x slice >= weights + activations + KV`` and
``slice >= weights + activations + KV + beside``. Measured with vLLM 0.20.0 on an H200 for models of
0.6 to 30 billion parameters, steps of 4,096 tokens: activations 0.36 to 0.85 GiB, and 0.16 to
0.61 GiB beside the fraction. Activations are what one token of the widest layer needs, for every
token of a step, the logits of every request twice, and 360 MiB; this is above each measurement by
at most 0.16 GiB. What is allowed beside the fraction is the upper end.

**SGLang** manages a fraction as well, but of weights and KV cache alone: activations, graphs and
the context have to fit beside it. gpuslice leaves 896 MiB and 154 MiB for each 1,024 tokens of a
step there, and a tenth of large slices. Not measured.

How both engines hand out the cache stands in `blocks`.

Source: vLLM documentation, ``gpu_memory_utilization`` and "Hybrid KV Cache Manager"; llama.cpp,
``llama_kv_cache`` and ``sched_reserve`` log lines; a CUDA context takes 150 to 330 MiB on a slice
(NVIDIA MIG User Guide).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpuslice.sizing.architecture import Architecture, Keeps, Layers
from gpuslice.sizing.blocks import as_vllm_keeps_states, in_blocks, rounded
from gpuslice.sizing.on_the_fly import held_at_once
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.weights import Weights

MIB = 1024**2

LLAMA_CONTEXT_MIB = 400
"""CUDA context (up to 330 MiB), kernels and what an idle slice already uses (up to 48 MiB)."""

VLLM_FRACTION = 0.97
"""Share of the slice that vLLM manages (``--gpu-memory-utilization``)."""

VLLM_BESIDE_MIB = 640
"""CUDA context, NCCL and graphs, which the fraction does not count."""

SGLANG_FRACTION = 0.90
"""The same for SGLang (``--mem-fraction-static``), which was not measured here."""

LLAMA_STEP_TOKENS = 512
_LLAMA_CONTEXT_BLOCK = 256
_VLLM_FIXED_MIB = 360
_REPACKED_MIB = 1792  # gpt-oss-20b on an H200: 2,349 MiB beside its share
_LATENT_BLOCK, _MOST_UNPACKED = 64, 65_536
_SGLANG_BESIDE_MIB = 640 + 256
_STORED = "every tensor as it is stored"
_VLLM_MIB_PER_1024_STEP_TOKENS = 154  # where the width is unknown: the most that was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of what a server needs.

    Attributes:
        name: What it is, in a few words.
        memory_mib: What it takes, MiB.
        rule: How that comes about, in words.
    """

    name: str
    memory_mib: int
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What one server of a model needs.

    Attributes:
        memory_mib: Least memory of its slice, MiB.
        reason: How that comes about, in words for the plan.
        parts: What it is the sum of; for vLLM the last part is what its fraction leaves free.
        cache_bytes: What one request keeps at its full context, bytes.
        fraction: Share of the slice that the engine manages; 1 where it takes what it needs.
        beside_mib: Least memory outside that share, MiB.
    """

    memory_mib: int
    reason: str
    parts: tuple[Part, ...]
    cache_bytes: int = 0
    fraction: float = 1.0
    beside_mib: int = 0


def estimate_llama_cpp(model: ModelShape, load: Load) -> Sized:
    """Size a llama.cpp server; see the module's text for the rule."""
    context = rounded(load.context_tokens, _LLAMA_CONTEXT_BLOCK)
    one = model.architecture.sequence_bytes(
        context,
        step_tokens=LLAMA_STEP_TOKENS,
        cache=load.cache,
        block_tokens=_LLAMA_CONTEXT_BLOCK,
    )
    buffers = LLAMA_STEP_TOKENS * (4 * model.architecture.vocabulary + 2 * context)
    buffers_rule = "logits of a step of 512 tokens in 32 bits, and a mask of 512 × context"
    parts = (
        *_stored_parts(model.weights),
        *_beside_parts(load),
        _kv_part(model.architecture, load, one, context),
        Part(name="buffers", memory_mib=_mib(buffers), rule=buffers_rule),
        Part(
            name="CUDA context",
            memory_mib=LLAMA_CONTEXT_MIB,
            rule="context up to 330 MiB, kernels, and what an idle slice uses",
        ),
    )
    return _sized(parts, cache_bytes=one)


def estimate_vllm(model: ModelShape, load: Load) -> Sized:
    """Size a vLLM server; see the module's text for the rule."""
    step = load.step_tokens or vllm_step_tokens(load.context_tokens, load.concurrency)
    layers = as_vllm_keeps_states(model.architecture.layers, load)
    cache, one = _blocked_cache(model, layers, load, step)
    activations = _activations_part(model.architecture, step, load.concurrency)
    unpacked = _unpacking_parts(layers, load)
    managed = (*_loaded_parts(model.weights), *_beside_parts(load), cache, activations, *unpacked)
    return _managed("vLLM", managed, load, one, _vllm_beside(model.weights))


def _vllm_beside(weights: Weights) -> tuple[int, str]:
    """What vLLM takes beside its share, and why; more where it repacks experts in MXFP4."""
    rule = f"CUDA context, graphs and NCCL, {VLLM_BESIDE_MIB} MiB at least, outside the fraction"
    if all(part.kind != "MXFP4" for part in weights.parts):
        return VLLM_BESIDE_MIB, rule
    rule += f"; {_REPACKED_MIB:,} MiB that it takes for MXFP4 and does not count"
    return VLLM_BESIDE_MIB + _REPACKED_MIB, rule


def estimate_sglang(model: ModelShape, load: Load) -> Sized:
    """Size an SGLang server; see the module's text for the rule."""
    step = load.step_tokens or min(max(load.context_tokens, 2048), 8192)
    cache, one = _blocked_cache(model, model.architecture.layers, load, step)
    activations = _activations_part(model.architecture, step, load.concurrency)
    told = _SGLANG_BESIDE_MIB + _VLLM_MIB_PER_1024_STEP_TOKENS * step // 1024
    least = max(told, activations.memory_mib + VLLM_BESIDE_MIB)
    rule = f"activations ({activations.rule}), CUDA context and graphs, outside the fraction"
    managed = (*_loaded_parts(model.weights), *_beside_parts(load), cache)
    sized = _managed("SGLang", managed, load, one, (least, rule))
    return _with_room_to_load(sized, model.weights)


def _with_room_to_load(sized: Sized, weights: Weights) -> Sized:
    """Ask for a slice that holds the stored weights, where all are loaded before one is packed."""
    if not held_at_once("sglang", weights.quantization):
        return sized
    missing = _mib(weights.stored_bytes) + VLLM_BESIDE_MIB - sized.memory_mib
    if missing <= 0:
        return sized
    last = sized.parts[-1]
    rule = f"{last.rule}; {_mib(weights.stored_bytes):,} MiB before SGLang quantizes them"
    wider = replace(last, memory_mib=last.memory_mib + missing, rule=rule)
    return _sized(
        (*sized.parts[:-1], wider),
        cache_bytes=sized.cache_bytes,
        fraction=sized.fraction,
        beside_mib=sized.beside_mib,
    )


def _managed(
    engine: str, managed: tuple[Part, ...], load: Load, one: int, beside: tuple[int, str]
) -> Sized:
    """Add what an engine leaves free that manages a share of the slice: enough for both rules."""
    fraction = load.fraction or (VLLM_FRACTION if engine == "vLLM" else SGLANG_FRACTION)
    least, rule = beside
    inside = sum(part.memory_mib for part in managed)
    outside = max(least, math.ceil(inside / fraction) - inside)
    last = Part(
        name=f"beside {engine}'s {fraction:.2f} of the slice", memory_mib=outside, rule=rule
    )
    return _sized((*managed, last), cache_bytes=one, fraction=fraction, beside_mib=least)


def vllm_step_tokens(context_tokens: int, concurrency: int) -> int:
    """How many tokens one step of vLLM holds: what the engine passes as max-num-batched-tokens.

    The engine room has the same rule and sizing may not import it; a test holds them together.
    """
    return max(min(max(context_tokens, 2048), 8192), concurrency)


def _stored_parts(weights: Weights) -> tuple[Part, ...]:
    return _weight_parts([(part.kind, part.bytes, _STORED) for part in weights.parts])


def _loaded_parts(weights: Weights) -> tuple[Part, ...]:
    """Weights as vLLM and SGLang hold them, which is not always as they are stored."""
    return _weight_parts([_loaded(weights, part.kind, part.bytes) for part in weights.parts])


def _loaded(weights: Weights, kind: str, size: int) -> tuple[str, int, str]:
    if weights.quantization and kind.startswith(("fp8", "bitsandbytes")):
        before = _mib(weights.stored_bytes)
        rule = (
            f"linear layers, quantized while loading, with scales; all weights took {before:,} "
            "MiB before"
        )
        return kind, size, rule
    if kind == "fp32" and weights.halved_bytes:
        rule = f"{_STORED}, but matrices of 32 bits in 16, as vLLM holds them"
        return kind, size - weights.halved_bytes, rule
    if kind == "MXFP4" and weights.padded_bytes:
        rule = f"{_STORED}, but experts padded to 256 for their kernels"
        return kind, size + weights.padded_bytes, rule
    return kind, size, _STORED


def _blocked_cache(
    model: ModelShape, layers: tuple[Layers, ...], load: Load, step: int
) -> tuple[Part, int]:
    """The line of the cache, and the bytes of one request, in an engine that works in blocks."""
    filled, block = in_blocks(layers, load)
    held = replace(model.architecture, layers=filled)
    context = rounded(load.context_tokens, block)
    one = held.sequence_bytes(
        context, step_tokens=step + block, cache=load.cache, block_tokens=block
    )
    return _kv_part(held, load, one, context), one


def _activations_part(architecture: Architecture, step: int, concurrency: int) -> Part:
    if not architecture.step_elements:
        memory = _VLLM_FIXED_MIB + math.ceil(step * _VLLM_MIB_PER_1024_STEP_TOKENS / 1024)
        rule = f"360 MiB and 154 MiB for each 1,024 of {step:,} tokens in a step"
        return Part(name="activations", memory_mib=memory, rule=rule)
    size = 2 * step * architecture.step_elements + 8 * concurrency * architecture.vocabulary
    rule = (
        f"a step of {step:,} tokens × {architecture.step_elements:,} elements × 2 bytes, "
        f"logits of {concurrency:,} requests, 360 MiB fixed"
    )
    return Part(name="activations", memory_mib=_VLLM_FIXED_MIB + _mib(size), rule=rule)


def _unpacking_parts(layers: tuple[Layers, ...], load: Load) -> tuple[Part, ...]:
    """What vLLM needs to unpack latent vectors of earlier tokens while it reads a prompt.

    Source: vLLM 0.20.0, ``determine_chunked_prefill_workspace_size`` (mla_attention.py).
    """
    latent = [part for part in layers if part.keeps is Keeps.LATENT and part.expanded_elements]
    if not latent:
        return ()
    asked = max(8 * load.context_tokens, 4 * load.concurrency * _LATENT_BLOCK)
    tokens = max(min(asked, _MOST_UNPACKED), load.concurrency * _LATENT_BLOCK)
    elements = max(part.elements + part.expanded_elements for part in latent)
    rule = f"{tokens:,} tokens × {elements:,} elements × 2 bytes, of one layer at a time"
    size = 2 * tokens * elements
    return (Part(name="unpacked latent vectors", memory_mib=_mib(size), rule=rule),)


def _weight_parts(rows: Sequence[tuple[str, int, str]]) -> tuple[Part, ...]:
    """Give each type of weights (bytes, rule) a line; small ones share the first."""
    if not rows:
        return (Part(name="weights", memory_mib=0),)
    first, *others = [row for row in rows if row[1] >= MIB] or rows[:1]
    rest = sum(size for _, size, _ in rows) - sum(size for _, size, _ in (first, *others))
    lines = [(first[0], first[1] + rest, first[2]), *others]
    return tuple(
        Part(name=f"weights, {kind}", memory_mib=_mib(size), rule=rule)
        for kind, size, rule in lines
    )


def _beside_parts(load: Load) -> tuple[Part, ...]:
    return tuple(
        Part(name=name, memory_mib=_mib(size), rule="its files") for name, size in load.beside
    )


def _kv_part(architecture: Architecture, load: Load, one: int, context: int) -> Part:
    asked = f"{load.concurrency:,} × {load.context_tokens:,} tokens"
    only_states = architecture.layers and not architecture.bytes_per_token()
    called = "state" if only_states else "KV cache"
    rule = (
        f"{architecture.bytes_per_token(load.cache):,} bytes a token ({load.cache}) over "
        f"{_layers_text(architecture)}, contexts rounded up to {context:,}"
    )
    if architecture.state_bytes:
        rule += f"; {architecture.state_bytes:,} bytes of state a request"
    if not architecture.layers:
        rule = "an encoder keeps nothing between steps"
    return Part(name=f"{called} ({asked})", memory_mib=_mib(one * load.concurrency), rule=rule)


def _layers_text(architecture: Architecture) -> str:
    return ", ".join(
        f"{part.count} layers of {part.keeps}" + (f" ({part.tokens:,})" if part.tokens else "")
        for part in architecture.layers
        if part.keeps is not Keeps.STATE
    )


def _sized(
    parts: tuple[Part, ...], *, cache_bytes: int, fraction: float = 1.0, beside_mib: int = 0
) -> Sized:
    reason = " + ".join(f"{part.memory_mib:,} MiB {part.name}" for part in parts)
    return Sized(
        memory_mib=sum(part.memory_mib for part in parts),
        reason=reason,
        parts=parts,
        cache_bytes=cache_bytes,
        fraction=fraction,
        beside_mib=beside_mib,
    )


def _mib(size: int) -> int:
    """Round bytes up to MiB."""
    return -(-size // MIB)
