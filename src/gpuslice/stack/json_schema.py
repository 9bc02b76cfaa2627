"""The stack file's JSON schema, for editors that complete and check YAML.

Separate from the schema itself, because it is pydantic's output made presentable: what an editor
shows a person must not speak of Python.
"""

from __future__ import annotations

from typing import Any

from gpuslice.stack.schema import Stack


def stack_json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a stack file."""
    schema = Stack.model_json_schema()
    _tidy(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "gpuslice stack file",
    }


def _tidy(schema: dict[str, Any]) -> None:
    """Drop the alternative ``null`` in place: a key without a value is a problem in the file."""
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part["properties"].items():
            part["properties"][name] = _without_null(field)


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    alternatives = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key != "anyOf"}
    if field.get("default", "") is None:
        del rest["default"]
    if len(alternatives) == 1:
        return {**alternatives[0], **rest}
    return {**rest, "anyOf": alternatives} if alternatives else rest
