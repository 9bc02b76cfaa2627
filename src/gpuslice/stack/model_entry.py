"""One model of a stack file: what is served, on what, and what a plan has to know of it.

Separate from the rest of the schema, because it is the part with most keys.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from gpuslice.stack.fields import (
    EngineName,
    Image,
    Memory,
    Neighbours,
    Rates,
    ReadyName,
    RuntimeWord,
    Slices,
    Spread,
    Texts,
    VariableName,
)
from gpuslice.stack.rules import MOST_FOR_A_TARGET, USUAL_CONTEXT, model_breaches
from gpuslice.stack.section import FileSection, refuse
from gpuslice.stack.target_entry import TargetEntry

__all__ = ["ModelEntry", "TargetEntry"]


class ModelEntry(FileSection):
    """One model of the stack: what is served, how often, on what slice and by which engine."""

    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        title="Model",
        description=(
            "What to serve: a hub name (org/name), a local folder with safetensors, or a .gguf "
            "file. Paths are relative to the stack file. Only `engine: command` can do without."
        ),
        examples=["Qwen/Qwen3-4B", "models/SmolLM2-135M-Instruct.Q4_1.gguf"],
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        title="Replicas",
        description=(
            "How many servers of this model, each on a slice of its own; 1 unless it is said. "
            f"With a target, the most slices it may get; {MOST_FOR_A_TARGET} unless it is said."
        ),
        examples=[2],
    )
    context_tokens: int = Field(
        default=USUAL_CONTEXT,
        ge=1,
        le=16_777_216,
        title="Context",
        description="Longest context of one request, prompt and answer together, in tokens.",
        examples=[8192],
    )
    concurrency: int = Field(
        default=4,
        ge=1,
        le=4096,
        title="Concurrency",
        description="Requests one replica answers at the same time, each with a full context.",
        examples=[8],
    )
    slice: Slices | None = Field(
        default=None,
        title="Slice",
        description=(
            "The MIG profile by name, a list of which any will do, or either by product. "
            "Leave it out and gpuslice finds the smallest that serves the model. A number is "
            "refused: profile ids differ between boards."
        ),
        examples=[
            "3g.40gb",
            ["1g.10gb", "2g.20gb"],
            {"NVIDIA H200": "1g.18gb", "NVIDIA A100-SXM4-80GB": ["1g.20gb", "2g.20gb"]},
        ],
    )
    memory: Memory | None = Field(
        default=None,
        title="Memory",
        description=(
            "Least memory of the slice, instead of `slice`: GiB, MiB, GB, or a number of MiB. "
            "Say it where gpuslice cannot know, as for a model that is not on this machine."
        ),
        examples=["18GiB", "18432MiB", 18432],
    )
    compute: int | None = Field(
        default=None,
        ge=1,
        le=64,
        title="Compute",
        description="Least compute slices of the slice (the 2 of 2g.20gb), beside its memory.",
        examples=[2],
    )
    target: TargetEntry | None = Field(
        default=None,
        title="Target",
        description=(
            "A throughput instead of a slice: any slices will do that reach it together, by what "
            "`throughput` says of each, or by an estimate where that is not given."
        ),
        examples=[{"tokens_per_s": 900}],
    )
    throughput: Rates | None = Field(
        default=None,
        title="Throughput",
        description=(
            "What one slice was measured to give, in the unit of `target`: by profile, or by "
            "product and profile. Profiles that are not named are not used. It wins over any "
            "estimate."
        ),
        examples=[
            {"1g.10gb": 120, "2g.20gb": 260},
            {"NVIDIA H200": {"1g.18gb": 190.5}, "2g.20gb": 260},
        ],
    )
    priority: int = Field(
        default=0,
        ge=-1000,
        le=1000,
        title="Priority",
        description=(
            "Where not everything fits, models of higher priority are served first, whatever that "
            "costs the others."
        ),
        examples=[10],
    )
    move_cost: int = Field(
        default=1,
        ge=0,
        le=1000,
        title="Cost of a move",
        description=(
            "What it counts when a running replica changes its slice, against those of other "
            "models."
        ),
        examples=[5, 0],
    )
    pinned: bool = Field(
        default=False,
        title="Pinned",
        description="True to leave every running replica on the slice it has.",
        examples=[True],
    )
    spread: Spread = Field(
        default=None,
        title="Spread",
        description=(
            "True to keep replicas of this model on GPUs of their own; a number for so many on "
            "one GPU at most."
        ),
        examples=[True, 2],
    )
    near: Neighbours = Field(
        default=(),
        title="Near",
        description=(
            "A model, or several: each GPU that holds a replica of this one holds one of them too."
        ),
        examples=["other", ["other"]],
    )
    away: Neighbours = Field(
        default=(),
        title="Away",
        description="A model, or several: no GPU that holds a replica of this one holds any.",
        examples=["other", ["other"]],
    )
    engine: EngineName | None = Field(
        default=None,
        title="Engine",
        description=(
            "Which model server: vllm, sglang, llama.cpp (for .gguf files), or command (your own). "
            "Default: llama.cpp for a .gguf file, else vllm."
        ),
        examples=["vllm"],
    )
    program: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        title="Program",
        description=(
            "The engine's program where it is not the one on PATH, such as the vllm of another "
            "environment; paths are relative to the stack file. With llama.cpp: a llama-server. "
            "In a container, a program of the image."
        ),
        examples=["/opt/vllm/bin/vllm", "/opt/llama.cpp/llama-server"],
    )
    runtime: RuntimeWord | None = Field(
        default=None,
        title="Runtime",
        description="Where its servers run, instead of what the stack says: docker or process.",
        examples=["process"],
    )
    image: Image | None = Field(
        default=None,
        title="Image",
        description=(
            "The image of its containers instead of the engine's usual one, with a tag or a "
            "digest; its servers then run in Docker."
        ),
        examples=["vllm/vllm-openai:v0.24.0"],
    )
    port: int | None = Field(
        default=None,
        ge=1024,
        le=65535,
        title="Port",
        description=(
            "Port of its first replica on loopback, the next ones follow; any free ports unless "
            "it is said. Clients use the gateway's port."
        ),
        examples=[21000],
    )
    host_memory: Memory | None = Field(
        default=None,
        title="Host memory",
        description=(
            "Most memory of the machine (not of the GPU) that one container of it may take, "
            "written as under `memory`; no limit unless it is said."
        ),
        examples=["24GiB"],
    )
    ready: ReadyName | None = Field(
        default=None,
        title="Ready",
        description=(
            "What a server must answer before it counts as ready: completion, chat or embedding "
            "(a request of one token), or health (GET /health alone). Default: the first of the "
            "three that its model can answer; health for `engine: command`."
        ),
        examples=["chat", "health"],
    )
    args: Texts = Field(
        default=(),
        title="Arguments",
        description="Further arguments for the engine, one list item each; they come last and win.",
        examples=[["--enable-prefix-caching"]],
    )
    command: Texts = Field(
        default=(),
        title="Command",
        description=(
            "Your own server, for `engine: command`: program and arguments, one list item each. "
            "{host}, {port}, {model}, {memory_mib}, {uuid}, {name}, {context_tokens} and "
            "{concurrency} are filled in; {{ and }} stand for braces. It must listen on "
            "{host}:{port}, which is loopback except in a container of its own network, and answer "
            "GET /health with 200 when it is ready."
        ),
        examples=[["my-server", "--port", "{port}", "--model", "{model}"]],
    )
    environment: dict[VariableName, str] = Field(
        default_factory=dict,
        title="Environment",
        description=(
            "Variables for the server. Those that bind it to its slice are set by gpuslice. "
            "Keep secrets out of this file: variables such as HF_TOKEN are passed on."
        ),
        examples=[{"VLLM_LOGGING_LEVEL": "WARNING"}],
    )

    @property
    def engine_name(self) -> EngineName:
        """The engine that serves it: the one named, or the one that suits the model."""
        if self.engine is not None:
            return self.engine
        return "llama.cpp" if (self.model or "").lower().endswith(".gguf") else "vllm"

    @property
    def most_replicas(self) -> int:
        """How many slices it gets: as many as it says, or with a target at most so many."""
        return self.replicas or (1 if self.target is None else MOST_FOR_A_TARGET)

    @model_validator(mode="after")
    def _keep_rules(self) -> ModelEntry:
        """Refuse combinations that `rules` forbids, also where no file was read."""
        refuse(model_breaches(self.model_dump(exclude_defaults=True)))
        return self
