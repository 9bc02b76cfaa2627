"""Kinds of models whose cache or weights are unlike a dense bf16 model's, to be started for real.

Tensors and sizes stand in tests/data/models, which has only what sizing reads; here stands what
vLLM reads beside it to build the model. Separate from `random_models`, because those are told by a
handful of numbers and these are not. What only scales numbers (Falcon-H1's multipliers) is left
out, for weights are random anyway.

Source: the config.json of each model at its publisher, and the fields that vLLM 0.20.0 reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from benchmarks.random_models import Outline

from real_models import real_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A model of tests/data/models and what vLLM needs beside it.

    Attributes:
        name: What it is called.
        stem: Its file in tests/data/models.
        architecture: The class that vLLM builds.
        adds: What its config.json says beside what sizing reads.
        arguments: What vLLM is told for it.
    """

    name: str
    stem: str
    architecture: str
    adds: dict[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def outline_of_kind(kind: Kind) -> Outline:
    """Put a model's two halves together."""
    model = real_model(kind.stem)
    return Outline(
        name=kind.name,
        configuration=model.config | _ALL | {"architectures": [kind.architecture]} | kind.adds,
        tensors=model.tensors,
        arguments=kind.arguments,
    )


def _overrides(**values: object) -> tuple[str, str]:
    return "--hf-overrides", json.dumps(values)


_ALL: dict[str, Any] = {
    "torch_dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "attention_bias": False,
}
_SHORT_STEPS = ("--max-num-batched-tokens", "2048")
"""A window keeps itself and one step, so a step as long as the context would hide it."""

_DEEPSEEK = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 1,
    "topk_group": 1,
    "topk_method": "greedy",
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.0,
    "scoring_func": "softmax",
    "q_lora_rank": None,
    "rope_theta": 10_000,
    "rope_scaling": {
        "type": "yarn",
        "rope_type": "yarn",
        "factor": 40,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096,
    },
}
_GEMMA = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "query_pre_attn_scalar": 256,
    "tie_word_embeddings": True,
}
_GEMMA_3 = _GEMMA | {"rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0}
_GEMMA_2 = _GEMMA | {
    "rope_theta": 10_000.0,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}
_MAMBA = {"mamba_chunk_size": 256, "mamba_conv_bias": True, "mamba_proj_bias": False}
_FALCON = _MAMBA | {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 100_000_000_000.0,
    "mamba_chunk_size": 128,
    "mamba_norm_before_gate": False,
    "mamba_rms_norm": False,
    "mlp_bias": False,
    "projectors_bias": False,
}
_GRANITE = _MAMBA | {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "position_embedding_type": "nope",
    "attention_multiplier": 0.0078125,
    "embedding_multiplier": 12,
    "logits_scaling": 6,
    "residual_multiplier": 0.22,
}
_GPT_OSS = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "attention_bias": True,
    "swiglu_limit": 7.0,
    "experts_per_token": 4,
    "initial_context_length": 4096,
    "rope_theta": 150_000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 4096,
    },
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
}
_NEMOTRON = {
    "mlp_hidden_act": "relu2",
    "mamba_hidden_act": "silu",
    "layer_norm_epsilon": 1e-5,
    "rms_norm_eps": 1e-5,
    "chunk_size": 128,
    "use_bias": False,
    "mlp_bias": False,
    "use_conv_bias": True,
    "mamba_proj_bias": False,
    "residual_in_fp32": False,
}
_QWEN = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1_000_000}
_QWEN_CLASS = "Qwen3ForCausalLM"
# transformers 5.17 renames the kinds of layers, and vLLM 0.20.0 knows the names of config.json.
_GRANITE_LAYERS = real_model("granite-4.0-h-tiny").config["layer_types"]

KINDS = (
    Kind(name="DeepSeek-V2-Lite", stem="deepseek-v2-lite", architecture="DeepseekV2ForCausalLM",
         adds=_DEEPSEEK),
    Kind(name="Gemma-3-1B", stem="gemma-3-1b-it", architecture="Gemma3ForCausalLM",
         adds=_GEMMA_3, arguments=_SHORT_STEPS),
    Kind(name="Falcon-H1-0.5B", stem="falcon-h1-0.5b-instruct",
         architecture="FalconH1ForCausalLM", adds=_FALCON),
    Kind(name="Falcon-H1-0.5B prefixes", stem="falcon-h1-0.5b-instruct",
         architecture="FalconH1ForCausalLM", adds=_FALCON,
         arguments=("--enable-prefix-caching",)),
    Kind(name="Granite-4.0-H-Tiny", stem="granite-4.0-h-tiny",
         architecture="GraniteMoeHybridForCausalLM", adds=_GRANITE,
         arguments=_overrides(layer_types=_GRANITE_LAYERS)),
    # By its own name vLLM fetches OpenAI's table of tokens, for which there is no network.
    Kind(name="gpt-oss-20b", stem="gpt-oss-20b", architecture="GptOssForCausalLM",
         adds=_GPT_OSS,
         arguments=(*_SHORT_STEPS, *_overrides(model_type="gpt_oss_without_network"))),
    Kind(name="Qwen3-4B fp8 cache", stem="qwen3-4b", architecture=_QWEN_CLASS, adds=_QWEN,
         arguments=("--kv-cache-dtype", "fp8")),
    Kind(name="Qwen3-4B fp8 weights", stem="qwen3-4b", architecture=_QWEN_CLASS, adds=_QWEN,
         arguments=("--quantization", "fp8")),
    Kind(name="Nemotron-H-8B", stem="nemotron-h-8b-base-8k",
         architecture="NemotronHForCausalLM", adds=_NEMOTRON),
    Kind(name="Gemma-2-2B", stem="gemma-2-2b-it", architecture="Gemma2ForCausalLM",
         adds=_GEMMA_2, arguments=_SHORT_STEPS),
    Kind(name="Qwen3-Embedding-0.6B", stem="qwen3-embedding-0.6b", architecture=_QWEN_CLASS,
         adds=_QWEN, arguments=("--runner", "pooling")),
)  # fmt: skip
"""The kinds that are told apart by what they keep, the dearest to get wrong first."""
