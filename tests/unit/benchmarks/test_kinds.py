"""Kinds of models that are started for real: what is written is what was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.kinds import KINDS, Kind, outline_of_kind
from benchmarks.on_a_card import Started
from benchmarks.random_models import write_model
from benchmarks.sizing import measured, row

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.vllm import Vllm
from gpuslice.model.demand import ReplicaId
from gpuslice.sizing.size import read_model, size_model
from real_models import real_model

LOG = """
non-default args: {'gpu_memory_utilization': 0.1}
Model loading took 2.0 GiB memory and 1.0 seconds
Available KV cache memory: 11.5 GiB
GPU KV cache size: 100,000 tokens
Maximum concurrency for 8,192 tokens per request: 64.00x
"""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_folder_holds_the_real_model_without_its_weights(kind: Kind, tmp_path: Path) -> None:
    outline = outline_of_kind(kind)
    write_model(outline, tmp_path / "model")
    read, real = read_model(str(tmp_path / "model"), "vllm"), real_model(kind.stem)
    assert sum(tensor.bytes for tensor in real.tensors) == sum(
        tensor.bytes for tensor in outline.tensors
    )
    kept = "state_bytes" in real.published and read.architecture.state_bytes
    assert kept == real.published.get("state_bytes", False)
    assert read.architecture.bytes_per_token() == real.published["kv_bytes_per_token"]
    blocks = sum(path.stat().st_blocks for path in (tmp_path / "model").iterdir()) * 512
    assert blocks < 64 * 1024**2  # the weights of the smallest have 1 GB
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    assert written["architectures"] == [kind.architecture]


def test_what_vllm_is_told_beside_changes_what_is_predicted(tmp_path: Path) -> None:
    needs = {}
    for kind in KINDS:
        if kind.stem == "qwen3-4b":
            folder = tmp_path / kind.name
            write_model(outline_of_kind(kind), folder)
            for arguments in ((), kind.arguments):
                sized = size_model(
                    str(folder),
                    engine="vllm",
                    context_tokens=8192,
                    concurrency=32,
                    arguments=arguments,
                )
                needs[" ".join(arguments)] = sized.memory_mib
    assert needs["--kv-cache-dtype fp8"] < needs["--quantization fp8"] < needs[""]


def test_the_cache_of_the_load_follows_from_the_requests_that_fit(tmp_path: Path) -> None:
    write_model(outline_of_kind(KINDS[0]), tmp_path / "model")
    request = ServeRequest(
        stack="sizing",
        replica=ReplicaId("latent", 0),
        source=str(tmp_path / "model"),
        slice_uuid="0",
        slice_memory_mib=143_360,
        port=8000,
        context_tokens=8192,
        concurrency=32,
    )
    started = Started(
        model=tmp_path / "model",
        sized=size_model(request.source, engine="vllm", context_tokens=8192, concurrency=32),
        request=request,
        launch=Vllm().launch(request),
        log=LOG,
        used_mib=14_500,
        took_s=40.0,
    )
    found = measured("latent", started, eager=True)
    assert found.cache == pytest.approx(11.5 * 1024 / 2)  # 64 fit, and 32 were asked for
    assert found.step == pytest.approx(14_336 - 13.5 * 1024)
    assert found.need == pytest.approx(2048 + found.cache + found.step + 14_500 - 14_336)
    assert row(found).startswith("| latent | no | 29,958, 2,048 | 7,776, 5,888 |")
