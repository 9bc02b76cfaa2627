from __future__ import annotations

import pytest

from builders import a_serve_request
from gpuslice.engines.command import Command, fill
from gpuslice.errors import StackError
from gpuslice.model.desired import PLACEHOLDERS


def test_every_placeholder_is_filled() -> None:
    template = " ".join(f"{name}={{{name}}}" for name in PLACEHOLDERS)
    assert fill(template, a_serve_request()) == (
        "port=20001 model=Qwen/Qwen3-4B memory_mib=19968 "
        "uuid=MIG-0f0e0d0c-1111-5222-8333-444455556666 name=chat context_tokens=8192 concurrency=8 "
        "host=127.0.0.1"
    )


def test_a_limit_by_software_is_the_memory_that_there_is() -> None:
    request = a_serve_request(slice_memory_mib=81_920, memory_limit_mib=20_480)
    assert fill("{memory_mib}", request) == "20480"


def test_doubled_braces_stand_for_one() -> None:
    assert fill('{{"port": {port}}}', a_serve_request()) == '{"port": 20001}'


def test_filled_values_are_not_filled_again() -> None:
    assert fill("{model}", a_serve_request(source="{port}")) == "{port}"


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{gpu}", "unknown placeholder {gpu}"),
        ("{}", "unknown placeholder {}"),
        ("{0}", "unknown placeholder {0}"),
        ("{port.__class__}", "unknown placeholder"),
        ("{port[0]}", "unknown placeholder"),
        ("{port!r}", "unknown placeholder"),
        ("{port:>9999999999}", "unknown placeholder"),
        ("{port", "expected '}' before end of string"),
        ("port}", "single '}' encountered"),
    ],
)
def test_anything_but_a_plain_placeholder_is_refused(template: str, what: str) -> None:
    with pytest.raises(StackError) as caught:
        fill(template, a_serve_request())
    assert what in caught.value.message
    assert "{context_tokens}" in caught.value.hint


def test_engine_without_a_command_is_refused() -> None:
    with pytest.raises(StackError, match="engine command needs a command"):
        Command().launch(a_serve_request())


def test_user_arguments_follow_the_command() -> None:
    request = a_serve_request(command=("serve", "{port}"), args=("--name", "{name}"))
    assert Command().launch(request).command == ("serve", "20001", "--name", "chat")
