from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gpuslice.stack.schema import ModelEntry, Stack


def a_stack(**model: Any) -> Stack:
    return Stack.model_validate({"models": {"chat": {"model": "Qwen/Qwen3-4B", **model}}})


def test_everything_but_a_model_has_a_default() -> None:
    stack = a_stack()
    assert (stack.name, stack.gpus, stack.prices) == ("gpuslice", "all", {})
    assert (stack.gateway.host, stack.gateway.port) == ("127.0.0.1", 8080)
    chat = stack.models["chat"]
    assert (chat.replicas, chat.context_tokens, chat.concurrency) == (1, 4096, 4)


@pytest.mark.parametrize(
    ("entry", "engine"),
    [
        ({"model": "Qwen/Qwen3-4B"}, "vllm"),
        ({"model": "x.gguf"}, "llama.cpp"),
        ({"model": "X.GGUF"}, "llama.cpp"),
        ({"model": "org/name-GGUF"}, "vllm"),
        ({"model": "x.gguf", "engine": "vllm"}, "vllm"),
        ({"engine": "command", "command": ["x"], "memory": 1}, "command"),
    ],
)
def test_engine_follows_the_model_unless_it_is_named(entry: dict[str, Any], engine: str) -> None:
    assert ModelEntry.model_validate(entry).engine_name == engine


def test_memory_is_kept_in_mib() -> None:
    assert a_stack(memory="18GiB").models["chat"].memory == 18432


def test_numbers_have_to_be_numbers() -> None:
    for wrong in ("2", 2.0, True):
        with pytest.raises(ValidationError):
            a_stack(replicas=wrong)


def test_stack_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_stack().name = "other"


def test_stack_survives_its_own_json() -> None:
    stack = a_stack(args=["--x"], memory="1GB", environment={"A": "b"})
    assert Stack.model_validate_json(stack.model_dump_json()) == stack
