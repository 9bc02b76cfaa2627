"""Start real vLLM servers on a whole card and compare what they took with what was predicted.

    python -m benchmarks.sizing --program /path/to/vllm --out measured.json

Needs an NVIDIA card that nothing else uses, and vLLM. No weights are needed: a model here is its
real configuration, a file with the header of its real tensors and nothing behind it, and a small
tokenizer; vLLM fills the weights with random numbers (``--load-format dummy``). The server is
launched as on a slice: by the engine's own command line, through the process runtime, with what
was predicted as the limit of its memory.

What a server needs is put together from what it logs and what the card shows: its weights, the KV
cache of the load that was asked for, what it measured for one step, and what it takes beside its
share. It uses no MIG, changes no setting of the card, and ends what it started.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.vllm import Vllm
from gpuslice.model.demand import ReplicaId
from gpuslice.model.machine import Machine
from gpuslice.runtime.ports import free_port
from gpuslice.runtime.process import ProcessRuntime
from gpuslice.runtime.ready import ask
from gpuslice.sizing.estimate import Sized
from gpuslice.sizing.size import size_model

CONTEXT_TOKENS, CONCURRENCY = 8192, 32
STARTED_WITHIN_S = 300.0
GIB = 1024

_LOGGED = {
    "weights_gib": r"Model loading took ([\d.]+) GiB",
    "available_gib": r"Available KV cache memory: ([\d.]+) GiB",
    "cache_tokens": r"GPU KV cache size: ([\d,]+) tokens",
    "graphs_gib": r"Graph capturing finished in .*?took ([\d.]+) GiB",
}


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
class Measured:
    """One server: predicted and measured, MiB.

    Attributes:
        shape: Name of the model.
        eager: Whether graphs were left out.
        weights_predicted: Weights, predicted.
        weights: Weights, as vLLM logs them.
        cache_bytes_predicted: KV cache of one token, bytes, predicted.
        cache_bytes: The same, from the cache's size and its tokens.
        need_predicted: Least memory of a slice for the load, predicted.
        need: What the server needs for it, measured.
        step: What vLLM measured for one step, within its share.
        beside: What it takes beside its share.
        started_s: From start to the first answered request, seconds.
    """

    shape: str
    eager: bool
    weights_predicted: float
    weights: float
    cache_bytes_predicted: float
    cache_bytes: float
    need_predicted: int
    need: float
    step: float
    beside: float
    started_s: float


def main() -> None:
    """Measure every shape that was asked for, and write a table as it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True, help="path of vllm")
    parser.add_argument("--python-path", default="", help="PYTHONPATH of the server")
    parser.add_argument("--shape", action="append", help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="where to write what was measured")
    asked = parser.parse_args()
    found: list[Measured] = []
    print(HEAD)
    for shape in SHAPES:
        if asked.shape and shape.name not in asked.shape:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(shape, Path(folder), asked.program, asked.python_path))
        print(row(found[-1]), flush=True)
        asked.out.write_text(json.dumps([asdict(one) for one in found], indent=1))


def measure(shape: Shape, folder: Path, program: str, python_path: str) -> Measured:
    """Start one server, see what it takes, and end it."""
    model = folder / "model"
    write_model(shape, model)
    sized = size_model(
        str(model), engine="vllm", context_tokens=CONTEXT_TOKENS, concurrency=CONCURRENCY
    )
    total_mib = _card("memory.total")
    request = ServeRequest(
        stack="sizing",
        replica=ReplicaId(shape.name.lower().replace(".", "-"), 0),
        source=str(model),
        slice_uuid="0",
        slice_memory_mib=_cuda_total_mib(python_path, program) or total_mib,
        memory_limit_mib=sized.memory_mib,
        port=free_port([]),
        context_tokens=CONTEXT_TOKENS,
        concurrency=CONCURRENCY,
        args=("--load-format", "dummy", *(("--enforce-eager",) if shape.eager else ())),
        environment=(("PYTHONPATH", python_path),) if python_path else (),
        program=program,
    )
    machine = Machine(root=folder / "state")
    runtime = ProcessRuntime(machine)
    launch = Vllm().launch(request)
    before_mib, started = _card("memory.used"), time.monotonic()
    server = runtime.start(launch)
    try:
        while not ask(launch).ready:
            if not runtime.list() or time.monotonic() - started > STARTED_WITHIN_S:
                log = (machine.log_dir / f"{launch.name}.log").read_text(errors="replace")
                raise SystemExit(f"{shape.name} did not start:\n{log[-3000:]}")
            time.sleep(1.0)
        took_s = time.monotonic() - started
        used_mib = _card("memory.used") - before_mib
        log = (machine.log_dir / f"{launch.name}.log").read_text(errors="replace")
    finally:
        runtime.stop(server)
    return _put_together(shape, sized, request, log, used_mib, took_s)


