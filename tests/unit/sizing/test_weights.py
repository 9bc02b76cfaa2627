from __future__ import annotations

from typing import Any

import pytest

from gpuslice.sizing.architecture import Architecture
from gpuslice.sizing.tensors import Role, Tensor, layers_in, role_of
from gpuslice.sizing.weights import Weights, quantization_of, token_work, weights_of

MODEL = Architecture(name="x", layers=(), layer_count=2)


def a_tensor(name: str, kind: str, *shape: int, size: int) -> Tensor:
    return Tensor(name=name, kind=kind, shape=shape, bytes=size)


def kinds(weights: Weights) -> dict[str, int]:
    return {part.kind: part.bytes for part in weights.parts}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.embed_tokens.weight", Role.EMBEDDING),
        ("token_embd.weight", Role.EMBEDDING),
        ("transformer.wte.weight", Role.EMBEDDING),
        ("lm_head.weight", Role.OUTPUT),
        ("output.weight", Role.OUTPUT),
        ("model.layers.0.self_attn.o_proj.weight", Role.DENSE),
        ("blk.1.attn_output.weight", Role.DENSE),
        ("model.layers.1.mlp.experts.7.up_proj.weight", Role.EXPERT),
        ("model.layers.1.mlp.experts.gate_up_proj_blocks", Role.EXPERT),
        ("model.layers.1.mlp.shared_experts.up_proj.weight", Role.DENSE),
        ("model.layers.1.mlp.shared_expert.up_proj.weight", Role.DENSE),
        ("model.layers.1.block_sparse_moe.experts.0.w1.weight", Role.EXPERT),
        ("model.layers.1.block_sparse_moe.input_linear.weight", Role.EXPERT),
        ("blk.1.ffn_gate_exps.weight", Role.EXPERT),
        ("blk.1.ffn_gate_shexp.weight", Role.DENSE),
        ("model.layers.2.eh_proj.weight", Role.DRAFT),
        ("mtp.fc.weight", Role.DRAFT),
        ("visual.blocks.9.attn.qkv.weight", Role.TOWER),
        ("vision_tower.vision_model.encoder.layers.9.self_attn.k_proj.weight", Role.TOWER),
        ("multi_modal_projector.linear_1.weight", Role.TOWER),
    ],
)
def test_name_tells_what_a_tensor_is_for(name: str, role: Role) -> None:
    assert role_of(a_tensor(name, "BF16", 1, size=2), 2) is role


def test_towers_have_layers_of_their_own() -> None:
    names = ("model.layers.3.x", "visual.blocks.31.x", "model.norm.weight")
    assert layers_in(a_tensor(name, "BF16", size=2) for name in names) == 4


def test_tied_output_layer_counts_once_although_it_is_stored_twice() -> None:
    table = a_tensor("model.embed_tokens.weight", "BF16", 10, 5, size=100)
    output = a_tensor("lm_head.weight", "BF16", 10, 5, size=100)
    tied = Architecture(name="x", layers=(), layer_count=2, tied=True)
    assert weights_of([table, output], tied).bytes == 100
    assert weights_of([table, output], MODEL).bytes == 200
    assert weights_of([output], tied).bytes == 100  # the only one there is


def test_matrices_of_32_bits_can_be_held_in_16_and_vectors_stay() -> None:
    matrix = a_tensor("model.layers.0.a.weight", "F32", 10, 5, size=200)
    vector = a_tensor("model.layers.0.norm.weight", "F32", 10, size=40)
    assert weights_of([matrix, vector], MODEL).halved_bytes == 100


AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "group_size": 128}
GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 8}
BNB: dict[str, Any] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
BNB8: dict[str, Any] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
FP8: dict[str, Any] = {"quant_method": "fp8", "activation_scheme": "dynamic"}
CT8: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
}
CT4: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
}
NVFP4: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
CT_NVFP4: dict[str, Any] = {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}
MODELOPT8: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "FP8"}


@pytest.mark.parametrize(
    ("written", "method"),
    [
        (None, ("", 16)),
        (AWQ, ("awq", 4)),
        (GPTQ, ("gptq", 8)),
        (BNB, ("bitsandbytes", 4)),
        (BNB8, ("bitsandbytes", 8)),
        (FP8, ("fp8", 8)),
        (CT8, ("fp8", 8)),
        (CT4, ("compressed-tensors", 4)),
        (NVFP4, ("nvfp4", 4)),
        (CT_NVFP4, ("nvfp4", 4)),
        (MODELOPT8, ("fp8", 8)),
        ({"quant_method": "mxfp4"}, ("mxfp4", 4)),
        ({"quant_method": "brandnew"}, ("brandnew", 8)),
        ("nonsense", ("", 16)),
    ],
)
def test_packing_is_read_from_the_configuration(written: object, method: tuple[str, int]) -> None:
    assert quantization_of({"quantization_config": written}) == method
    assert quantization_of({"text_config": {"quantization_config": written}}) == method


