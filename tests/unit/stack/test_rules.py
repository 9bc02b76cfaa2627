from __future__ import annotations

import pytest
from pydantic import ValidationError

from gpuslice.engines.command import PLACEHOLDERS as ENGINE_PLACEHOLDERS
from gpuslice.stack.rules import PLACEHOLDERS, model_breaches, price_breaches
from gpuslice.stack.schema import ModelEntry, PriceEntry

COMMAND = {"engine": "command", "command": ["serve", "{port}"], "memory": 1000}


def breached(model: dict[str, object]) -> list[tuple[str | int, ...]]:
    return [breach.path for breach in model_breaches(model)]


@pytest.mark.parametrize(
    "model",
    [
        {"model": "a/b"},
        {"model": "a/b", "slice": "3g.40gb", "args": ["--x"]},
        {"model": "x.GGUF", "engine": "llama.cpp"},
        {"model": "x.gguf", "engine": "vllm"},
        COMMAND,
        {**COMMAND, "command": ["{{}}", "{model}={memory_mib}", "{uuid}{name}"]},
        {**COMMAND, "command": ["{context_tokens}:{concurrency}"]},
    ],
)
def test_sound_models_break_no_rule(model: dict[str, object]) -> None:
    assert breached(model) == []
    ModelEntry.model_validate(model)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"model": "a/b", "slice": "1g.5gb", "memory": 1}, ("memory",)),
        ({}, ("model",)),
        ({"engine": "vllm"}, ("model",)),
        ({"model": "https://hub/a/b"}, ("model",)),
        ({"model": "a/b", "engine": "llama.cpp"}, ("engine",)),
        ({"model": "a/b", "command": ["x"]}, ("command",)),
        ({"engine": "command", "memory": 1}, ("engine",)),
        ({"engine": "command", "command": ["x"]}, ("engine",)),
        ({**COMMAND, "args": ["x"]}, ("args",)),
        ({**COMMAND, "command": ["x", "{prot}"]}, ("command", 1)),
        ({**COMMAND, "command": ["{"]}, ("command", 0)),
        ({**COMMAND, "command": ["}"]}, ("command", 0)),
        ({**COMMAND, "command": ["{}"]}, ("command", 0)),
        ({**COMMAND, "command": ["{port:>5}"]}, ("command", 0)),
        ({**COMMAND, "command": ["{port!r}"]}, ("command", 0)),
        ({**COMMAND, "command": ["{model.__class__}"]}, ("command", 0)),
    ],
)
def test_each_rule_names_the_value_to_change(
    model: dict[str, object], path: tuple[str | int, ...]
) -> None:
    assert breached(model) == [path]
    with pytest.raises(ValidationError):
        ModelEntry.model_validate(model)


@pytest.mark.parametrize("wrong", [None, 7, "text", ["x"], {"a": 1}])
@pytest.mark.parametrize("key", ["model", "engine", "command", "args", "slice", "memory"])
def test_rules_tolerate_anything(key: str, wrong: object) -> None:
    assert isinstance(model_breaches({key: wrong}), list)


def test_engine_fills_in_what_the_rules_allow() -> None:
    assert sorted(PLACEHOLDERS) == sorted(ENGINE_PLACEHOLDERS)


@pytest.mark.parametrize(
    ("price", "path"),
    [({}, ()), ({"currency": "EUR"}, ()), ({"per_month": 1.0, "per_hour": 1.0}, ("per_hour",))],
)
def test_price_is_by_the_month_or_by_the_hour(price: dict[str, object], path: object) -> None:
    assert [breach.path for breach in price_breaches(price)] == [path]
    with pytest.raises(ValidationError):
        PriceEntry.model_validate(price)
