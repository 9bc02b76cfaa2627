from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gpuslice.errors import StackError
from gpuslice.stack.document import parse_document, resolve
from gpuslice.stack.fleet import parse_fleet
from gpuslice.stack.load import parse_stack
from gpuslice.stack.schema import Stack
from gpuslice.stack.tree import plain
from gpuslice.stack.wording import known_types
from property.strategies_stack import broken_stacks, stacks, yaml_like_texts

_LAUGH = b"a%d: &a%d [*a%d, *a%d]\n"
LINE = re.compile(r"gpuslice\.yaml:\d+:\d+: .+")
JARGON = re.compile(
    r"pydantic|https?://|valid (string|integer|dictionary|tuple|number)|extra inputs|input should"
    r"|field required|NoneType",
    re.IGNORECASE,
)


def report(data: bytes) -> tuple[str, ...]:
    """Read a stack and return the lines of its report, none when it is sound."""
    try:
        parse_stack(data)
    except StackError as error:
        return error.details or ("an error without a line",)
    return ()


def fleet_report(data: bytes) -> tuple[str, ...]:
    """Read a fleet and return the lines of its report, none when it is sound."""
    try:
        parse_fleet(data, file="gpuslice.yaml")
    except StackError as error:
        return error.details or ("an error without a line",)
    return ()


def model_json(value: Any) -> bytes:
    """Write values as JSON, which is YAML as long as nothing is escaped that YAML does not know."""
    return json.dumps(value, ensure_ascii=False).encode()


def check_report(data: bytes) -> None:
    lines = report(data)
    places = []
    for line in lines:
        assert LINE.fullmatch(line), line
        assert line.isprintable()
        places.append(tuple(int(number) for number in line.split(":")[1:3]))
    assert places == sorted(places)
    last = data.count(b"\n") + data.count("\x85".encode()) + data.count("\u2028".encode()) + 2
    assert all(1 <= line <= last and column >= 1 for line, column in places)


@given(st.one_of(st.binary(max_size=300), yaml_like_texts().map(str.encode)))
@example(b"gpus: [{board: 3, count: x, price: {per_month: -1}}, 7, [], {board: {}, count: 1e9}]")
@example(b"gpus: [{board: yes, price: 3}, {price: {per_month: {}, per_hour: []}}]")
def test_any_bytes_are_a_fleet_or_a_report(data: bytes) -> None:
    for line in fleet_report(data):
        assert LINE.fullmatch(line), line
        assert not JARGON.search(line), line


@given(st.binary(max_size=300))
@example(b"\xff\xfe")
@example(b"")
def test_any_bytes_are_a_stack_or_a_report(data: bytes) -> None:
    check_report(data)


@given(yaml_like_texts())
@example("&a [*a]")
@example("a: &a [x]\nb: *a\nc: *b")
@example("? [a, b]\n: 1")
@example("<<: {a: 1}")
def test_any_yaml_is_a_stack_or_a_report(text: str) -> None:
    check_report(text.encode())


@settings(max_examples=50)
@given(broken_stacks())
def test_damaged_stacks_get_a_report_in_plain_words(value: Any) -> None:
    data = json.dumps(value, allow_nan=True, ensure_ascii=False).encode(errors="replace")
    check_report(data)
    for line in report(data):
        assert not JARGON.search(line), line


@settings(max_examples=50)
@given(broken_stacks())
def test_every_kind_of_refusal_has_words(value: Any) -> None:
    document = parse_document(json.dumps(value, ensure_ascii=False))
    if document.root is None or not isinstance(data := plain(document.root), dict):
        return
    kinds: set[str] = set()
    try:
        Stack.model_validate(data)
    except ValidationError as error:
        kinds = {details["type"] for details in error.errors()}
    assert kinds <= set(known_types())


@given(stacks())
def test_stack_written_out_and_read_again_is_equal(value: dict[str, Any]) -> None:
    stack, _ = parse_stack(model_json(value))
    again, _ = parse_stack(stack.model_dump_json(exclude_defaults=True).encode())
    assert again == stack


@given(stacks())
def test_stack_in_block_style_is_the_same_stack(value: dict[str, Any]) -> None:
    # Text in quotes: PyYAML writes 1e3 and other texts plain that people read as numbers.
    block = yaml.dump(value, Dumper=_Quoting, allow_unicode=True, sort_keys=False)
    assert parse_stack(block.encode())[0] == parse_stack(model_json(value))[0]


@given(st.integers(-(10**17), 10**17) | st.booleans() | st.none())
def test_what_json_writes_is_read_as_it_was_meant(value: int | None) -> None:
    read = resolve(json.dumps(value))
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b"{a: " * 200_000,
        b"- " * 500_000,
        b"a: [" + b"x, " * 300_000 + b"]",
        b"a0: &a0 [x]\n" + b"".join(_LAUGH % (n, n, n - 1, n - 1) for n in range(1, 60)),
        b"models: " + b"x" * 1_000_000,
        b"#" * 1_000_000,
        b"\n" * 1_000_000,
        b"? " * 400_000,
        b"'" * 1_000_000,
        b"x" * (1024 * 1024 + 1),
    ],
    ids=["brackets", "braces", "dashes", "items", "laughs", "text", "comment", "lines", "keys",
         "quotes", "too large"],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_hostile_files_are_refused_before_they_cost_anything(data: bytes) -> None:
    assert len(report(data)) == 1


class _Quoting(yaml.SafeDumper):
    """Writes every text value in quotes; keys as they come, since keys are always text here."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoting.add_representer(str, _quoted)
