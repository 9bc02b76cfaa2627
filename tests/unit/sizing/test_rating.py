"""What one server gives on one profile of a board."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import the_small_model
from gpuslice.hardware import board
from gpuslice.sizing.architecture import CacheType
from gpuslice.sizing.calibration import efficiency, runs
from gpuslice.sizing.rating import Rating, generates, rate_board, rate_profile
from gpuslice.sizing.shape import ModelShape
from gpuslice.sizing.size import read_model, shape_of
from gpuslice.sizing.throughput import Traffic
from real_models import real_model, real_model_names

CHATS = Traffic(concurrency=4, prompt_tokens=1000, answer_tokens=200)
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


def computing_s(rating: Rating) -> float:
    """The time of the prompt that is arithmetic: less what taking it in costs."""
    reached = efficiency("vllm", rating.board)
    whole_s = reached.scale * PROMPTS.prompt_tokens / rating.estimate.prefill.likely
    return whole_s - reached.request_s


@pytest.mark.parametrize(("key", "times"), [("h200", 2), ("a100-80gb", 1)])
def test_prompts_of_fp8_models_are_twice_as_fast_where_the_board_computes_in_it(
    key: str, times: int, small: ModelShape
) -> None:
    profile = board(key).geometry.profiles[-1].name
    plain, packed = (rated(key, profile, model=each) for each in (small, fp8(small)))
    assert computing_s(plain) / computing_s(packed) == pytest.approx(times)


def test_products_of_one_board_are_told_apart(small: ModelShape) -> None:
    sxm = rated("h200", "7g.141gb", model=small)
    nvl = rated("h200", "7g.141gb", model=small, product="NVIDIA H200 NVL")
    assert computing_s(sxm) / computing_s(nvl) == pytest.approx(835.5 / 989.5)


MEASURED = (
    "smollm2-135m-instruct",
    "qwen3-0.6b",
    "qwen3-4b",
    "llama-3.1-8b-instruct",
    "qwen3-14b",
    "qwen3-30b-a3b",
)


def test_the_measured_models_cost_what_their_real_shapes_say() -> None:
    """Their weights were random; what they read and compute has to be that of the true ones."""
    real = [real_model(name) for name in MEASURED]
    works = {shape_of(model.config, model.tensors, model.name).work for model in real}
    assert {run.work for run in runs()} == works


@pytest.mark.parametrize("name", real_model_names())
def test_every_real_model_that_generates_has_a_rating_on_every_slice_that_holds_it(
    name: str,
) -> None:
    real = real_model(name)
    model = shape_of(real.config, real.tensors, real.name)
    ratings = rate_board(
        model, board("h200"), CHATS, engine="vllm", memory_mib=40_000, cache=CacheType.FP8
    )
    names = [rating.profile for rating in ratings]
    assert names == (["3g.71gb", "4g.71gb", "7g.141gb"] if generates(model) else [])
    decoded = [rating.estimate.decode.likely for rating in ratings]
    assert decoded == sorted(decoded)
    sixteen = rate_board(model, board("h200"), CHATS, engine="vllm", memory_mib=40_000)
    for small, large in zip(ratings, sixteen, strict=True):
        assert small.estimate.decode.likely >= large.estimate.decode.likely


def test_encoders_generate_nothing() -> None:
    nothing = {
        name
        for name in real_model_names()
        if not generates(shape_of(real_model(name).config, real_model(name).tensors, name))
    }
    assert nothing == {"bge-m3", "bge-reranker-v2-m3"}


def test_engine_that_nobody_measured_has_no_rating(small: ModelShape) -> None:
    assert rate_board(small, board("h200"), CHATS, engine="command", memory_mib=1) == ()


def test_it_says_what_it_rests_on(small: ModelShape) -> None:
    assert "calibrated by 2 runs" in rated("h100-80gb", "7g.80gb", model=small).basis
    assert "calibrated by 36 runs" in rated("h200", "7g.141gb", model=small).basis
    assert "data sheets" in rated("a30", "4g.24gb", model=small).basis
