from __future__ import annotations

import math

import pytest

from gpuslice.sizing.padding import padding_bytes
from gpuslice.sizing.tensors import Tensor


def a_tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name=f"model.layers.0.{name}", kind="U8", shape=shape, bytes=math.prod(shape))


@pytest.mark.parametrize(
    ("name", "shape", "padded"),
    # gpt-oss-20b: 32 experts of 2,880 x 2,880; two halves in the first matrix.
    [
        ("mlp.experts.gate_up_proj_blocks", (32, 5760, 90, 16), 32 * 2 * 3072 * 3072 // 2),
        ("mlp.experts.gate_up_proj_scales", (32, 5760, 90), 32 * 2 * 3072 * 3072 // 32),
        ("mlp.experts.down_proj_blocks", (32, 2880, 90, 16), 32 * 3072 * 3072 // 2),
        ("mlp.experts.down_proj_scales", (32, 2880, 90), 32 * 3072 * 3072 // 32),
    ],
)
def test_experts_are_padded_to_tiles_in_both_directions(
    name: str, shape: tuple[int, ...], padded: int
) -> None:
    tensor = a_tensor(name, *shape)
    assert tensor.bytes + padding_bytes(tensor) == padded


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp.experts.gate_up_proj_blocks", (8, 2048, 32, 16)),  # whole tiles already
        ("mlp.experts.gate_up_proj_bias", (32, 5760)),
        ("self_attn.q_proj.weight", (4096, 2880)),
        ("mlp.experts.down_proj_blocks", (32, 2880, 90, 32)),  # blocks of another packing
    ],
)
def test_everything_else_stays_as_it_is_stored(name: str, shape: tuple[int, ...]) -> None:
    assert padding_bytes(a_tensor(name, *shape)) == 0
