from __future__ import annotations

import math
from typing import Any

import pytest

from gpuslice.errors import SizingError
from gpuslice.sizing.agreement import describe
from gpuslice.sizing.tensors import Tensor

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "vocab_size": 100,
}


def a_tensor(name: str, *shape: int, kind: str = "BF16") -> Tensor:
    return Tensor(name=name, kind=kind, shape=shape, bytes=2 * math.prod(shape))


def tensors(*, layers: int = 2, rows: int = 16, kind: str = "BF16") -> list[Tensor]:
    found = [a_tensor("model.embed_tokens.weight", 100, 64)]
    for layer in range(layers):
        for part in ("k", "v"):
            name = f"model.layers.{layer}.self_attn.{part}_proj.weight"
            found.append(a_tensor(name, rows, 64, kind=kind))
    return found


def test_configuration_and_tensors_that_agree_are_taken() -> None:
    assert describe(CONFIG, tensors(), "x").bytes_per_token() == 2 * 2 * 32


@pytest.mark.parametrize(
    ("config", "stored", "message"),
    [
        (CONFIG | {"num_hidden_layers": 3}, tensors(), "3 layers, its weights are 2"),
        (CONFIG | {"vocab_size": 101}, tensors(), "101 tokens, model.embed_tokens.weight has 100"),
        (CONFIG, tensors(rows=8), "64 elements, its weights 32"),
        (CONFIG, tensors(rows=32), "64 elements, its weights 128"),
    ],
)
def test_configuration_that_contradicts_the_tensors_is_refused(
    config: dict[str, Any], stored: list[Tensor], message: str
) -> None:
    with pytest.raises(SizingError, match=message) as caught:
        describe(config, stored, "x")
    assert "contradicts itself" in caught.value.message
    assert "fetch the model again" in caught.value.hint


def test_padded_table_and_layers_for_drafts_are_no_contradiction() -> None:
    stored = [*tensors(layers=3), a_tensor("model.embed_tokens.weight", 128, 64)]
    assert describe(CONFIG, stored, "x").bytes_per_token() == 128


def test_packed_matrices_say_nothing_about_heads() -> None:
    assert describe(CONFIG, tensors(rows=4, kind="U8"), "x").bytes_per_token() == 128


def test_towers_say_nothing_about_the_heads_of_the_language_model() -> None:
    tower = a_tensor("vision_tower.encoder.layers.0.self_attn.k_proj.weight", 999, 64)
    assert describe(CONFIG, [*tensors(), tower], "x").bytes_per_token() == 128


def test_unknown_family_is_sized_by_its_tensors_where_those_hold_more() -> None:
    config = CONFIG | {"model_type": "brandnew"}
    described = describe(config, tensors(rows=48), "x")
    assert described.bytes_per_token() == 2 * 2 * 2 * 48
    assert not described.exact
    assert describe(config, tensors(rows=4), "x").bytes_per_token() == 128


def test_unknown_family_that_says_nothing_is_sized_by_its_tensors_alone() -> None:
    fused = [a_tensor(f"transformer.h.{n}.attn.c_attn.weight", 192, 64) for n in range(3)]
    table = a_tensor("transformer.wte.weight", 100, 64)
    described = describe({"model_type": "brandnew"}, [*fused, table], "x")
    assert described.bytes_per_token() == 3 * 192 * 2
    assert (described.layer_count, described.vocabulary) == (3, 100)
    assert "upper estimate" in described.notes[0]


def test_known_family_that_says_nothing_is_refused() -> None:
    with pytest.raises(SizingError, match="num_hidden_layers"):
        describe({"model_type": "llama"}, tensors(), "x")


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(SizingError):
        describe({"model_type": "brandnew"}, [a_tensor("w", 3)], "x")