def _put_together(
    shape: Shape, sized: Sized, request: ServeRequest, log: str, used_mib: int, took_s: float
) -> Measured:
    logged = {key: _last(pattern, log) for key, pattern in _LOGGED.items()}
    share = float(_last(r"'gpu_memory_utilization': ([\d.]+)", log) or 0)
    managed = share * request.slice_memory_mib
    weights, available = logged["weights_gib"] * GIB, logged["available_gib"] * GIB
    token_mib = available / logged["cache_tokens"]
    # At rest the card shows less than a whole step takes, so what is beside may seem negative.
    step, beside = managed - weights - available, max(0.0, used_mib - managed)
    cache = CONTEXT_TOKENS * CONCURRENCY * token_mib
    return Measured(
        shape=shape.name,
        eager=shape.eager,
        weights_predicted=sum(p.memory_mib for p in sized.parts if p.name.startswith("weights")),
        weights=weights,
        cache_bytes_predicted=sized.cache_bytes / CONTEXT_TOKENS,
        cache_bytes=token_mib * 1024**2,
        need_predicted=sized.memory_mib,
        need=weights + cache + step + beside,
        step=step,
        beside=beside,
        started_s=took_s,
    )


HEAD = (
    "| shape | graphs | weights MiB: predicted, measured | KV bytes per token "
    "| need MiB: predicted, measured | off | s to answer |\n|---|---|---|---|---|---|---|"
)


def row(one: Measured) -> str:
    """Write one line of the table."""
    off = one.need_predicted / one.need - 1
    return (
        f"| {one.shape} | {'no' if one.eager else 'yes'} "
        f"| {one.weights_predicted:,.0f}, {one.weights:,.0f} "
        f"| {one.cache_bytes_predicted:,.0f}, {one.cache_bytes:,.0f} "
        f"| {one.need_predicted:,}, {one.need:,.0f} | {off:+.1%} | {one.started_s:.0f} |"
    )


def write_model(shape: Shape, folder: Path) -> None:
    """Write a model without weights: configuration, tensors' header, tokenizer."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(configuration(shape)))
    header: dict[str, Any] = {}
    end = 0
    for name, dimensions in tensors(shape):
        size = 2
        for dimension in dimensions:
            size *= dimension
        header[name] = {"dtype": "BF16", "shape": dimensions, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    _write_tokenizer(folder)


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


def _write_tokenizer(folder: Path) -> None:
    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{n}": n for n in range(3, 1000)}
    tokenizer = {
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


def _last(pattern: str, log: str) -> float:
    found = re.findall(pattern, log)
    return float(found[-1].replace(",", "")) if found else 0.0


def _card(field: str) -> int:
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout.strip())


def _cuda_total_mib(python_path: str, program: str) -> int:
    """Ask CUDA for the device's total, which is what the engine's share is of."""
    python = Path(program).read_text(errors="replace").partition("\n")[0].removeprefix("#!").strip()
    script = "import torch; print(torch.cuda.mem_get_info(0)[1] >> 20)"
    environment = {"PYTHONPATH": python_path, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [python or "python3", "-c", script],
        capture_output=True, text=True, check=False, timeout=120, env=environment,
    )  # fmt: skip
    return int(done.stdout.strip() or 0)


if __name__ == "__main__":
    main()
