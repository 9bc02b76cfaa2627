"""Sizing against lines that others published from their engines (tests/data/published_logs.json).

An engine logs gigabytes to two digits, so each comparison is between the two ends of what was
rounded, and one block of the cache at each.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpuslice.sizing.architecture import Architecture, CacheType, Keeps
from gpuslice.sizing.config import config_architecture
from gpuslice.sizing.estimate import estimate_vllm
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.size import shape_of
from gpuslice.sizing.weights import weights_of
from real_models import WHERE, real_model

GIB = 1024**3
BLOCK = 16
LOGS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "published_logs.json").read_text()
)


def with_value(*keys: str) -> list[Any]:
    """List the logs that say all of these, each under a name of its own."""
    return [
        pytest.param(log, id=f"{log['name']}, {log['engine']}, {number}")
        for number, log in enumerate(LOGS)
        if all(key in log for key in keys)
    ]


def described(log: dict[str, Any]) -> ModelShape:
    if "model" in log:
        model = real_model(log["model"])
        return shape_of(model.config, model.tensors, model.name)
    architecture = config_architecture(log["config"], log["name"])
    return ModelShape(architecture=architecture, weights=weights_of((), architecture))


def architecture_of(log: dict[str, Any]) -> Architecture:
    return described(log).architecture


def cache_of(log: dict[str, Any]) -> CacheType:
    return CacheType(log.get("cache", "f16"))


def on_one_card(log: dict[str, Any]) -> float:
    """The part of a token's cache that one card holds."""
    held, of = log.get("part", (1, 1))
    return float(held) / float(of)


def one_request(log: dict[str, Any]) -> int:
    load = Load(
        context_tokens=log["context"],
        concurrency=1,
        cache=cache_of(log),
        step_tokens=log.get("step_tokens", 8192),
        states=log.get("states", 1),
    )
    return estimate_vllm(described(log), load).cache_bytes


def available(log: dict[str, Any]) -> tuple[float, float]:
    """The least and the most that the logged gigabytes can have been, bytes."""
    rounding = log.get("rounding_gib", 0.005)
    return (log["available_gib"] - rounding) * GIB, (log["available_gib"] + rounding) * GIB


def test_every_kind_of_model_is_among_them_and_each_says_where_it_is_from() -> None:
    assert len(LOGS) >= 10
    kinds = " ".join(log["kind"] for log in LOGS)
    assert all(kind in kinds for kind in ("dense", "latent", "window", "hybrid", "MXFP4"))
    for log in LOGS:
        assert re.fullmatch(WHERE, log["where"])
        assert log.keys() & {"weights_gib", "tokens", "block_tokens", "derived_tokens"} or (
            log.keys() & {"request_gib", "full_mib"}
        )
        assert "model" in log or log["config_where"]


@pytest.mark.parametrize("log", with_value("weights_gib"))
def test_weights_are_never_under_and_over_only_for_the_reason_that_is_given(
    log: dict[str, Any],
) -> None:
    # Experts in MXFP4 are padded to the most that any card's kernels ask for (padding.py).
    weights = described(log).weights
    loaded = (weights.bytes + weights.padded_bytes) / GIB
    over = log.get("weights_over", 0.005)
    assert -0.005 <= loaded / log["weights_gib"] - 1 <= over


@pytest.mark.parametrize("log", with_value("tokens"))
def test_cache_holds_as_many_tokens_as_were_logged(log: dict[str, Any]) -> None:
    architecture = architecture_of(log)
    a_token = architecture.bytes_per_token(cache_of(log)) * on_one_card(log)
    least, most = (size / a_token for size in available(log))
    assert least - BLOCK * len(architecture.layers) <= log["tokens"] <= most


@pytest.mark.parametrize("log", with_value("concurrency"))
def test_requests_with_windows_are_as_many_as_were_logged(log: dict[str, Any]) -> None:
    least, most = (size / one_request(log) for size in available(log))
    assert least - 0.005 <= log["concurrency"] <= most + 0.005


@pytest.mark.parametrize("log", with_value("derived_tokens"))
def test_requests_with_states_are_as_many_as_were_logged(log: dict[str, Any]) -> None:
    # Newer vLLM logs "tokens" that are requests × context, and the whole blocks of its cache are
    # large here: 25 to 50 MB, up to 2 % of what is available.
    requests = log["derived_tokens"] / log["context"]
    least, most = (size / (one_request(log) * on_one_card(log)) for size in available(log))
    assert 0.98 * least <= requests <= most


@pytest.mark.parametrize("log", with_value("block_tokens"))
def test_state_makes_blocks_of_as_many_tokens_as_were_logged(log: dict[str, Any]) -> None:
    load = Load(context_tokens=1, concurrency=1, cache=cache_of(log))
    rules = " ".join(part.rule for part in estimate_vllm(described(log), load).parts)
    assert f"contexts rounded up to {log['block_tokens']:,};" in rules


@pytest.mark.parametrize("log", with_value("request_gib"))
def test_longest_request_needs_what_was_logged(log: dict[str, Any]) -> None:
    assert one_request(log) / GIB == pytest.approx(log["request_gib"], abs=0.005)


@pytest.mark.parametrize("log", with_value("full_mib"))
def test_cache_of_llama_cpp_is_what_was_logged(log: dict[str, Any]) -> None:
    by_kind = dict.fromkeys(Keeps, 0.0)
    for part in architecture_of(log).layers:
        kept = part.kept_tokens(log["context"], log.get("step_tokens", 512), 256)
        by_kind[part.keeps] += part.token_bytes(cache_of(log)) * kept / 1024**2
    whole = log.get("slots", 1) * (by_kind[Keeps.FULL] + by_kind[Keeps.LATENT])
    assert whole == pytest.approx(log["full_mib"], abs=0.01)
    windows = log.get("slots", 1) * by_kind[Keeps.WINDOW]
    assert windows == pytest.approx(log.get("window_mib", 0.0), abs=0.01)
