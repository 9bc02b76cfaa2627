"""What an engine adds to packed weights so that its kernels can read them.

Separate, because it is the one place where loaded weights are larger than stored ones. Kernels work
on whole tiles, and experts in MXFP4 are padded to them once, when they are loaded: gpt-oss, whose
matrices are 2,880 wide, is logged by vLLM with 65.97 GiB where its files hold 60.77 (tests/data/
published_logs.json).

vLLM's Marlin kernels (cards before data-centre Blackwell) pad a model's width to 256 and its
experts' width to 128, Triton's (Hopper) one of the two, those for data-centre Blackwell both to
256. The card is not known where weights are added up, so both are rounded to 256, the most it can
be: 3 to 4 % too much with Marlin, 6.5 % with Triton, never too little.

Source: vLLM, ``Mxfp4MoEMethod.create_weights`` ("n % 256 == 0 and k % 128 == 0").
"""

from __future__ import annotations

import math

from gpuslice.sizing.tensors import Tensor

_TILE = 256
_BLOCK_VALUES = 32  # values that share one scale
_VALUES_PER_BYTE = 2


def padding_bytes(tensor: Tensor) -> int:
    """Say what loading adds to one tensor, bytes; 0 for all but experts in MXFP4.

    Blocks are stored as experts × rows × blocks × 16 bytes, and scales as experts × rows × blocks.
    The rows of the first matrix are two halves (gate and up), each padded for itself.
    """
    halves = 2 if "gate_up_proj" in tensor.name else 1
    match tensor.name.rpartition("_")[2], tensor.shape:
        case "blocks", (experts, rows, blocks, packed) if packed * _VALUES_PER_BYTE == (
            _BLOCK_VALUES
        ):
            row_bytes = _rounded(blocks * _BLOCK_VALUES) // _VALUES_PER_BYTE
        case "scales", (experts, rows, blocks):
            row_bytes = _rounded(blocks * _BLOCK_VALUES) // _BLOCK_VALUES
        case _:
            return 0
    padded = experts * halves * _rounded(rows // halves) * row_bytes
    return max(0, padded - tensor.bytes)


def _rounded(values: int) -> int:
    return math.ceil(values / _TILE) * _TILE
