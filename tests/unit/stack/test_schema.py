from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gpuslice.stack.schema import ModelEntry, Stack, TargetEntry


def a_stack(**model: Any) -> Stack:
    return Stack.model_validate({"models": {"chat": {"model": "Qwen/Qwen3-4B", **model}}})


def test_everything_but_a_model_has_a_default() -> None:
    stack = a_stack()
    assert (stack.name, stack.gpus, stack.prices) == ("gpuslice", "all", {})
    assert (stack.gateway.host, stack.gateway.port) == ("127.0.0.1", 8080)
    chat = stack.models["chat"]
    assert (chat.most_replicas, chat.context_tokens, chat.concurrency) == (1, 4096, 4)
    assert (chat.priority, chat.move_cost, chat.pinned, chat.spread) == (0, 1, False, None)
    assert (chat.near, chat.away, stack.drain) == ((), (), ())


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


@pytest.mark.parametrize(("said", "most"), [({}, 64), ({"replicas": 1}, 1), ({"replicas": 9}, 9)])
def test_with_a_target_replicas_are_the_most_it_may_get(said: dict[str, int], most: int) -> None:
    target = {"target": {"tokens_per_s": 900}, "throughput": {"1g.10gb": 120}}
    assert a_stack(**target, **said).models["chat"].most_replicas == most


@pytest.mark.parametrize(
    ("target", "unit", "milli_per_s"),
    [
        ({"tokens_per_s": 900}, "tokens", 900_000),
        ({"requests_per_s": 12.5}, "requests", 12_500),
        ({"requests_per_s": 0.0015}, "requests", 2),
        ({"tokens_per_s": 0.001}, "tokens", 1),
    ],
)
def test_a_target_is_counted_in_thousandths(
    target: dict[str, float], unit: str, milli_per_s: int
) -> None:
    found = TargetEntry.model_validate(target)
    assert (found.unit, found.milli_per_s) == (unit, milli_per_s)


def test_a_slice_may_be_one_several_or_by_product() -> None:
    assert a_stack(slice="1g.10gb").models["chat"].slice == "1g.10gb"
    assert a_stack(slice=["1g.10gb", "2g.20gb"]).models["chat"].slice == ("1g.10gb", "2g.20gb")
    by_product = {"NVIDIA H200": "1g.18gb", "NVIDIA A30": ["1g.6gb", "2g.12gb"]}
    assert a_stack(slice=by_product).models["chat"].slice == {
        "NVIDIA H200": "1g.18gb",
        "NVIDIA A30": ("1g.6gb", "2g.12gb"),
    }


def test_spread_is_how_many_may_lie_on_one_gpu() -> None:
    said = {True: 1, 3: 3, False: None}
    assert {key: a_stack(spread=key).models["chat"].spread for key in said} == said


def test_numbers_have_to_be_numbers() -> None:
    for wrong in ("2", 2.0, True):
        with pytest.raises(ValidationError):
            a_stack(replicas=wrong)


def test_stack_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_stack().name = "other"


def test_stack_survives_its_own_json() -> None:
    stack = a_stack(args=["--x"], memory="1GB", environment={"A": "b"}, spread=True, priority=3)
    assert Stack.model_validate_json(stack.model_dump_json()) == stack


def test_a_model_near_one_that_is_not_there_is_refused_also_without_a_file() -> None:
    with pytest.raises(ValidationError, match="there is no model 'coder'"):
        a_stack(near="coder")
