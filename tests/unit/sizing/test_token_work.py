"""What generating costs, read from files with the tensors of real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import the_small_model
from gpuslice.errors import SizingError
from gpuslice.sizing.token_work import config_work, read_work
from model_files import F16, TINY_LLAMA, gguf_bytes, qwen3_tensors, write_safetensors

QWEN3_0_6B = {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
QWEN3_30B_A3B = QWEN3_0_6B | {
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "hidden_size": 2048,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "tie_word_embeddings": False,
}
QWEN3_30B_A3B_BYTES = 61_064_245_248  # 30.53 billion parameters in bf16


def test_folder_with_tied_embeddings_reads_all_of_its_weights_for_each_token(
    tmp_path: Path,
) -> None:
    tensors = qwen3_tensors(layers=28, width=1024, inner=3072, kv_heads=8, heads=16, tied=True)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_0_6B))
    made = read_work(str(tmp_path))
    assert made.work.step_bytes == sum(size for _, _, size in tensors.values())
    assert made.work.flops_per_token == made.work.step_bytes  # two for each of two bytes
    assert made.work.kv_bytes_per_token == 114_688
    assert made.work.flops_per_context_token == 28 * 16 * 128 * 4
    assert not made.fp8


def test_three_of_thirty_billion_parameters_take_part_in_qwen3_30b_a3b() -> None:
    work = config_work(QWEN3_30B_A3B, QWEN3_30B_A3B_BYTES, "x")
    assert work.expert_bytes == 48 * 128 * 3 * 2048 * 768 * 2
    assert (work.experts, work.experts_per_token) == (128, 8)
    # Published: 3.3 billion activated, the embedding tables (0.62 billion) among them.
    assert 2.7e9 < work.flops_per_token / 2 < 3.3e9


def test_untied_embedding_table_is_not_read() -> None:
    untied = QWEN3_0_6B | {"tie_word_embeddings": False}
    tied, apart = (config_work(c, 2 * 10**9, "x").step_bytes for c in (QWEN3_0_6B, untied))
    assert tied - apart == 151_936 * 1024 * 2


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ({"quant_method": "fp8"}, 2),
        ({"quant_method": "awq", "bits": 4}, 4),
        ({"quant_method": "gptq", "bits": "many"}, 1),
        ("nonsense", 1),
    ],
)
def test_quantized_weights_are_multiplied_as_often_as_they_stand_for(
    how: object, times: int
) -> None:
    work = config_work(QWEN3_0_6B | {"quantization_config": how}, 10**9, "x")
    assert work.flops_per_token == times * 10**9


def test_models_that_also_see_are_read_by_the_part_that_speaks() -> None:
    config = {"text_config": QWEN3_0_6B, "tie_word_embeddings": True}
    assert config_work(config, 10**9, "x") == config_work(QWEN3_0_6B, 10**9, "x")


def test_configuration_that_contradicts_its_weights_is_told() -> None:
    with pytest.raises(SizingError, match="fewer weights than its configuration says"):
        config_work(QWEN3_30B_A3B, 10**9, "x")


def test_gguf_counts_elements_whatever_their_type() -> None:
    made = read_work(str(the_small_model())).work
    # SmolLM2-135M: 134.5 million parameters, tied; 30 layers of 3 KV heads and 9 heads of 64.
    assert made.flops_per_token == pytest.approx(2 * 134_515_008, rel=1e-3)
    assert made.kv_bytes_per_token == 30 * 3 * 64 * 2 * 2
    assert made.flops_per_context_token == 30 * 9 * 64 * 4


def test_gguf_tells_experts_from_the_rest_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    experts = {"llama.expert_count": 4, "llama.expert_used_count": 1}
    tensors = [
        ("token_embd.weight", (64, 3), F16),
        ("output.weight", (64, 3), F16),
        ("blk.0.ffn_up_exps.weight", (64, 8, 4), F16),
    ]
    path.write_bytes(gguf_bytes({**TINY_LLAMA, **experts}, tensors))
    work = read_work(str(path)).work
    assert (work.step_bytes, work.expert_bytes) == (64 * 3 * 2, 64 * 8 * 4 * 2)
    assert work.flops_per_token == 2 * (64 * 3 + 64 * 8 * 4 // 4)
    path.write_bytes(gguf_bytes(TINY_LLAMA, tensors))
    with pytest.raises(SizingError, match="has experts and does not say how many"):
        read_work(str(path))


def test_hub_name_cannot_be_estimated() -> None:
    with pytest.raises(SizingError, match="not on this machine") as caught:
        read_work("Qwen/Qwen3-4B")
    assert "`throughput:`" in caught.value.hint
