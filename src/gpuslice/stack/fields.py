"""The types of the values in a stack file, and how an editor is told of them.

Separate from the schema, which says what each key is for: here is how pydantic is brought to read
one value. How single values are written is in `notation`.

Several keys take one value or a list, or a mapping by product. Which of them was written decides
alone how the value is read (a discriminated union), so that a problem is told about the list item
that is wrong and not about all the things the value is not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    Tag,
    WithJsonSchema,
)

from gpuslice.stack import notation

EngineName = Literal["vllm", "sglang", "llama.cpp", "command"]
RuntimeWord = Literal["docker", "process"]
NetworkWord = Literal["bridge", "host"]
PullWord = Literal["missing", "always", "never"]
ReadyName = Literal["completion", "chat", "embedding", "health"]

_ONE, _SEVERAL, _BY_NAME = "[one]", "[several]", "[by name]"

INNER_STEPS = frozenset({_ONE, _SEVERAL, _BY_NAME, "[key]"})
"""Steps of pydantic's paths that stand for no key and no index of the file."""


def _listed(value: object) -> str:
    """Tell a list from one value."""
    return _SEVERAL if isinstance(value, list | tuple) else _ONE


def _mapped(value: object) -> str:
    """Tell a mapping from one value."""
    return _BY_NAME if isinstance(value, dict) else _ONE


def _shaped(value: object) -> str:
    """Tell a mapping, a list and one value apart."""
    return _BY_NAME if isinstance(value, dict) else _listed(value)


_GPU_LIST_SCHEMA: dict[str, Any] = {
    "type": "array",
    "uniqueItems": True,
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^GPU-"},
        ]
    },
}
_GPUS_SCHEMA: dict[str, Any] = {
    "anyOf": [{"const": "all"}, {**_GPU_LIST_SCHEMA, "minItems": 1}],
}
_MEMORY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": notation.MEMORY_PATTERN},
    ]
}
_SPREAD_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1}],
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
DrainedGpus = Annotated[
    tuple[int | str, ...],
    PlainValidator(notation.drained_gpus),
    PlainSerializer(list),
    WithJsonSchema(_GPU_LIST_SCHEMA),
]
Memory = Annotated[int, BeforeValidator(notation.memory_mib), WithJsonSchema(_MEMORY_SCHEMA)]
Image = Annotated[
    str,
    BeforeValidator(notation.image),
    WithJsonSchema({"type": "string", "pattern": notation.IMAGE_PATTERN}),
]
EngineAddress = Annotated[
    str,
    BeforeValidator(notation.engine_address),
    WithJsonSchema({"type": "string", "pattern": notation.ENGINE_ADDRESS_PATTERN}),
]
Spread = Annotated[int | None, PlainValidator(notation.spread), WithJsonSchema(_SPREAD_SCHEMA)]
VariableName = Annotated[str, AfterValidator(notation.variable_name)]
Texts = Annotated[tuple[str, ...], Strict(strict=False)]  # YAML and JSON give lists
Command = Annotated[
    tuple[Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")], ...],
    Strict(strict=False),
    Field(min_length=1),
]
Commands = Annotated[tuple[Command, ...], Strict(strict=False), Field(max_length=32)]
"""Programs with their arguments, to be run one after the other."""

ProfileName = Annotated[
    str,
    BeforeValidator(notation.profile_name),
    WithJsonSchema({"type": "string", "pattern": notation.PROFILE_PATTERN}),
]
ProfileNames = Annotated[
    tuple[ProfileName, ...], Strict(strict=False), AfterValidator(notation.several_profiles)
]
Profiles = Annotated[
    Annotated[ProfileName, Tag(_ONE)] | Annotated[ProfileNames, Tag(_SEVERAL)],
    Discriminator(_listed),
]
ProductName = Annotated[str, AfterValidator(notation.product_name)]
Slices = Annotated[
    Annotated[ProfileName, Tag(_ONE)]
    | Annotated[ProfileNames, Tag(_SEVERAL)]
    | Annotated[dict[ProductName, Profiles], AfterValidator(notation.not_empty), Tag(_BY_NAME)],
    Discriminator(_shaped),
]
"""A profile, several of which any will do, or either by product."""

PerSecond = Annotated[float, Field(ge=0.001, le=1e9, allow_inf_nan=False)]
RatesByProfile = Annotated[dict[str, PerSecond], AfterValidator(notation.not_empty)]
Rates = Annotated[
    dict[
        str,
        Annotated[
            Annotated[PerSecond, Tag(_ONE)] | Annotated[RatesByProfile, Tag(_BY_NAME)],
            Discriminator(_mapped),
        ],
    ],
    AfterValidator(notation.not_empty),
]
"""What one slice of each profile gives; a key whose value is a mapping is a product."""

Neighbours = Annotated[
    Annotated[str, Tag(_ONE)] | Annotated[Texts, Tag(_SEVERAL)],
    Discriminator(_listed),
]
"""The name of a model, or several."""
