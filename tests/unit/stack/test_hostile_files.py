"""Holes that were found by trying, each with the file that showed it.

What is random is in ``tests/property/test_hostile_files.py``. Limits are asserted, never times.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from gpuslice.errors import ModelNotFoundError, StackError, UnknownLabelError
from gpuslice.stack import rules
from gpuslice.stack.fleet import load_fleet
from gpuslice.stack.load import load_stack, parse_stack
from gpuslice.stack.mig_parted import parse_mig_config
from gpuslice.stack.read import MAX_BYTES, MOST_TOLD
from gpuslice.stack.sources import check_sources, resolve_source


def refused(text: str | bytes) -> tuple[str, ...]:
    """Read a stack that must be refused; return the lines of its report."""
    with pytest.raises(StackError) as caught:
        parse_stack(text if isinstance(text, bytes) else text.encode())
    return caught.value.details


def one_model(line: str) -> str:
    return f"models:\n  a:\n    model: x/y\n    {line}\n"


@pytest.mark.parametrize(
    "line",
    [
        f"slice: '{'9' * 100_000}'",
        f"slice: 1g.{'9' * 100_000}gb",
        f"slice: ['1g.10gb', '{'x' * 100_000}']",
        f"memory: {'9' * 100_000}GiB",
        f"replicas: {'9' * 100_000}",
        f"{'k' * 100_000}: 1",
        f"environment: {{'{'-' * 100_000}': x}}",
        f"engine: {'v' * 100_000}",
    ],
    ids=["digits", "gigabytes", "listed", "memory", "replicas", "key", "variable", "engine"],
)
def test_endless_values_are_refused_in_a_short_line(line: str) -> None:
    (told,) = refused(one_model(line))
    assert told.startswith("gpuslice.yaml:4:")
    assert len(told) < 1000


def test_a_report_stops_at_a_hundred_problems_and_says_so() -> None:
    keys = "\n".join(f"x{number}: 1" for number in range(4000))
    with pytest.raises(StackError, match=r"4,001 problems; the first 100 are told") as caught:
        parse_stack(keys.encode())
    assert len(caught.value.details) == MOST_TOLD


def test_suggestions_are_looked_for_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def count(word: str, _known: Iterable[str]) -> str:
        asked.append(word)
        return ""

    monkeypatch.setattr(rules, "did_you_mean", count)
    braces = "{x}" * 100_000
    refused(f"models: {{a: {{engine: command, memory: 1GiB, command: ['{braces}']}}}}")
    assert len(asked) <= 100


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\x1b", "\x07", "\x9b", "\x00"])
def test_what_drives_a_terminal_or_turns_the_writing_is_refused(mark: str) -> None:
    told = refused(f"models: {{a: {{model: 'x/y{mark}z'}}}}")
    assert told[0].isprintable()
    assert "control character" in told[0]


def test_escapes_of_yaml_bring_no_control_character_in() -> None:
    (told,) = refused('models: {a: {model: "x/y\\e[31m"}}')
    assert told == (
        "gpuslice.yaml:1:21: models.a.model: contains the control character '\\x1b'; leave it out"
    )


@pytest.mark.parametrize(
    "name",
    ["--help", "-a", "../a", "a/b", "a b", "a\\nb", "a;b", "$(id)", "", ".", "..", "a" * 64, "é"],
)
def test_a_models_name_is_a_plain_word(name: str) -> None:
    assert any(
        "a model's name" in line for line in refused(f'models: {{"{name}": {{model: x/y}}}}')
    )


@pytest.mark.parametrize("name", ["../x", "x/y", "-x", "X", "x y", "x" * 41, "x;y", "x\\n"])
def test_a_stacks_name_is_a_plain_word(name: str) -> None:
    assert "must be lower-case" in refused(f'name: "{name}"\nmodels: {{a: {{model: x/y}}}}')[0]


@pytest.mark.parametrize("source", ["--help", "-x", "-/../x.gguf", "--config=/etc/x"])
def test_a_model_cannot_be_an_option_of_its_server(source: str) -> None:
    assert "starts with '-'" in refused(f"models: {{a: {{model: '{source}'}}}}")[0]


def test_a_file_whose_name_starts_with_a_dash_is_a_path(tmp_path: Path) -> None:
    assert resolve_source("./-x.gguf", tmp_path) == f"{tmp_path}/-x.gguf"


@pytest.mark.parametrize("host", ["-h", "--", "a b", "a\\nb", "a/b", "a;b", "x@y", "[::1]"])
def test_an_address_is_nothing_else(host: str) -> None:
    text = f'models: {{a: {{model: x/y}}}}\ngateway: {{host: "{host}"}}'
    assert "must be an address" in refused(text)[0]


def test_a_product_without_a_name_or_with_an_endless_one_has_no_price() -> None:
    text = "models: {a: {model: x/y}}\nprices: {'%s': {per_month: 1}}"
    assert "names no product" in refused(text % " ")[0]
    assert "longer than 96" in refused(text % ("x" * 97))[0]


@pytest.mark.parametrize(
    "source",
    ["./" + "x" * 300, "/" + "d/" * 2040, "x" * 300 + ".gguf", "a/..", "~root/none"],
    ids=["long name", "long path", "long file", "dots", "somebody's home"],
)
def test_a_path_that_cannot_be_looked_at_is_told_with_its_line(tmp_path: Path, source: str) -> None:
    path = tmp_path / "gpuslice.yaml"
    path.write_text(f"models:\n  a:\n    model: {source}\n")
    with pytest.raises(ModelNotFoundError) as caught:
        check_sources(load_stack(path))
    assert f"{path}:3:12: models.a.model: " in caught.value.details[0]


@pytest.fixture(params=["pipe", "socket", "device", "folder", "loop", "long", "NUL"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A path at which there is something else than a file."""
    path = tmp_path / "x"
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
                yield path
            return
        case "device":
            path = Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "long":
            path = tmp_path / ("x" * 300)
        case "NUL":
            path = Path("a\x00b\x1b[31m")
    yield path


