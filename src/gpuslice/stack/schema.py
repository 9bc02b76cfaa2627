"""What may stand in a stack file: keys, types, defaults, and what each is for.

pydantic lives here and nowhere deeper: the rest of the house takes values from these models and
passes on its own. The descriptions are the documentation: the JSON schema for editors is made of
them. How single values are written is in `notation`, what must hold between keys in `rules`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from gpuslice.stack import notation
from gpuslice.stack.fields import (
    Commands,
    Currency,
    DrainedGpus,
    EngineAddress,
    Gpus,
    Image,
    ModelName,
    NetworkWord,
    ProductName,
    PullWord,
    RuntimeWord,
    StackName,
)
from gpuslice.stack.model_entry import ModelEntry
from gpuslice.stack.place_rules import gateway_breaches, place_breaches
from gpuslice.stack.rules import neighbour_breaches, price_breaches
from gpuslice.stack.section import FileSection, refuse
from gpuslice.stack.target_entry import TargetEntry

__all__ = [
    "DockerEntry",
    "GatewayEntry",
    "HooksEntry",
    "ModelEntry",
    "PriceEntry",
    "Stack",
    "TargetEntry",
]

_NEIGHBOURS = {"near", "away"}


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
        max_length=4096,
        title="File of API keys",
        description=(
            "A file with one key per line, readable by its owner only (chmod 600). When it is "
            "given, clients must send one of the keys. Keys themselves never stand in this file."
        ),
        examples=["keys.txt"],
    )
    runtime: RuntimeWord = Field(
        default="process",
        title="Runtime",
        description="Where the gateway itself runs: as a process, or in a container.",
        examples=["docker"],
    )
    image: Image | None = Field(
        default=None,
        title="Image",
        description="The image of its container, with `runtime: docker`; ours unless it is said.",
        examples=["gpuslice/gpuslice:0.1.0"],
    )

    @model_validator(mode="after")
    def _keep_rules(self) -> GatewayEntry:
        refuse(gateway_breaches(self.model_dump(exclude_none=True)))
        return self


class DockerEntry(FileSection):
    """The Docker engine for whatever runs in containers."""

    network: NetworkWord | None = Field(
        default=None,
        title="Network",
        description=(
            "How containers are reached: `bridge` gives each a network of its own and publishes "
            "one port on loopback, `host` gives it the machine's. Default: bridge where the engine "
            "has one, else host."
        ),
        examples=["host"],
    )
    pull: PullWord = Field(
        default="missing",
        title="Pull",
        description="When images are fetched: missing (not here yet), always, or never.",
        examples=["never"],
    )
    host: EngineAddress | None = Field(
        default=None,
        title="Host",
        description=(
            "Where the engine listens, written as in DOCKER_HOST. Default: what that variable "
            "says, else the usual socket. A docker context is not looked at."
        ),
        examples=["unix:///run/user/1000/docker.sock"],
    )


class HooksEntry(FileSection):
    """Commands around every change of slices, such as those that stop and start a monitor."""

    before: Commands = Field(
        default=(),
        title="Before",
        description=(
            "Commands to run before slices or MIG modes are changed, each a list of a program and "
            "its arguments; no shell. They get the plan as JSON on standard input. One that fails "
            "stops the change, with nothing touched."
        ),
        examples=[[["systemctl", "stop", "dcgm-exporter"]]],
    )
    after: Commands = Field(
        default=(),
        title="After",
        description=(
            "Commands to run when the slices are as planned, before servers start; also when the "
            "change failed and was undone. One that fails undoes the change."
        ),
        examples=[[["systemctl", "start", "dcgm-exporter"]]],
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        title="Time limit",
        description="How long each command may take, in seconds.",
        examples=[60],
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
        refuse(price_breaches(self.model_dump(exclude_none=True)))
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
    drain: DrainedGpus = Field(
        default=(),
        title="Drain",
        description=(
            "GPUs to be emptied of slices of this stack and not used, written as under `gpus`: "
            "for a repair, or before they are taken out."
        ),
        examples=[[3], ["GPU-7b1c8a4e-0000-4000-8000-000000000000"]],
    )
    models: dict[ModelName, ModelEntry] = Field(
        min_length=1,
        title="Models",
        description='The models, by the name that clients send as "model".',
        json_schema_extra={"propertyNames": {"pattern": notation.MODEL_NAME_PATTERN}},
        examples=[{"chat": {"model": "Qwen/Qwen3-4B", "slice": "2g.20gb"}}],
    )
    runtime: RuntimeWord | None = Field(
        default=None,
        title="Runtime",
        description=(
            "Where model servers run: docker or process. Default: docker where an engine that can "
            "give a container a GPU is found and the engine of the model has an image; else "
            "process. A stack that runs stays where it is."
        ),
        examples=["docker", "process"],
    )
    docker: DockerEntry = Field(
        default_factory=DockerEntry,
        title="Docker",
        description="The Docker engine that containers run in, and how they are reached.",
        examples=[{"network": "host", "pull": "never"}],
    )
    gateway: GatewayEntry = Field(
        default_factory=GatewayEntry,
        title="Gateway",
        description="The one OpenAI-compatible endpoint in front of all models.",
        examples=[{"port": 8080}],
    )
    hooks: HooksEntry = Field(
        default_factory=HooksEntry,
        title="Hooks",
        description="Commands to run around every change of slices or MIG modes.",
        examples=[
            {
                "before": [["systemctl", "stop", "dcgm-exporter"]],
                "after": [["systemctl", "start", "dcgm-exporter"]],
            }
        ],
    )
    prices: dict[ProductName, PriceEntry] = Field(
        default_factory=dict,
        title="Prices",
        description="What a card costs, by product name as 'gpuslice gpus' shows it.",
        examples=[{"NVIDIA A100-SXM4-80GB": {"per_month": 1380, "currency": "EUR"}}],
    )

    @model_validator(mode="after")
    def _keep_rules(self) -> Stack:
        models = {
            name: entry.model_dump(include=_NEIGHBOURS) for name, entry in self.models.items()
        }
        refuse(neighbour_breaches(models))
        refuse(place_breaches(self.model_dump(exclude_defaults=True)))
        return self
