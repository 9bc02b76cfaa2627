"""What a starting server is busy with, in a few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuslice.engines.progress import stage

START = "2026-11-24T13:00:00+00:00 gpuslice starts vllm serve Qwen/Qwen3-4B"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Fetching 5 files:  40%|████      | 2/5 [00:10<00:15]", "downloading the model, 40 %"),
        (
            "model-00001-of-00002.safetensors:  45%|████▌     | 2.24G/4.98G [00:20<00:24]",
            "downloading model-00001-of-00002.safetensors, 45 %",
        ),
        (
            "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01]",
            "loading weights, 50 %",
        ),
        (
            "Multi-thread loading shards: 100% Completed | 1/1 [00:00<00:00]",
            "loading weights, 100 %",
        ),
        (
            "INFO 11-22 [gpu_model_runner.py:3421] Model loading took 7.56 GiB and 2.1 seconds",
            "weights are loaded, 7.56 GiB",
        ),
        ("[backends.py:548] Dynamo bytecode transform time: 5.1 s", "compiling;"),
        (
            "INFO [kv_cache_utils.py:1087] GPU KV cache size: 449,088 tokens",
            "KV cache is there, 449,088 tokens",
        ),
        (
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  35%|███▌ | 7/20",
            "capturing CUDA graphs, 35 %",
        ),
        ("load_tensors: loading model tensors, this can take a while...", "loading weights"),
        ("INFO:     Application startup complete.", "loaded; its first answer is awaited"),
        ("main: server is listening on http://127.0.0.1:20000", "loaded;"),
        ("serving chat on 127.0.0.1:20000", "loaded;"),
    ],
)
def test_stage_is_told_from_the_last_line_that_tells_one(line: str, told: str) -> None:
    assert stage([START, line, "WARNING: something else"]).startswith(told)


def test_the_newest_stage_counts() -> None:
    assert stage(["Fetching 5 files:  40%|", "INFO:     Application startup complete."]).startswith(
        "loaded"
    )


def test_nothing_is_guessed() -> None:
    assert stage([]) == ""
    assert stage(["still loading"]) == ""
    assert stage(["INFO:     Application startup complete.", START]) == ""


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_read_without_trouble(lines: list[str]) -> None:
    stage(lines)
