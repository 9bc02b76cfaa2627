"""The documents tell the truth where a machine can check it.

Links lead somewhere, commands and their options exist, stack files load, the Python example runs,
and every key, board, command, room and dependency has its row.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from documents import DOCUMENTS, ROOT, anchors, blocks, inline_code, links, rows
from gpuslice.cli.app import app
from gpuslice.errors import UnknownLabelError
from gpuslice.hardware import load_boards
from gpuslice.stack.fleet import Fleet, FleetEntry, parse_fleet
from gpuslice.stack.json_schema import stack_json_schema
from gpuslice.stack.load import parse_stack
from gpuslice.stack.mig_parted import parse_mig_config

CLI: Any = typer.main.get_command(app)
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
SHELLS = ("console", "sh")
SHELL_OPERATORS = {"|", ">", "&&", "||", ";", "&"}
SECTIONS = {
    "": "The file",
    "ModelEntry": "A model",
    "TargetEntry": "A throughput target",
    "GatewayEntry": "The gateway",
    "DockerEntry": "Docker",
    "HooksEntry": "Hooks",
    "PriceEntry": "Prices",
}


def commands_in_blocks(path: Path) -> Iterator[str]:
    """Every gpuslice command of the shell blocks of a document."""
    for block in blocks(path):
        for line in block.text.splitlines() if block.info in SHELLS else ():
            command = line.removeprefix("$ ")
            if command.startswith("gpuslice ") and (block.info == "sh" or line != command):
                yield command


def commands_in_text(path: Path) -> Iterator[str]:
    """Every gpuslice command between backticks."""
    return (code for code in inline_code(path) if code.startswith("gpuslice "))


def commands_in_examples() -> Iterator[tuple[str, str]]:
    """Every gpuslice command on a comment line of its own in an example."""
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        for command in re.findall(r"^# {2,}(gpuslice .+)$", path.read_text(), re.MULTILINE):
            yield path.name, command


def every_command() -> Iterator[tuple[str, str]]:
    yield from commands_in_examples()
    for path in DOCUMENTS:
        for command in (*commands_in_blocks(path), *commands_in_text(path)):
            yield path.name, command


def parse(command: str) -> None:
    """Parse a command line as the program would, without running it."""
    words = shlex.split(command, comments=True)[1:]
    end = next((n for n, word in enumerate(words) if word in SHELL_OPERATORS), len(words))
    parser, words = CLI, words[:end]
    while hasattr(parser, "commands") and words and not words[0].startswith("-"):
        parser = parser.commands[words.pop(0)]
    parser.make_context("gpuslice", words)


def keys() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every key of the stack file with its section of the documentation and its schema."""
    schema = stack_json_schema()
    parts = {"": schema, **schema["$defs"]}
    for name, part in parts.items():
        for key, field in part["properties"].items():
            yield SECTIONS[name], key, field


KEYS = tuple(keys())


def parse_any_layout(data: bytes, *, file: str) -> None:
    """Read a mig-parted file for a layout that it does not have: that is its only problem."""
    with pytest.raises(UnknownLabelError):
        parse_mig_config(data, file=file, label="no such label")


def test_the_documents_that_are_promised_exist() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}

    assert {
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *(f"docs/{name}.md" for name in ("quickstart", "concepts", "glossary", "errors", "slices")),
        *(f"docs/{name}.md" for name in ("limitations", "stack-file", "hardware", "simulator")),
    } <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{path.name} links to {link}"


def test_documents_are_reachable_from_the_readme() -> None:
    linked = {(ROOT / link).resolve() for link in links(README)}

    assert {path for path in DOCUMENTS if path.resolve() not in linked} == {README}


@pytest.mark.parametrize(("document", "command"), sorted(set(every_command())))
def test_a_documented_command_exists_with_its_options(document: str, command: str) -> None:
    parse(command)


@pytest.mark.parametrize("command", ["gpuslice fly", "gpuslice up --wings", "gpuslice logs"])
def test_a_command_that_does_not_exist_is_noticed(command: str) -> None:
    with pytest.raises(Exception, match=r"fly|wings|model"):
        parse(command)


