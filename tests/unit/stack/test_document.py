from __future__ import annotations

import pytest
import yaml

from gpuslice.stack import document as document_module
from gpuslice.stack.document import parse_document, resolve
from gpuslice.stack.problem import KeyPath, Mark
from gpuslice.stack.tree import Document, plain


def read(text: str) -> object:
    document = parse_document(text)
    assert document.root is not None
    assert document.problems == ()
    return plain(document.root)


def only_problem(text: str) -> str:
    (problem,) = parse_document(text).problems
    return problem.render("f")


def at(document: Document, *path: str | int) -> tuple[int, int]:
    mark = document.mark(path)
    return mark.line, mark.column


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines without libyaml read with PyYAML's own parser: everything holds for both."""
    if request.param == "pure Python":
        monkeypatch.setattr(document_module, "_LOADER", yaml.SafeLoader)


def test_values_and_keys_know_their_places() -> None:
    document = parse_document("a: 1\nmodels:\n  chat:\n    args: [x, y]\n")
    assert at(document, "a") == (1, 4)
    assert at(document, "models", "chat") == (3, 3)
    assert at(document, "models", "chat", "args") == (4, 5)
    assert at(document, "models", "chat", "args", 1) == (4, 15)
    assert document.key_mark(("a",)) == Mark(line=1, column=1)


def test_missing_value_is_shown_where_it_would_be() -> None:
    document = parse_document("models:\n  chat:\n    replicas: 1\n")
    assert at(document, "models", "chat", "model") == (2, 3)
    assert at(document, "nowhere") == (1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("14", 14),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("No", False),
        ("on", True),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("12:30:00", "12:30:00"),
        ("2024-01-01", "2024-01-01"),
        ("3g.40gb", "3g.40gb"),
        ("9" * 5000, "9" * 5000),
        ("y", "y"),
        (".inf", ".inf"),
    ],
)
def test_plain_words_mean_what_people_mean(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_what_is_in_quotes_is_text() -> None:
    assert read("a: \"1\"\nb: 'yes'\nc: |\n  2\n") == {"a": "1", "b": "yes", "c": "2\n"}


def test_keys_are_always_text() -> None:
    assert read("no: 1\n14: 2\n1e3: 3\n~: 4\n") == {"no": 1, "14": 2, "1e3": 3, "~": 4}


def test_alias_stands_for_what_it_names() -> None:
    assert read("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}


def test_key_that_is_given_twice_is_told_with_the_first_place() -> None:
    said = "f:4:3: models.chat: is given twice (first on line 2); keep one of them"
    assert only_problem("models:\n  chat: {}\n  other: {}\n  chat: {}\n") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f:1:1: the file is empty; 'gpuslice init' writes a starter"),
        ("# only this\n", "f:1:1: the file is empty; 'gpuslice init' writes a starter"),
        ("a: !!str 1", "f:1:4: a: has a tag"),
        ("!x {a: 1}", "f:1:1: has a tag"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document"),
        ("a: *b", "f:1:4: a: '*b' stands for nothing"),
        ("a: &a [*a]", "'*a' stands for nothing that is complete before it"),
        ("? [a]\n: 1", "f:1:3: a key must be a plain word"),
        ("a: &a x\n*a : 1", "f:2:1: a key must be written out, not an alias"),
        ('a: "x\\x00y"', "f:1:4: a: contains the control character '\\x00'"),
        ("a: 1\nb: \x07", "f:2:4: contains the control character '\\x07'"),
        ("a:\n\t- b", "f:2:1: not readable as YAML: a tab"),
        ("a: b: c", "f:1:5: not readable as YAML: a ':' too many"),
        ("a: @b", "f:1:4: not readable as YAML: a value cannot start with this character"),
        ("a:\n  b: 1\n c: 2", "f:3:2: not readable as YAML: not indented like the lines"),
        ("a: [1, 2", "not readable as YAML: a ']' or a ',' is missing"),
        ("a: {b: 1", "not readable as YAML: a '}' or a ',' is missing"),
        ('a: "b', "not readable as YAML: the closing quote is missing"),
        ("a: 1\n- b", "f:2:1: not readable as YAML: not indented like the lines"),
        ("- a\nb: 1", "f:2:1: not readable as YAML"),
        ("a: [", "not readable as YAML: a value is missing, or a bracket is not closed"),
        ("%YAML 9.0\n---\na: 1", "not readable as YAML: a %YAML line of an unknown version"),
    ],
)
def test_unusable_text_is_told_in_plain_words(text: str, said: str) -> None:
    assert said in only_problem(text)


def test_depth_is_bounded_also_through_aliases() -> None:
    assert "nested more than 20 deep" in only_problem("[" * 21)
    deep = "a: &a " + "[" * 15 + "x" + "]" * 15
    assert read(f"{deep}\nb: *a\n")
    assert "nested more than 20 deep" in only_problem(f"{deep}\nb: [[[[[[*a]]]]]]\n")


def test_number_of_values_is_bounded_also_through_aliases() -> None:
    assert "more than 10,000 values" in only_problem("[" + "x, " * 10_001 + "x]")
    thousand = "a: &a [" + "x, " * 1000 + "x]\n"
    assert read(thousand + "b: [*a, *a]")
    assert "more than 10,000 values" in only_problem(thousand + "b: [" + "*a, " * 10 + "*a]")


def test_problems_before_unreadable_text_are_kept() -> None:
    document = parse_document("a: 1\na: 2\nb: [")
    assert [p.path for p in document.problems] == [("a",), ()]


@pytest.mark.parametrize("path", [("a", 5), ("a", "b"), (0,), ("a", 0, "c")])
def test_path_that_leads_nowhere_finds_nothing(path: KeyPath) -> None:
    assert parse_document("a: [1]").node(path) is None
