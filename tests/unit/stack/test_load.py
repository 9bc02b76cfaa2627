from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gpuslice.errors import StackError, StackNotFoundError
from gpuslice.stack.load import load_stack, parse_stack
from gpuslice.stack.schema import Stack

ISSUE_EXAMPLE = """
name: assistants
gpus: all                       # or [0, 1], or UUIDs
models:
  chat:
    model: Qwen/Qwen3-4B        # hub name, local folder, or .gguf file
    replicas: 2
    context_tokens: 8192
    concurrency: 8
  coder:
    model: Qwen/Qwen3-14B
    slice: 3g.40gb              # say it yourself, or leave it out and let gpuslice choose
    engine: vllm                # vllm | llama.cpp | command
    args: ["--enable-prefix-caching"]
gateway: {port: 8080}
prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}
"""
EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
SOUND = b"models: {chat: {model: a/b}}\n"


def write(folder: Path, data: bytes = SOUND) -> Path:
    path = folder / "gpuslice.yaml"
    path.write_bytes(data)
    return path


def problems(data: bytes) -> tuple[str, ...]:
    with pytest.raises(StackError) as caught:
        parse_stack(data)
    return caught.value.details


def test_documented_example_is_a_stack() -> None:
    stack, _ = parse_stack(ISSUE_EXAMPLE.encode())
    assert list(stack.models) == ["chat", "coder"]
    assert stack.models["coder"].args == ("--enable-prefix-caching",)
    assert stack.prices["NVIDIA A100-SXM4-80GB"].per_month == 1380


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_stacks(example: Path) -> None:
    assert load_stack(example).stack.name == example.stem


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


def test_loaded_stack_knows_where_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path)
    loaded = load_stack(path)
    assert (loaded.path, loaded.folder) == (path, tmp_path.resolve())
    assert loaded.digest == hashlib.sha256(SOUND).hexdigest()
    assert loaded.stack == parse_stack(SOUND)[0]


def test_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    assert isinstance(load_stack(write(tmp_path, b"\xef\xbb\xbf" + SOUND)).stack, Stack)


def test_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StackNotFoundError, match="there is no stack file") as caught:
        load_stack(tmp_path / "gpuslice.yaml")
    assert "gpuslice init" in caught.value.hint


def test_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is a folder"):
        load_stack(tmp_path)


def test_path_no_system_can_open_is_told() -> None:
    with pytest.raises(StackError, match="cannot be read"):
        load_stack(Path("a\0b"))


def test_other_encodings_are_told_with_their_place() -> None:
    (line,) = problems("models:\n  ä: 1".encode("latin-1"))
    said = "is not UTF-8 text (byte 0xe4); save the file as UTF-8"
    assert line == f"gpuslice.yaml:2:3: {said}"


@pytest.mark.parametrize("data", [b"- a\n", b"text\n", b"14\n"])
def test_file_that_is_no_mapping_is_told(data: bytes) -> None:
    (line,) = problems(data)
    assert "a stack file is a mapping" in line


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"~\n", b"---\n"])
def test_empty_file_is_told(data: bytes) -> None:
    assert problems(data) == (
        "gpuslice.yaml:1:1: the file is empty; 'gpuslice init' writes a starter",
    )


def test_message_counts_the_problems() -> None:
    with pytest.raises(StackError, match=r"^stack\.yaml has 2 problems$"):
        parse_stack(b"a: 1\nmodels: {}\n", file="stack.yaml")
    with pytest.raises(StackError, match=r"^stack\.yaml has 1 problem$"):
        parse_stack(b"models: {}\n", file="stack.yaml")


def test_report_is_in_the_order_of_the_lines() -> None:
    found = problems(b"prices: 1\nmodels:\n  a: {model: 1}\n  a: {}\nnmae: x\n")
    assert [line.split(":")[1] for line in found] == ["1", "3", "4", "5"]
