from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from gpuslice.hardware import board
from gpuslice.model.gpu import Architecture as Generation
from gpuslice.sizing.architecture import Architecture, CacheType, Keeps, Layers
from gpuslice.sizing.estimate import estimate_llama_cpp, estimate_vllm
from gpuslice.sizing.fitting import Fitting, Need, fit_board, fit_boards, quantization_remark
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.weights import Weights, WeightsPart

ESTIMATES = {"vllm": estimate_vllm, "llama.cpp": estimate_llama_cpp}
LOAD = Load(context_tokens=8192, concurrency=8)


def a_need(weights_gib: float = 7.56, *, engine: str = "vllm") -> Need:
    """Qwen3-4B, or a model of its shape with other weights."""
    size = int(weights_gib * 1024**3)
    layers = (Layers(keeps=Keeps.FULL, count=36, elements=2048),)
    model = ModelShape(
        architecture=Architecture(name="x", layers=layers, vocabulary=151936, step_elements=39_424),
        weights=Weights(parts=(WeightsPart(kind="bf16", bytes=size),), by_role={}, values={}),
    )
    return partial(ESTIMATES[engine], model)


def fitted(weights_gib: float, load: Load = LOAD, *, engine: str = "vllm") -> Fitting:
    need = a_need(weights_gib, engine=engine)
    return fit_board(board("a100-80gb"), need, load, engine=engine)


@pytest.mark.parametrize("engine", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("weights_gib", [0.5, 7.56, 15.0, 30.0])
def test_smallest_slice_holds_it_and_the_next_smaller_does_not(
    weights_gib: float, engine: str
) -> None:
    found = fitted(weights_gib, engine=engine)
    needed = a_need(weights_gib, engine=engine)(LOAD).memory_mib
    assert found.choice is not None
    assert found.choice.memory_mib >= needed
    assert found.smaller is None or found.smaller.memory_mib < needed


@pytest.mark.parametrize("engine", ["vllm", "llama.cpp"])
def test_requests_are_as_many_as_fit_and_one_more_does_not(engine: str) -> None:
    found = fitted(7.56, engine=engine)
    assert found.choice is not None
    for count, holds in ((found.requests, True), (found.requests + 1, False)):
        load = Load(context_tokens=8192, concurrency=count)
        need = a_need(7.56, engine=engine)(load).memory_mib
        assert (need <= found.choice.memory_mib) is holds


@pytest.mark.parametrize("engine", ["vllm", "llama.cpp"])
def test_what_is_left_is_what_more_cache_may_take(engine: str) -> None:
    found = fitted(7.56, engine=engine)
    sized = a_need(7.56, engine=engine)(LOAD)
    assert found.choice is not None
    one = sized.cache_bytes / 1024**2
    assert found.left_mib >= (found.requests - 8) * one - 1
    assert found.left_mib < (found.requests - 8 + 2) * one + 64  # logits of more requests, and one


def numbers(instead: Sequence[str], word: str) -> int:
    (text,) = [text for text in instead if word in text]
    return int("".join(c for c in text if c.isdigit()))


def test_what_would_have_to_be_given_up_is_enough_and_no_more_than_needed() -> None:
    found = fitted(7.56, Load(context_tokens=8192, concurrency=10))
    assert found.smaller is not None
    assert found.smaller.profile == "1g.20gb"
    room, need = found.smaller.memory_mib, a_need(7.56)
    assert "an fp8 cache" in found.instead
    small = Load(context_tokens=8192, concurrency=10, cache=CacheType.FP8)
    assert need(small).memory_mib <= room
    context = numbers(found.instead, "context")
    assert need(Load(context_tokens=context, concurrency=10)).memory_mib <= room
    assert need(Load(context_tokens=context + 1024, concurrency=10)).memory_mib > room
    requests = numbers(found.instead, "at a time")
    assert need(Load(context_tokens=8192, concurrency=requests)).memory_mib <= room
    assert need(Load(context_tokens=8192, concurrency=requests + 1)).memory_mib > room


def test_where_nothing_helps_nothing_is_offered() -> None:
    found = fitted(39.0)
    assert found.smaller is not None
    assert found.smaller.memory_mib < 39.3 * 1024  # less than the weights alone
    assert found.instead == ()


def test_model_that_no_slice_holds_has_no_choice() -> None:
    found = fitted(200.0)
    assert found.choice is None
    assert (found.left_mib, found.requests) == (0, 0)
    assert found.smaller is not None
    assert found.smaller.profile == "7g.80gb"


def test_every_board_that_can_be_sliced_is_looked_at_unless_one_is_named() -> None:
    need = a_need()
    every = fit_boards(need, LOAD, engine="vllm")
    assert {"a30", "a100-80gb", "h200", "b200"} <= {found.board for found in every}
    (one,) = fit_boards(need, LOAD, engine="vllm", boards=["h200"])
    assert one in every


@pytest.mark.parametrize(
    ("method", "generation", "said"),
    [
        ("nvfp4", Generation.HOPPER, "begins with Blackwell"),
        ("nvfp4", Generation.BLACKWELL, ""),
        ("fp8", Generation.AMPERE, "no fp8 arithmetic on Ampere"),
        ("fp8", Generation.HOPPER, ""),
        ("mxfp4", Generation.AMPERE, "begins with Blackwell"),
        ("mxfp4", Generation.HOPPER, "begins with Blackwell"),
        ("mxfp4", Generation.BLACKWELL, ""),
        ("awq", Generation.AMPERE, ""),
        ("", Generation.AMPERE, ""),
    ],
)
def test_packing_that_a_card_cannot_compute_with_is_told(
    method: str, generation: Generation, said: str
) -> None:
    remark = quantization_remark(method, generation)
    assert said in remark
    assert bool(remark) is bool(said)


def test_fp8_weights_are_named_where_they_would_make_it_fit() -> None:
    need, smaller = a_need(15.0), a_need(7.7)
    load = Load(context_tokens=1024, concurrency=1)
    found = fit_board(board("a100-80gb"), need, load, engine="vllm", in_fp8=smaller)
    assert found.smaller is not None
    assert found.smaller.profile == "1g.10gb"
    assert found.instead == ("fp8 weights",)
    too_large = fit_board(board("a100-80gb"), need, load, engine="vllm", in_fp8=need)
    assert too_large.instead == ()