@pytest.mark.parametrize("load", [load_stack, load_fleet])
def test_what_is_no_file_is_refused_at_once(load: Callable[[Path], object], no_file: Path) -> None:
    with pytest.raises(StackError) as caught:
        load(no_file)
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_of_a_file_without_end_no_more_is_read_than_a_stack_can_have(tmp_path: Path) -> None:
    path = tmp_path / "sparse.yaml"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(StackError) as caught:
        load_stack(path)
    assert "larger than 1 MiB" in caught.value.details[0]
    assert MAX_BYTES == 1 << 20


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_other_systems_are_read(end: str, mark: str) -> None:
    text = mark + one_model("slice: 2g.20gb").replace("\n", end)
    assert parse_stack(text.encode())[0].models["a"].slice == "2g.20gb"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be", "cp037"])
def test_other_encodings_are_refused_with_a_line(encoding: str) -> None:
    assert refused(one_model("slice: 2g.20gb").encode(encoding))[0].startswith("gpuslice.yaml:1:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [id]", "has a tag"),
        ("a: &a [*a]", "stands for nothing that is complete"),
        ("<<: {models: {}}", "merge keys are not supported"),
        ("? {a: b}\n: c", "a key must be a plain word"),
        ("a: 1\na: 2", "is given twice (first on line 1)"),
        ("---\na: 1\n---\nb: 2", "a second document"),
    ],
)
def test_what_yaml_can_do_beyond_plain_values_is_refused(text: str, said: str) -> None:
    assert any(said in line for line in refused(text))


def test_a_suggestion_is_as_visible_as_what_was_written() -> None:
    """Found by fuzzing: a byte order mark inside a file made a label that looks like another."""
    text = "version: v1\nmig-configs:\n  \ufeffmixed: [{devices: all, mig-enabled: false}]\n"
    with pytest.raises(UnknownLabelError) as caught:
        parse_mig_config(text.encode(), label="mixed")
    assert "did you mean '\\ufeffmixed'?" in caught.value.message
    assert all(line.isprintable() for line in caught.value.details)


def test_of_thousands_of_layouts_only_some_are_listed() -> None:
    lines = "".join(f"  x{n}: [{{devices: all, mig-enabled: false}}]\n" for n in range(500))
    with pytest.raises(UnknownLabelError) as caught:
        parse_mig_config(f"version: v1\nmig-configs:\n{lines}".encode())
    assert caught.value.details[0].endswith("x19 and 480 more")


def test_the_name_of_the_file_cannot_drive_the_terminal() -> None:
    with pytest.raises(StackError) as caught:
        parse_stack(b"a: 1", file="evil\x1b[2J\nname.yaml")
    assert all(text.isprintable() for text in (caught.value.message, *caught.value.details))
