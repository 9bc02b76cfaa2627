"""Models without weights: real configurations, so that a real server can be started on one.

A model here is its real configuration, a file with the header of its real tensors and nothing
behind it, and a tokenizer with a made-up word for each token; vLLM fills the weights with random
numbers (``--load-format dummy``). Separate, because memory and speed are measured on the same ones.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuslice.sizing.tensors import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model by the numbers of its configuration.

    Attributes:
        name: What it is called.
        family: ``llama``, ``qwen3`` or ``qwen3_moe``.
        hidden: Width of a token.
        inner: Width of a feed-forward layer, or of one expert.
        layers: How many layers.
        heads: Query heads.
        kv_heads: Key and value heads.
        head: Size of a head.
        vocabulary: Tokens.
        tied: Whether the table of tokens serves both ends.
        experts: Experts of a layer; 0 for none.
        eager: Whether graphs are left out.
    """

    name: str
    family: str
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool
    experts: int = 0
    eager: bool = True


SHAPES = (
    Shape(name="SmolLM2-135M", family="llama", hidden=576, inner=1536, layers=30, heads=9,
          kv_heads=3, head=64, vocabulary=49_152, tied=True),
    Shape(name="Qwen3-0.6B", family="qwen3", hidden=1024, inner=3072, layers=28, heads=16,
          kv_heads=8, head=128, vocabulary=151_936, tied=True),
    Shape(name="Qwen3-4B", family="qwen3", hidden=2560, inner=9728, layers=36, heads=32,
          kv_heads=8, head=128, vocabulary=151_936, tied=True, eager=False),
    Shape(name="Llama-3.1-8B", family="llama", hidden=4096, inner=14_336, layers=32, heads=32,
          kv_heads=8, head=128, vocabulary=128_256, tied=False),
    Shape(name="Qwen3-14B", family="qwen3", hidden=5120, inner=17_408, layers=40, heads=40,
          kv_heads=8, head=128, vocabulary=151_936, tied=False),
    Shape(name="Qwen3-30B-A3B", family="qwen3_moe", hidden=2048, inner=768, layers=48, heads=32,
          kv_heads=4, head=128, vocabulary=151_936, tied=False, experts=128),
)  # fmt: skip
"""Sources: the config.json of each model at its publisher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """All that can be written of a model without its weights, and how it is started.

    Attributes:
        name: What it is called.
        configuration: Its config.json.
        tensors: Its tensors.
        arguments: What vLLM is told beside what gpuslice tells it; sizing hears it as well.
        eager: Whether graphs are left out.
    """

    name: str
    configuration: dict[str, Any]
    tensors: tuple[Tensor, ...]
    arguments: tuple[str, ...] = ()
    eager: bool = True


def outline_of(shape: Shape) -> Outline:
    """Write out a model that is told by its numbers."""
    return Outline(
        name=shape.name,
        configuration=configuration(shape),
        tensors=tuple(
            Tensor(name=name, kind="BF16", shape=tuple(sizes), bytes=2 * math.prod(sizes))
            for name, sizes in tensors(shape)
        ),
        eager=shape.eager,
    )


def write_model(model: Outline, folder: Path) -> None:
    """Write a model without weights: configuration, tensors' header, tokenizer."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model.configuration))
    header: dict[str, Any] = {}
    end = 0
    for tensor in model.tensors:
        offsets = [end, end + tensor.bytes]
        header[tensor.name] = {
            "dtype": tensor.kind,
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        end = offsets[1]
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    _write_tokenizer(folder, model.configuration["vocab_size"])


def configuration(shape: Shape) -> dict[str, Any]:
    """Write the numbers as a config.json has them."""
    names = {
        "llama": "LlamaForCausalLM",
        "qwen3": "Qwen3ForCausalLM",
        "qwen3_moe": "Qwen3MoeForCausalLM",
    }
    moe = {
        "num_experts": shape.experts,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": shape.inner,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
    }
    return {
        "architectures": [names[shape.family]],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "intermediate_size": 6144 if shape.experts else shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": 32_768,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "attention_bias": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 1,
        **(moe if shape.experts else {}),
    }


def tensors(shape: Shape) -> Iterator[tuple[str, list[int]]]:
    """Yield every tensor of a model, as its safetensors files name them."""
    query, key = shape.heads * shape.head, shape.kv_heads * shape.head
    yield "model.embed_tokens.weight", [shape.vocabulary, shape.hidden]
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        yield at + "self_attn.q_proj.weight", [query, shape.hidden]
        yield at + "self_attn.k_proj.weight", [key, shape.hidden]
        yield at + "self_attn.v_proj.weight", [key, shape.hidden]
        yield at + "self_attn.o_proj.weight", [shape.hidden, query]
        if shape.family != "llama":
            yield at + "self_attn.q_norm.weight", [shape.head]
            yield at + "self_attn.k_norm.weight", [shape.head]
        yield at + "input_layernorm.weight", [shape.hidden]
        yield at + "post_attention_layernorm.weight", [shape.hidden]
        if shape.experts:
            yield at + "mlp.gate.weight", [shape.experts, shape.hidden]
        units = [f"mlp.experts.{n}." for n in range(shape.experts)] or ["mlp."]
        for unit in units:
            yield at + unit + "gate_proj.weight", [shape.inner, shape.hidden]
            yield at + unit + "up_proj.weight", [shape.inner, shape.hidden]
            yield at + unit + "down_proj.weight", [shape.hidden, shape.inner]
    yield "model.norm.weight", [shape.hidden]
    if not shape.tied:
        yield "lm_head.weight", [shape.vocabulary, shape.hidden]


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{n}": n for n in range(3, vocabulary - 1)}
    words["<|end|>"] = vocabulary - 1  # vLLM looks for it where a model may reason (gpt-oss)
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