def test_enough_commands_are_found_to_mean_something() -> None:
    assert len({command for _, command in every_command()}) > 30


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_yaml_block_is_a_file_that_loads(path: Path) -> None:
    parsers = {
        "yaml stack": parse_stack,
        "yaml fleet": parse_fleet,
        "yaml mig-parted": parse_any_layout,
    }
    for block in blocks(path):
        if block.info.startswith("yaml"):
            name = f"{path.name}, block at line {block.line}"
            parsers[block.info](block.text.encode(), file=name)


def test_every_key_of_the_fleet_file_is_documented_and_no_other() -> None:
    known = {f"`{key}`" for schema in (Fleet, FleetEntry) for key in schema.model_fields}
    table = [row[0] for row in rows(ROOT / "docs" / "stack-file.md", heading="The fleet file")]

    assert set(table) == known
    assert len(table) == len(known)


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [stack] = [block.text for block in blocks(README) if block.info == "yaml stack"]
    [program] = [block.text for block in blocks(README) if block.info == "python"]
    (tmp_path / "gpuslice.yaml").write_text(stack)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUSLICE_HOME", str(tmp_path / "home"))

    exec(compile(program, "README.md", "exec"), {})

    first = capsys.readouterr().out.splitlines()[0]
    assert f"it prints `{first}`" in README.read_text()


@pytest.mark.parametrize(("section", "key", "field"), KEYS, ids=[key for _, key, _ in KEYS])
def test_every_key_of_the_stack_file_is_documented(
    section: str, key: str, field: dict[str, Any]
) -> None:
    table = {row[0]: row for row in rows(ROOT / "docs" / "stack-file.md", heading=section)}

    _, default, example, text = table[f"`{key}`"]

    if isinstance(known := field.get("default"), str | int):
        written = json.dumps(known) if isinstance(known, bool) else known
        assert default == f"`{written}`"
    assert example
    assert text


def test_no_key_of_the_stack_file_is_documented_that_does_not_exist() -> None:
    known = {(section, f"`{key}`") for section, key, _ in KEYS}
    path = ROOT / "docs" / "stack-file.md"
    documented = {
        (section, row[0]) for section in SECTIONS.values() for row in rows(path, heading=section)
    }

    assert documented == known


def test_every_command_has_a_row_in_the_readme() -> None:
    table = " ".join(row[0] for row in rows(README, heading="Commands"))

    assert [name for name in CLI.commands if f"gpuslice {name}" not in table] == []


def test_every_board_has_a_row_with_its_numbers() -> None:
    path = ROOT / "docs" / "hardware.md"
    table = {row[0]: row for row in rows(path, heading="Boards that can be simulated")}

    assert set(table) == {f"`{board.key}`" for board in load_boards()}
    for board in load_boards():
        _, product, memory, _, mode, numbers = table[f"`{board.key}`"]
        assert (product, memory) == (board.names[0], f"{board.memory_mib:,}")
        assert (mode == "at once") == (board.has_mig and board.resetless_mig)
        assert (numbers == "seen") == board.exact


def test_every_room_has_its_purpose_in_the_architecture() -> None:
    source = ROOT / "src" / "gpuslice"
    rooms = {f"`{path.parent.name}/`" for path in source.glob("*/__init__.py")}

    documented = {row[0] for row in rows(ARCHITECTURE, heading="Rooms")}

    assert documented == rooms | {"`errors.py`", "`private_files.py`"}


def test_the_layers_are_those_that_are_enforced() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    enforced = [layer.replace("gpuslice.", "") for layer in layers]

    told = [block.text.split("\n") for block in blocks(ARCHITECTURE) if "driver |" in block.text]

    assert [line for line in told[0] if line] == enforced


def test_every_dependency_has_its_reason() -> None:
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cpu"], *extras["hub"]]
    names = {re.split(r"[<>=]", dependency)[0] for dependency in wanted}

    table = {row[0]: row for row in rows(ARCHITECTURE, heading="Carefully chosen parts")}

    assert set(table) == names
    assert all(row[2] for row in table.values())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_path_of_a_developers_machine_stands_in_a_document(path: Path) -> None:
    assert re.findall(r"/(?:work|tmp|root)/\S*", path.read_text()) == []


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
