from __future__ import annotations

import json
from typing import Any

import pytest

from gpuslice.stack.json_schema import stack_json_schema
from gpuslice.stack.schema import (
    DockerEntry,
    GatewayEntry,
    ModelEntry,
    PriceEntry,
    Stack,
    TargetEntry,
)

SCHEMA = stack_json_schema()
PARTS = {
    "Stack": (SCHEMA, Stack),
    **{part.__name__: (SCHEMA["$defs"][part.__name__], part)
       for part in (ModelEntry, TargetEntry, GatewayEntry, DockerEntry, PriceEntry)},
}  # fmt: skip
NEEDED: dict[str, dict[str, Any]] = {
    "Stack": {"models": {"m": {"model": "a/b"}}},
    "ModelEntry": {"model": "a/b"},
    "PriceEntry": {"per_month": 1},
    "GatewayEntry": {"runtime": "docker"},
    "DockerEntry": {},
    "TargetEntry": {},
}
A_TARGET = {"model": "a/b", "target": {"tokens_per_s": 1}, "throughput": {"1g.10gb": 1}}
INSTEAD: dict[str, dict[str, Any]] = {
    "per_hour": {},
    "command": {"engine": "command", "memory": 1},
    "target": A_TARGET,
    "throughput": A_TARGET,
    "prompt_tokens": {"tokens_per_s": 1, "answer_tokens": 1},
    "answer_tokens": {"tokens_per_s": 1},
}


def test_schema_is_json_and_says_its_draft() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    assert SCHEMA["required"] == ["models"]


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_explained_with_an_example(part: str) -> None:
    schema, model = PARTS[part]
    assert set(schema["properties"]) == set(model.model_fields)
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert len(field["description"]) > 15, name
        assert field["examples"], name


@pytest.mark.parametrize("part", PARTS)
def test_every_example_is_accepted(part: str) -> None:
    schema, model = PARTS[part]
    for name, field in schema["properties"].items():
        for example in field["examples"]:
            needed = INSTEAD.get(name, NEEDED[part])
            accepted = model.model_validate({**needed, name: example})
            assert name in accepted.model_fields_set


def test_editors_are_not_told_of_null() -> None:
    assert "null" not in json.dumps(SCHEMA)


def test_patterns_reach_the_editor() -> None:
    properties = {
        name: field for part, _ in PARTS.values() for name, field in part["properties"].items()
    }
    for name in ("name", "currency"):
        assert "pattern" in properties[name]
    one, several, by_product = properties["slice"]["oneOf"]
    assert one["pattern"] == several["items"]["pattern"]
    assert by_product["additionalProperties"]["oneOf"] == [one, several]
    assert properties["models"]["propertyNames"]["pattern"]
