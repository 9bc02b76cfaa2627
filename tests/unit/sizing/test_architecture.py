from __future__ import annotations

import pytest

from gpuslice.sizing.architecture import Architecture, CacheType, Keeps, Layers, TokenWork

FULL = Layers(keeps=Keeps.FULL, count=2, elements=100)
WINDOW = Layers(keeps=Keeps.WINDOW, count=3, elements=100, tokens=10)
CROSS = Layers(keeps=Keeps.CROSS, count=1, elements=100, tokens=7)
STATE = Layers(keeps=Keeps.STATE, count=4, state_bytes=50)
MODEL = Architecture(name="x", layers=(FULL, WINDOW, CROSS, STATE))


def test_token_counts_in_layers_that_keep_the_context() -> None:
    assert MODEL.bytes_per_token() == 2 * (2 + 3) * 100


def test_cache_of_eight_bits_is_half_as_large() -> None:
    assert MODEL.bytes_per_token(CacheType.FP8) * 2 == MODEL.bytes_per_token()


@pytest.mark.parametrize(("cache", "size"), [(CacheType.Q8_0, 68), (CacheType.Q4_0, 36)])
def test_blocks_of_llama_cpp_are_counted_whole(cache: CacheType, size: int) -> None:
    assert cache.bytes_of(33) == cache.bytes_of(64) == size


def test_index_of_sparse_attention_does_not_shrink_with_the_cache() -> None:
    layers = Layers(keeps=Keeps.LATENT, count=2, elements=576, index_bytes=132)
    assert layers.token_bytes(CacheType.FP8) == 2 * (576 + 132)


def test_sequence_keeps_windows_states_and_the_encoder_once() -> None:
    fixed = 2 * 100 * 7 + 4 * 50
    assert MODEL.sequence_bytes(5) == 2 * 100 * (2 * 5 + 3 * 5) + fixed
    assert MODEL.sequence_bytes(1000) == 2 * 100 * (2 * 1000 + 3 * 10) + fixed


def test_window_holds_the_step_that_is_being_written() -> None:
    model = Architecture(name="x", layers=(WINDOW,))
    assert model.sequence_bytes(1000, step_tokens=90) == 2 * 300 * 100
    assert model.sequence_bytes(50, step_tokens=90) == 2 * 300 * 50


def test_step_reads_more_experts_the_more_tokens_it_has() -> None:
    work = TokenWork(
        step_bytes=100,
        expert_bytes=1000,
        experts=8,
        experts_per_token=2,
        kv_bytes_per_token=1,
        state_bytes=0,
        flops_per_token=1,
        flops_per_context_token=1,
    )
    assert work.weight_bytes(1) == 100 + 250
    assert work.weight_bytes(2) == pytest.approx(100 + 1000 * (1 - 0.75**2))
    assert work.weight_bytes(10_000) == pytest.approx(1100)


def test_dense_model_reads_all_of_itself() -> None:
    work = TokenWork(
        step_bytes=100,
        expert_bytes=0,
        experts=0,
        experts_per_token=0,
        kv_bytes_per_token=1,
        state_bytes=0,
        flops_per_token=1,
        flops_per_context_token=1,
    )
    assert work.weight_bytes(1) == work.weight_bytes(64) == 100
