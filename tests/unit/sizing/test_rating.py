"""What one server gives on one profile of a board."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import the_small_model
from gpuslice.hardware import board
from gpuslice.sizing.rating import Rating, rate_profile
from gpuslice.sizing.shape import ModelShape
from gpuslice.sizing.size import read_model
from gpuslice.sizing.throughput import Traffic

PROMPTS = Traffic(concurrency=1, prompt_tokens=100_000, answer_tokens=1)


def rated(
    key: str, profile: str, *, model: ModelShape, engine: str = "vllm", product: str = ""
) -> Rating:
    known = board(key)
    found = known.geometry.named(profile)
    assert found is not None
    return rate_profile(model, found, PROMPTS, engine=engine, board=known, product=product)


@pytest.fixture(scope="module")
def small() -> ModelShape:
    return read_model(str(the_small_model()), "llama.cpp")


def fp8(model: ModelShape) -> ModelShape:
    return replace(model, weights=replace(model.weights, method="fp8"))


@pytest.mark.parametrize(("key", "times"), [("h200", 2), ("a100-80gb", 1)])
def test_prompts_of_fp8_models_are_twice_as_fast_where_the_board_computes_in_it(
    key: str, times: int, small: ModelShape
) -> None:
    profile = board(key).geometry.profiles[-1].name
    plain, packed = (rated(key, profile, model=each) for each in (small, fp8(small)))
    ratio = packed.estimate.prefill.likely / plain.estimate.prefill.likely
    assert ratio == pytest.approx(times)


def test_products_of_one_board_are_told_apart(small: ModelShape) -> None:
    sxm = rated("h200", "7g.141gb", model=small)
    nvl = rated("h200", "7g.141gb", model=small, product="NVIDIA H200 NVL")
    ratio = nvl.estimate.prefill.likely / sxm.estimate.prefill.likely
    assert ratio == pytest.approx(835.5 / 989.5)


def test_it_says_what_it_rests_on(small: ModelShape) -> None:
    assert "calibrated by 2 runs" in rated("h100-80gb", "7g.80gb", model=small).basis
    assert "data sheets" in rated("h200", "7g.141gb", model=small).basis
