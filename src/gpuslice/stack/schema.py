"""What may stand in a stack file: keys, types, defaults, and what each is for.

pydantic lives here and nowhere deeper: the rest of the house takes values from these models and
passes on its own. The descriptions are the documentation: the JSON schema for editors is made of
them. How single values are written is in `notation`, what must hold between keys in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
    model_validator,
)

from gpuslice.stack import notation
from gpuslice.stack.rules import model_breaches, price_breaches

EngineName = Literal["vllm", "llama.cpp", "command"]

_GPUS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"const": "all"},
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {
                "anyOf": [
                    {"type": "integer", "minimum": 0},
                    {"type": "string", "pattern": "^GPU-"},
                ]
            },
        },
    ]
}
_MEMORY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": notation.MEMORY_PATTERN},
    ]
}

StackName = Annotated[
    str,
    BeforeValidator(notation.stack_name),
    WithJsonSchema({"type": "string", "pattern": notation.STACK_NAME_PATTERN}),
]
Currency = Annotated[
    str,
    BeforeValidator(notation.currency),
    WithJsonSchema({"type": "string", "pattern": notation.CURRENCY_PATTERN}),
]
ModelName = Annotated[str, AfterValidator(notation.model_name), WithJsonSchema({"type": "string"})]
Gpus = Annotated[
    notation.GpuChoice,
    PlainValidator(notation.gpu_choice),
    PlainSerializer(notation.written_gpus),
    WithJsonSchema(_GPUS_SCHEMA),
]
Memory = Annotated[int, BeforeValidator(notation.memory_mib), WithJsonSchema(_MEMORY_SCHEMA)]
ProfileName = Annotated[
    str,
    BeforeValidator(notation.profile_name),
    WithJsonSchema({"type": "string", "pattern": notation.PROFILE_PATTERN}),
]
VariableName = Annotated[str, AfterValidator(notation.variable_name)]
Texts = Annotated[tuple[str, ...], Strict(strict=False)]  # YAML and JSON give lists


class FileSection(BaseModel):
    """What every part of the file has in common: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    replicas: int = Field(
        default=1,
        ge=1,
        le=1000,
        title="Replicas",
        description="How many servers of this model, each on a slice of its own.",
        examples=[2],
    )
    context_tokens: int = Field(
        default=4096,
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
    slice: ProfileName | None = Field(
        default=None,
        title="Slice",
        description=(
            "The MIG profile by name. Leave it out and gpuslice finds the smallest that serves "
            "the model. A number is refused: profile ids differ between boards."
        ),
        examples=["3g.40gb", "1g.10gb+me"],
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
    engine: EngineName | None = Field(
        default=None,
        title="Engine",
        description=(
            "Which model server: vllm, llama.cpp (for .gguf files), or command (your own). "
            "Default: llama.cpp for a .gguf file, else vllm."
        ),
        examples=["vllm"],
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
            "{port}, {model}, {memory_mib}, {uuid}, {name}, {context_tokens} and {concurrency} "
            "are filled in; {{ and }} stand for braces. It must listen on 127.0.0.1:{port} and "
            "answer GET /health with 200 when it is ready."
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

    @model_validator(mode="after")
    def _keep_rules(self) -> ModelEntry:
        """Refuse combinations that `rules` forbids, also where no file was read."""
        for breach in model_breaches(self.model_dump(exclude_defaults=True)):
            raise notation.BreachError(breach.text)
        return self


class GatewayEntry(FileSection):
    """The one endpoint in front of all models."""

    port: int = Field(
        default=8080,
        ge=1,
        le=65535,
        title="Port",
        description="Port of the OpenAI-compatible endpoint.",
        examples=[8080],
    )
    host: Annotated[str, BeforeValidator(notation.host)] = Field(
        default="127.0.0.1",
        title="Address",
        description=(
            "Address to listen on. The default can be reached from this machine only; with "
            "another one, use `api_keys_file`."
        ),
        examples=["127.0.0.1", "0.0.0.0"],  # noqa: S104 - an example in documentation
    )
    api_keys_file: str | None = Field(
        default=None,
        min_length=1,
        title="File of API keys",
        description=(
            "A file with one key per line, readable by its owner only (chmod 600). When it is "
            "given, clients must send one of the keys. Keys themselves never stand in this file."
        ),
        examples=["keys.txt"],
    )


class PriceEntry(FileSection):
    """What one card costs: by the month or by the hour."""

    per_month: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        title="Per month",
        description="Price of one card per month (730 hours).",
        examples=[1380],
    )
    per_hour: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        title="Per hour",
        description="Price of one card per hour.",
        examples=[1.89],
    )
    currency: Currency = Field(
        default="EUR",
        title="Currency",
        description="Code of the currency (ISO 4217).",
        examples=["EUR", "USD"],
    )

    @model_validator(mode="after")
    def _keep_rules(self) -> PriceEntry:
        for breach in price_breaches(self.model_dump(exclude_none=True)):
            raise notation.BreachError(breach.text)
        return self


class Stack(FileSection):
    """A stack file: which models, on which GPUs, behind which endpoint, at what price."""

    name: StackName = Field(
        default="gpuslice",
        title="Name",
        description="Name of the stack; its slices and servers carry it.",
        examples=["assistants"],
    )
    gpus: Gpus = Field(
        default="all",
        title="GPUs",
        description="Which GPUs the stack may use: all, indexes as in nvidia-smi, or UUIDs.",
        examples=["all", [0, 1], ["GPU-7b1c8a4e-0000-4000-8000-000000000000"]],
    )
    models: dict[ModelName, ModelEntry] = Field(
        min_length=1,
        title="Models",
        description='The models, by the name that clients send as "model".',
        json_schema_extra={"propertyNames": {"pattern": notation.MODEL_NAME_PATTERN}},
        examples=[{"chat": {"model": "Qwen/Qwen3-4B", "slice": "2g.20gb"}}],
    )
    gateway: GatewayEntry = Field(
        default_factory=GatewayEntry,
        title="Gateway",
        description="The one OpenAI-compatible endpoint in front of all models.",
        examples=[{"port": 8080}],
    )
    prices: dict[str, PriceEntry] = Field(
        default_factory=dict,
        title="Prices",
        description="What a card costs, by product name as 'gpuslice gpus' shows it.",
        examples=[{"NVIDIA A100-SXM4-80GB": {"per_month": 1380, "currency": "EUR"}}],
    )
