"""Where servers run: what may stand beside what, over the whole file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gpuslice.stack.place_rules import gateway_breaches, place_breaches
from gpuslice.stack.rules import Breach
from gpuslice.stack.schema import GatewayEntry, Stack

IMAGE = "acme/serve:1.2"
COMMAND = {"engine": "command", "command": ["serve", "--host", "{host}"], "memory": 1000}


def breached(models: dict[str, Any], **stack: Any) -> list[Breach]:
    return place_breaches({"models": models, **stack})


@pytest.mark.parametrize(
    "model",
    [
        {"model": "a/b"},
        {"model": "a/b", "runtime": "docker", "host_memory": 1000},
        {"model": "a/b", "image": IMAGE},
        {"model": "a/b", "image": IMAGE, "program": "/usr/bin/vllm"},
        {"model": "a/b", "image": IMAGE, "program": "vllm"},
        {"model": "a/b", "runtime": "process", "program": "bin/vllm"},
        {"model": "x.gguf", "runtime": "docker"},
        {"model": "a/b", "port": 8081},
        {**COMMAND, "image": IMAGE, "runtime": "docker"},
        {**COMMAND, "runtime": "process"},
        {**COMMAND, "command": ["./serve"]},
    ],
)
def test_sound_places_break_no_rule(model: dict[str, Any]) -> None:
    assert breached({"chat": model}) == []
    Stack.model_validate({"models": {"chat": model}})


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"model": "a/b", "runtime": "process", "image": IMAGE}, ("image",)),
        ({"model": "a/b", "runtime": "process", "host_memory": 9}, ("host_memory",)),
        ({"model": "a/b", "runtime": "docker", "program": "./vllm"}, ("program",)),
        ({"model": "a/b", "image": IMAGE, "program": "bin/vllm"}, ("program",)),
        ({**COMMAND, "image": IMAGE, "command": ["./serve"]}, ("command", 0)),
        ({**COMMAND, "runtime": "docker"}, ("engine",)),
        ({"model": "a/b", "port": 8080}, ("port",)),
        ({"model": "a/b", "port": 65534, "replicas": 3}, ("port",)),
        ({"model": "a/b", "port": 8017, "target": {"tokens_per_s": 1}}, ("port",)),
    ],
)
def test_each_rule_names_the_value_to_change(model: dict[str, Any], path: tuple[Any, ...]) -> None:
    assert [breach.path for breach in breached({"chat": model})] == [("models", "chat", *path)]
    with pytest.raises(ValidationError):
        Stack.model_validate({"models": {"chat": model}})


def test_a_model_that_says_nothing_runs_where_the_stack_says() -> None:
    model = {"model": "a/b", "image": IMAGE}
    assert [b.path[-1] for b in breached({"chat": model}, runtime="process")] == ["image"]
    assert breached({"chat": {**model, "runtime": "docker"}}, runtime="process") == []


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ({"port": 9000, "replicas": 2}, {"port": 9002}, False),
        ({"port": 9000, "replicas": 3}, {"port": 9002}, True),
        ({"port": 9002}, {"port": 9000, "replicas": 3}, True),
        ({"port": 9000}, {"port": 9000}, True),
        ({"port": 9000}, {}, False),
    ],
)
def test_ports_of_two_models_do_not_meet(
    first: dict[str, int], second: dict[str, int], *, clash: bool
) -> None:
    found = breached({"a": {"model": "a/b", **first}, "b": {"model": "a/b", **second}})
    assert [breach.path for breach in found] == ([("models", "b", "port")] if clash else [])


def test_the_port_of_the_gateway_is_the_one_that_the_file_says() -> None:
    models = {"a": {"model": "a/b", "port": 8080}}
    assert breached(models, gateway={"port": 9000}) == []
    (breach,) = breached({"a": {"port": 9000}}, gateway={"port": 9000})
    assert "9000 is the gateway's" in breach.text


def test_the_gateway_has_an_image_only_in_a_container() -> None:
    assert [breach.path for breach in gateway_breaches({"image": IMAGE})] == [("image",)]
    assert gateway_breaches({"image": IMAGE, "runtime": "docker"}) == []
    with pytest.raises(ValidationError):
        GatewayEntry.model_validate({"image": IMAGE})


@pytest.mark.parametrize("wrong", [None, 7, "text", ["x"], {"a": 1}])
@pytest.mark.parametrize(
    "key", ["runtime", "image", "host_memory", "program", "command", "port", "replicas", "target"]
)
def test_rules_tolerate_anything(key: str, wrong: object) -> None:
    for stack in ({key: wrong}, {"models": wrong}, {"models": {"a": wrong}}):
        assert isinstance(place_breaches(stack), list)
    model = {"port": 1, "image": IMAGE, key: wrong}
    assert isinstance(breached({"a": model}, gateway=wrong), list)
    assert isinstance(gateway_breaches({key: wrong}), list)
