from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from gpuslice.engines.catalogue import ENGINE_NAMES
from gpuslice.engines.questions import KINDS
from gpuslice.stack.fields import EngineName, ReadyName
from gpuslice.stack.rules import (
    model_breaches,
    neighbour_breaches,
    price_breaches,
    target_breaches,
)
from gpuslice.stack.schema import ModelEntry, PriceEntry, TargetEntry

TARGET = {
    "model": "a/b",
    "target": {"tokens_per_s": 900},
    "throughput": {"1g.10gb": 120, "NVIDIA H200": {"1g.18gb": 190.5}},
}
AIM = {"model": "a/b", "target": {"tokens_per_s": 900}}
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
        {"model": "a/b", "engine": "sglang", "program": "/opt/sglang/bin/sglang"},
        {"model": "x.gguf", "program": "llama-server", "ready": "chat"},
        {**COMMAND, "ready": "embedding"},
        COMMAND,
        {**COMMAND, "command": ["{{}}", "{model}={memory_mib}", "{uuid}{name}"]},
        {**COMMAND, "command": ["{context_tokens}:{concurrency}"]},
        {"model": "a/b", "memory": 1000, "compute": 2},
        TARGET,
        {**TARGET, "model": None, "engine": "command", "command": ["serve"]},
        AIM,
        {**AIM, "target": {"requests_per_s": 2, "answer_tokens": 300}},
        {**AIM, "target": {"requests_per_s": 2, "answer_tokens": 300, "prompt_tokens": 3796}},
        {**AIM, "target": {"tokens_per_s": 2, "answer_tokens": 8192}, "context_tokens": 8192},
    ],
)
def test_sound_models_break_no_rule(model: dict[str, object]) -> None:
    assert breached(model) == []
    ModelEntry.model_validate(model)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"model": "a/b", "slice": "1g.5gb", "memory": 1}, ("memory",)),
        ({"model": "a/b", "slice": "1g.5gb", "compute": 1}, ("compute",)),
        ({**COMMAND, "program": "serve"}, ("program",)),
        ({"model": "a/b", "program": "--serve"}, ("program",)),
        ({**TARGET, "slice": "1g.5gb"}, ("slice",)),
        ({**TARGET, "memory": 1}, ("memory",)),
        ({**TARGET, "compute": 1}, ("compute",)),
        ({**AIM, "target": {"requests_per_s": 2}}, ("target",)),
        ({**AIM, "engine": "command", "command": ["x"]}, ("target",)),
        (
            {**AIM, "target": {"tokens_per_s": 2, "answer_tokens": 4097}},
            ("target", "answer_tokens"),
        ),
        (
            {**TARGET, "target": {"tokens_per_s": 2, "prompt_tokens": 4000, "answer_tokens": 97}},
            ("target", "answer_tokens"),
        ),
        ({**TARGET, "throughput": {}, "engine": "command", "command": ["x"]}, ("target",)),
        ({"model": "a/b", "throughput": {"1g.10gb": 1}}, ("throughput",)),
        ({**TARGET, "throughput": {"14": 1}}, ("throughput", "14")),
        ({**TARGET, "throughput": {"A30": {"half": 1}}}, ("throughput", "A30", "half")),
        ({**TARGET, "throughput": {" ": {"1g.6gb": 1}}}, ("throughput", " ")),
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
@pytest.mark.parametrize(
    "key",
    ["model", "engine", "command", "args", "slice", "memory", "target", "throughput", "near"],
)
def test_rules_tolerate_anything(key: str, wrong: object) -> None:
    assert isinstance(model_breaches({key: wrong}), list)
    assert isinstance(neighbour_breaches({"a": {key: wrong}, "b": wrong}), list)


@pytest.mark.parametrize(
    ("models", "path", "said"),
    [
        ({"a": {"near": "b"}, "b": {"away": ["a"]}}, None, ""),  # the planner's to find
        ({"a": {"near": "c"}, "b": {}}, ("a", "near"), "there is no model 'c'"),
        ({"chat": {}, "b": {"away": ["chta"]}}, ("b", "away", 0), "did you mean 'chat'?"),
        ({"a": {"away": "a"}}, ("a", "away"), "to part its replicas write spread: true"),
        ({"a": {"near": ["a"]}}, ("a", "near", 0), "always near itself"),
        ({"a": {"near": "b", "away": "b"}, "b": {}}, ("a", "away"), "under near as well"),
    ],
)
def test_neighbours_are_other_models_of_the_file(
    models: dict[str, object], path: object, said: str
) -> None:
    found = neighbour_breaches(models)
    assert [breach.path for breach in found] == ([] if path is None else [path])
    assert all(said in breach.text for breach in found)


def test_wrong_names_among_thousands_of_models_are_told_without_comparing_all() -> None:
    models: dict[str, object] = {f"model-{n}": {"near": f"other-{n}"} for n in range(3000)}
    found = neighbour_breaches(models)
    assert len(found) == 3000
    assert found[7].text == "there is no model 'other-7'"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({}, ()),
        ({"tokens_per_s": 1.0, "requests_per_s": 1.0}, ("requests_per_s",)),
        ({"tokens_per_s": 1.0, "prompt_tokens": 9}, ("prompt_tokens",)),
    ],
)
def test_a_target_is_in_tokens_or_in_requests_and_its_prompts_have_answers(
    target: dict[str, object], path: object
) -> None:
    assert [breach.path for breach in target_breaches(target)] == [path]
    with pytest.raises(ValidationError):
        TargetEntry.model_validate(target)


@pytest.mark.parametrize(
    ("price", "path"),
    [({}, ()), ({"currency": "EUR"}, ()), ({"per_month": 1.0, "per_hour": 1.0}, ("per_hour",))],
)
def test_price_is_by_the_month_or_by_the_hour(price: dict[str, object], path: object) -> None:
    assert [breach.path for breach in price_breaches(price)] == [path]
    with pytest.raises(ValidationError):
        PriceEntry.model_validate(price)


def test_a_stack_file_may_say_what_the_engines_know() -> None:
    assert get_args(EngineName) == ENGINE_NAMES
    assert get_args(ReadyName) == KINDS
