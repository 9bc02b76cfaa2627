"""What a server that is starting is busy with, read from the last lines of its log: pure.

Separate from `diagnosis`, which reads why it failed. A start takes a minute, or half an hour where
the model has still to be downloaded; whoever waits wants to know which.

Source: lines that vLLM (seen with 0.20.0), SGLang and llama.cpp write; progress bars are tqdm's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuslice.engines.diagnosis import since_start

_LOOKED_AT = 20
_LONGEST_LINE = 500

_LOADED = "loaded; its first answer is awaited"
_STAGES = tuple(
    (re.compile(line), told)
    for line, told in (
        (
            r"(?P<file>[\w.-]+\.(?:safetensors|bin|gguf)):\s+(?P<done>\d+)%",
            "downloading {file}, {done} %",
        ),
        (r"(?:Fetching|Downloading) .*?:\s+(?P<done>\d+)%", "downloading the model, {done} %"),
        (r"checkpoint shards:\s+(?P<done>\d+)%", "loading weights, {done} %"),
        (r"loading shards:\s+(?P<done>\d+)%", "loading weights, {done} %"),
        (r"Starting to load model|Load weight begin|loading model tensors", "loading weights"),
        (r"Model loading took (?P<size>[\d.]+ GiB)", "weights are loaded, {size}"),
        (
            r"Dynamo bytecode transform|Compiling a graph",
            "compiling; a first start does, later ones do not",
        ),
        (r"Capturing CUDA graphs?.*?:\s+(?P<done>\d+)%", "capturing CUDA graphs, {done} %"),
        (r"Capture cuda graph begin|Capturing CUDA graph", "capturing CUDA graphs"),
        (r"GPU KV cache size: (?P<tokens>[\d,]+) tokens", "KV cache is there, {tokens} tokens"),
        (r"KV Cache is allocated", "KV cache is there"),
        (r"warming up the model|Warmup|warmup", "warming up"),
        (r"Application startup complete|server is fired up", _LOADED),
        (r"server is listening on|^serving \S+ on ", _LOADED),
    )
)


def stage(lines: Sequence[str]) -> str:
    """Say what a starting server is busy with.

    Args:
        lines: The last lines of its log, oldest first.

    Returns:
        A few words, or "" where its last lines tell nothing that is known.
    """
    for line in reversed(since_start(lines)[-_LOOKED_AT:]):
        for pattern, told in _STAGES:
            if match := pattern.search(line[:_LONGEST_LINE]):
                return told.format(**match.groupdict())
    return ""
