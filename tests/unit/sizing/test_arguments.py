from __future__ import annotations

from typing import Any

import pytest

from gpuslice.sizing.architecture import CacheType
from gpuslice.sizing.arguments import asked_with
from gpuslice.sizing.shape import Load

LOAD = Load(context_tokens=4096, concurrency=4)


def changed(*arguments: str) -> dict[str, Any]:
    """What arguments change about the load, by name."""
    load = asked_with(LOAD, arguments).load
    names = (
        "context_tokens",
        "concurrency",
        "step_tokens",
        "fraction",
        "cache",
        "states",
        "wide_states",
    )
    return {n: getattr(load, n) for n in names if getattr(load, n) != getattr(LOAD, n)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {}),
        (("--enable-prefix-caching",), {"states": 2}),
        (("--mamba-ssm-cache-dtype", "float32"), {"wide_states": True}),
        (("--mamba-ssm-cache-dtype", "bfloat16"), {}),
        (("--enable-chunked-prefill",), {}),
        (("--max-model-len", "8192"), {"context_tokens": 8192}),
        (("--max_model_len=8k",), {"context_tokens": 8000}),
        (("--max-model-len", "8K"), {"context_tokens": 8192}),
        (("--max-model-len", "auto"), {}),
        (("--max-num-seqs", "64"), {"concurrency": 64}),
        (("--max-num-batched-tokens", "16384"), {"step_tokens": 16384}),
        (("--max-num-seqs", "0"), {"concurrency": 0}),
        (("--chunked-prefill-size", "-1"), {"step_tokens": 16384}),
        (
            ("--context-length=32768", "--chunked-prefill-size=-1"),
            {"context_tokens": 32768, "step_tokens": 32768},
        ),
        (("--gpu-memory-utilization", "0.5"), {"fraction": 0.5}),
        (("--gpu-memory-utilization", "7"), {}),
        (("--gpu-memory-utilization", "much"), {}),
        (("--kv-cache-dtype", "fp8_e5m2"), {"cache": CacheType.FP8}),
        (("--kv-cache-dtype", "auto"), {}),
        (
            ("--context-length", "9", "--max-running-requests=2"),
            {"context_tokens": 9, "concurrency": 2},
        ),
        (("--max-model-len",), {}),
    ],
)
def test_arguments_of_the_user_win(arguments: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert changed(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "adapters"),
    [
        (("--lora-modules", "sql=/a/sql", "de=/a/de", "--enable-lora"), ("/a/sql", "/a/de")),
        (("--lora-modules", '{"name": "sql", "path": "/a/sql"}'), ("/a/sql",)),
        (("--lora-paths", "/a/sql"), ("/a/sql",)),
        (("--enable-lora",), ()),
    ],
)
def test_adapters_are_found(arguments: tuple[str, ...], adapters: tuple[str, ...]) -> None:
    assert asked_with(LOAD, arguments).adapters == adapters


@pytest.mark.parametrize(
    ("arguments", "draft"),
    [
        (
            ("--speculative-config", '{"model": "org/draft", "num_speculative_tokens": 3}'),
            "org/draft",
        ),
        (("--speculative-config", '{"method": "ngram"}'), ""),
        (("--speculative-config", "{broken"), ""),
        (("--speculative-draft-model-path", "org/draft"), "org/draft"),
        ((), ""),
    ],
)
def test_draft_model_is_found(arguments: tuple[str, ...], draft: str) -> None:
    assert asked_with(LOAD, arguments).draft == draft


def test_arguments_that_stretch_the_context_are_noticed() -> None:
    assert asked_with(LOAD, ("--hf-overrides", "{}")).stretched
    assert not asked_with(LOAD, ("--max-model-len", "9")).stretched


@pytest.mark.parametrize("written", ["--quantization", "-q"])
def test_quantization_and_revision_are_heard(written: str) -> None:
    asked = asked_with(LOAD, (written, "fp8", "--revision", "v2"))
    assert (asked.quantization, asked.revision) == ("fp8", "v2")
    assert asked_with(LOAD, ()).quantization == ""
