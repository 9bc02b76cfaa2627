"""The model families whose configuration is understood, by their ``model_type``.

Separate, because it is a list and grows: a family that is not on it is sized all the same, by the
rule that gives most, and marked as an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping

ENCODERS = frozenset({
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "eurobert",
    "gte", "modernbert", "mpnet", "new", "nomic_bert", "roberta", "xlm-roberta", "xlm-roberta-xl",
})  # fmt: skip
"""Families that answer in one step and keep nothing: embedding models and rerankers."""

_DECODERS = frozenset({
    "apertus", "arcee", "baichuan", "bamba", "bart", "bloom", "chatglm", "codegen", "cohere",
    "cohere2", "dbrx", "deepseek_v2", "deepseek_v3", "deepseek_v32", "ernie4_5", "ernie4_5_moe",
    "exaone", "exaone4", "falcon", "falcon_h1", "falcon_mamba", "gemma", "gemma2", "gemma3",
    "gemma3_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "glm4v_moe_text", "glm4v_text",
    "gpt2", "gpt_bigcode", "gpt_neox", "gpt_oss", "gptj", "granite", "granitemoe",
    "granitemoehybrid", "granitemoeshared", "hunyuan_v1_dense", "hunyuan_v1_moe", "internlm2",
    "internlm3", "jamba", "kimi_k2", "kimi_linear", "lfm2", "lfm2_moe", "llama", "llama4",
    "llama4_text", "mamba", "mamba2", "minicpm", "minicpm3", "minimax", "minimax_m1",
    "minimax_m2", "minimax_text_01", "ministral", "ministral3", "mistral", "mixtral",
    "mllama_text_model", "mpt", "nemotron", "nemotron-nas", "nemotron_h", "olmo", "olmo2", "olmo3",
    "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_moe",
    "qwen2_vl", "qwen2_vl_text", "qwen3", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe",
    "qwen3_next", "qwen3_vl_moe_text", "qwen3_vl_text", "recurrent_gemma", "seed_oss", "smollm3",
    "solar", "stablelm", "starcoder2", "t5", "whisper", "xverse",
})  # fmt: skip

INNER_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    # What an inner configuration means where it leaves a key out: the family's own default. The
    # small Gemma 3 and the LLaVA family rely on it.
    "gemma3_text": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
    "llama": {"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096},
    "mistral": {
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "hidden_size": 4096,
    },
}


def is_known(family: str) -> bool:
    """Tell whether a family's configuration is understood."""
    return family in ENCODERS or family in _DECODERS
