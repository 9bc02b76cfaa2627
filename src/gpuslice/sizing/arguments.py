"""What a user's own engine arguments change about the memory that is needed.

Separate, because the user's arguments win over what a stack file says (the engines pass them on),
so sizing has to read the same flags: an fp8 cache halves the cache, adapters and a draft model come
beside, and a share of the slice that is written down replaces ours. Flags that change nothing about
memory are not looked at; what cannot be read is left to the engine, which will say so itself.

Source: docs.vllm.ai, "serve"; docs.sglang.io, "Server Arguments".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gpuslice.sizing.architecture import CacheType
from gpuslice.sizing.shape import Load

_CONTEXT = ("--max-model-len", "--context-length")
_REQUESTS = ("--max-num-seqs", "--max-running-requests")
_STEP = ("--max-num-batched-tokens", "--chunked-prefill-size")
_SHARE = ("--gpu-memory-utilization", "--mem-fraction-static")
_CACHE = ("--kv-cache-dtype",)
_ADAPTERS = ("--lora-modules", "--lora-paths")
_DRAFT = ("--speculative-model", "--speculative-draft-model-path")
_DRAFT_SETTINGS = ("--speculative-config",)
_PREFIXES = "--enable-prefix-caching"
_STATES = ("--mamba-ssm-cache-dtype", "--mamba-cache-dtype")
_QUANTIZATION = ("--quantization", "-q")
_REVISION = ("--revision",)
_STRETCHED = ("--hf-overrides", "--rope-scaling", "--json-model-override-args")
_SHORT = frozenset({"-q"})
_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKmM]?)")
_UNCHUNKED = 16_384  # SGLang's --max-prefill-tokens, where it is not given
_UNITS = {"": 1, "k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a server is asked to hold, with the user's arguments heard.

    Attributes:
        load: Context, requests, cache, step and share; nothing beside the model yet.
        adapters: Sources of LoRA adapters, as written.
        draft: Source of the draft model, as written; "" for none.
        stretched: True where the arguments change how long a context the model takes.
        quantization: What the weights are quantized to while they are loaded, as written; "" for
            not.
        revision: Branch, tag or commit of a model on the hub; "" for its main branch.
    """

    load: Load
    adapters: tuple[str, ...] = ()
    draft: str = ""
    stretched: bool = False
    quantization: str = ""
    revision: str = ""


def asked_with(load: Load, arguments: Sequence[str]) -> Asked:
    """Hear a user's arguments.

    Args:
        load: What is asked for without them.
        arguments: As written: ``--flag value``, ``--flag=value``.
    """
    given = dict(_flags(arguments))
    cache = _first(given, _CACHE)
    context = _number(_first(given, _CONTEXT), load.context_tokens)
    changed = replace(
        load,
        context_tokens=context,
        concurrency=_number(_first(given, _REQUESTS), load.concurrency),
        step_tokens=_step_tokens(_first(given, _STEP), context, load.step_tokens),
        fraction=_share(_first(given, _SHARE)) or load.fraction,
        cache=CacheType.FP8 if cache.startswith("fp8") else load.cache,
        states=2 if _PREFIXES in given else load.states,
        wide_states=_first(given, _STATES) == "float32" or load.wide_states,
    )
    return Asked(
        load=changed,
        adapters=tuple(_adapters(given)),
        draft=_draft(given),
        stretched=any(flag in given for flag in _STRETCHED),
        quantization=_first(given, _QUANTIZATION),
        revision=_first(given, _REVISION),
    )


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pair each flag with the values behind it, up to the next flag."""
    flag, values = "", list[str]()
    for argument in arguments:
        if not argument.startswith("--") and argument not in _SHORT:
            values.append(argument)
            continue
        if flag:
            yield flag, tuple(values)
        flag, equals, value = argument.partition("=")
        flag, values = flag.replace("_", "-"), [value] if equals else []
    if flag:
        yield flag, tuple(values)


def _first(given: dict[str, tuple[str, ...]], flags: Sequence[str]) -> str:
    return next((given[flag][0] for flag in flags if given.get(flag)), "")


def _number(text: str, otherwise: int) -> int:
    """Read a count as vLLM does: ``8192``, ``8k`` (thousands), ``8K`` (1,024s)."""
    found = _NUMBER.fullmatch(text)
    return int(float(found["number"]) * _UNITS[found["unit"]]) if found else otherwise


def _step_tokens(text: str, context_tokens: int, otherwise: int) -> int:
    """Read the tokens of a step; SGLang's -1 reads every prompt in one, several up to 16,384."""
    if text == "-1":
        return max(context_tokens, _UNCHUNKED)
    return _number(text, otherwise)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        return 0.0
    return share if 0 < share <= 1 else 0.0


def _adapters(given: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Read adapters: ``name=path`` (several behind one flag), a path, or vLLM's JSON."""
    for written in (text for flag in _ADAPTERS for text in given.get(flag, ())):
        entry = _object(written)
        path = entry.get("path") if entry else written.partition("=")[2] or written
        if isinstance(path, str) and path:
            yield path


def _draft(given: dict[str, tuple[str, ...]]) -> str:
    model = _object(_first(given, _DRAFT_SETTINGS)).get("model")
    return model if isinstance(model, str) else _first(given, _DRAFT)


def _object(text: str) -> dict[str, object]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
