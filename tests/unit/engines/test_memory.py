"""The share of a device that an engine manages: never more than is there, never a board's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from builders import a_serve_request
from gpuslice.engines.memory import managed_share
from gpuslice.engines.sglang import Sglang, step_tokens
from gpuslice.engines.vllm import BESIDE_MIB
from gpuslice.errors import StackError
from gpuslice.hardware import load_boards
from gpuslice.sizing.estimate import (
    SGLANG_FRACTION,
    VLLM_BESIDE_MIB,
    VLLM_FRACTION,
    Sized,
    estimate_sglang,
)
from gpuslice.sizing.shape import Load
from gpuslice.sizing.size import shape_of
from real_models import real_model


def share(memory_mib: int, limit_mib: int = 0, *, beside_mib: int = 640) -> float:
    request = a_serve_request(slice_memory_mib=memory_mib, memory_limit_mib=limit_mib)
    return float(managed_share(request, beside_mib=beside_mib))


def test_a_large_slice_leaves_three_hundredths() -> None:
    assert share(143_771) == 0.97


def test_a_small_slice_leaves_what_every_server_needs() -> None:
    assert share(4864) == pytest.approx((4864 - 640) / 4864, abs=1e-4)


@pytest.mark.parametrize(
    "memory_mib",
    sorted({p.memory_mib for board in load_boards() for p in board.geometry.profiles}),
)
def test_every_slice_there_is_keeps_room_beside_the_share(memory_mib: int) -> None:
    assert memory_mib - share(memory_mib) * memory_mib >= 640


def test_a_limit_that_cuda_does_not_show_counts_against_the_total_it_shows() -> None:
    assert share(81_920, 40_960) == 0.485
    assert share(81_920, 2048) == pytest.approx((2048 - 640) / 81_920, abs=1e-4)


def test_a_model_that_needs_more_beside_the_share_gets_it() -> None:
    request = a_serve_request(slice_memory_mib=40_192, beside_mib=2432)
    assert float(managed_share(request, beside_mib=640)) == pytest.approx(
        (40_192 - 2432) / 40_192, abs=1e-4
    )
    plain = a_serve_request(slice_memory_mib=40_192, beside_mib=0)
    assert float(managed_share(plain, beside_mib=640)) == 0.97


def test_a_limit_above_the_memory_is_none() -> None:
    assert share(9728, 81_920) == share(9728)


def test_a_device_that_holds_no_model_is_refused() -> None:
    with pytest.raises(StackError, match="640 MiB are too little") as caught:
        share(640)
    assert caught.value.hint == "ask for a larger slice"


def test_sizing_reckons_with_the_share_that_the_engine_gets() -> None:
    assert VLLM_BESIDE_MIB == BESIDE_MIB
    assert share(143_771) == VLLM_FRACTION


def sglang_flags(memory_mib: int, context_tokens: int) -> dict[str, str]:
    request = a_serve_request(slice_memory_mib=memory_mib, context_tokens=context_tokens)
    argv = Sglang().launch(request).command
    return dict(pairwise(argv))


def sized_for_sglang(context_tokens: int) -> Sized:
    model = real_model("qwen3-4b")
    load = Load(context_tokens=context_tokens, concurrency=4)
    return estimate_sglang(shape_of(model.config, model.tensors, model.name), load)


@pytest.mark.parametrize("context_tokens", [512, 4096, 8192, 32_768])
def test_sglang_gets_for_weights_and_cache_what_sizing_reckons_with(context_tokens: int) -> None:
    sized = sized_for_sglang(context_tokens)
    flags = sglang_flags(sized.memory_mib, context_tokens)
    inside_mib = sum(part.memory_mib for part in sized.parts[:-1])
    managed_mib = float(flags["--mem-fraction-static"]) * sized.memory_mib
    rounding_mib = sized.memory_mib / 10_000  # the share has four digits
    assert inside_mib - rounding_mib <= managed_mib <= sized.memory_mib - sized.beside_mib
    assert f"{step_tokens(context_tokens):,} tokens" in sized.parts[-1].rule
    assert int(flags["--chunked-prefill-size"]) == step_tokens(context_tokens)


def test_sglang_leaves_a_tenth_of_a_large_slice_as_sizing_says() -> None:
    assert float(sglang_flags(143_771, 4096)["--mem-fraction-static"]) == SGLANG_FRACTION