PACKED = "model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(
    ("written", "tensors", "expected", "values"),
    [
        # 1,024 x 512 weights each, as each method stores them.
        (
            AWQ,
            [
                a_tensor(f"{PACKED}.qweight", "I32", 512, 128, size=262_144),
                a_tensor(f"{PACKED}.qzeros", "I32", 4, 128, size=2048),
                a_tensor(f"{PACKED}.scales", "F16", 4, 1024, size=8192),
            ],
            {"AWQ (4 bits)": 272_384},
            524_288,
        ),
        (
            GPTQ,
            [
                a_tensor(f"{PACKED}.qweight", "I32", 128, 1024, size=524_288),
                a_tensor(f"{PACKED}.g_idx", "I32", 512, size=2048),
            ],
            {"GPTQ (8 bits)": 526_336},
            524_288,
        ),
        (
            BNB,
            [
                a_tensor(f"{PACKED}.weight", "U8", 262_144, 1, size=262_144),
                a_tensor(f"{PACKED}.weight.absmax", "U8", 8192, size=8192),
                a_tensor(f"{PACKED}.weight.quant_state.bitsandbytes__nf4", "U8", 90, size=90),
            ],
            {"bitsandbytes (4 bits)": 270_426},
            524_288,
        ),
        (
            FP8,
            [
                a_tensor(f"{PACKED}.weight", "F8_E4M3", 1024, 512, size=524_288),
                a_tensor(f"{PACKED}.weight_scale_inv", "F32", 8, 4, size=128),
            ],
            {"fp8": 524_416},
            524_288,
        ),
        (
            NVFP4,
            [
                a_tensor(f"{PACKED}.weight", "U8", 1024, 256, size=262_144),
                a_tensor(f"{PACKED}.weight_scale", "F8_E4M3", 1024, 32, size=32_768),
                a_tensor(f"{PACKED}.weight_scale_2", "F32", size=4),
            ],
            {"NVFP4": 294_916},
            524_288,
        ),
        (
            {"quant_method": "mxfp4"},
            [
                a_tensor("model.layers.0.mlp.experts.x_blocks", "U8", 1024, 16, 16, size=262_144),
                a_tensor("model.layers.0.mlp.experts.x_scales", "U8", 1024, 16, size=16_384),
            ],
            {"MXFP4": 278_528},
            524_288,
        ),
    ],
)
def test_packed_weights_and_what_belongs_to_them_are_one_line(
    written: dict[str, Any], tensors: list[Tensor], expected: dict[str, int], values: int
) -> None:
    method, bits = quantization_of({"quantization_config": written})
    norm = a_tensor("model.norm.weight", "BF16", 512, size=1024)
    weights = weights_of([*tensors, norm], MODEL, method, bits)
    assert kinds(weights) == expected | {"bf16": 1024}
    assert sum(weights.values.values()) == values + 512


def test_types_of_gguf_are_told_in_their_own_words() -> None:
    tensors = [
        a_tensor("blk.0.a.weight", "Q4_K", 256, size=144),
        a_tensor("blk.0.b.weight", "F16", 256, size=512),
    ]
    assert kinds(weights_of(tensors, MODEL)) == {"fp16": 512, "Q4_K": 144}


def test_step_reads_everything_but_rows_towers_drafts_and_idle_experts() -> None:
    tensors = [
        a_tensor("model.embed_tokens.weight", "BF16", 50, size=100),
        a_tensor("lm_head.weight", "BF16", 50, size=100),
        a_tensor("model.layers.0.a.weight", "BF16", 5, size=10),
        a_tensor("model.layers.0.mlp.experts.0.up.weight", "BF16", 400, size=800),
        a_tensor("visual.blocks.0.x", "BF16", 500, size=1000),
        a_tensor("mtp.fc.weight", "BF16", 500, size=1000),
    ]
    moe = Architecture(name="x", layers=(), layer_count=2, experts=8, experts_per_token=2)
    work = token_work(moe, weights_of(tensors, moe))
    assert (work.step_bytes, work.expert_bytes) == (110, 800)
    assert work.flops_per_token == 2 * (50 + 5 + 100)
    tied = Architecture(name="x", layers=(), layer_count=2, tied=True)
    assert token_work(tied, weights_of(tensors, tied)).step_bytes == 110


def test_scales_of_32_bits_are_not_held_in_16() -> None:
    scale = Tensor(
        name="model.layers.0.mlp.up_proj.weight_scale_inv", kind="F32", shape=(8, 8), bytes=256
    )
    assert weights_of([scale], MODEL, "fp8", 8).halved_bytes == 0
