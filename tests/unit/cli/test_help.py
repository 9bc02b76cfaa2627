"""Every command explains itself, with every option it has."""

from __future__ import annotations

import pytest
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from gpuslice.cli.app import app
from terminal import Terminal

ROOT = get_command(app)


def commands_of(group: object, *before: str) -> dict[tuple[str, ...], TyperCommand]:
    """Every command below a group, by what is typed."""
    assert isinstance(group, TyperGroup)
    found: dict[tuple[str, ...], TyperCommand] = {}
    for name, command in group.commands.items():
        if isinstance(command, TyperCommand):
            found[(*before, name)] = command
        else:
            found |= commands_of(command, *before, name)
    return found


COMMANDS = commands_of(ROOT)
WANTED = {
    "doctor", "gpus", "profiles", "init", "schema", "plan", "up", "down", "ps", "logs", "ask",
    "top", "cost", "slices", "size",
}  # fmt: skip


def test_every_command_that_the_house_promises_is_there(terminal: Terminal) -> None:
    shown = terminal.type("--help").out
    for name in WANTED:
        assert f" {name} " in shown, name
    assert "130 interrupted and undone" in shown


def test_help_says_where_to_start_also_without_a_gpu(terminal: Terminal) -> None:
    shown = " ".join(terminal.type("--help").out.split())
    assert "gpuslice doctor says whether this machine can do it" in shown
    assert "Without a GPU add --simulate a100-80gb" in shown


def test_no_command_at_all_shows_the_help(terminal: Terminal) -> None:
    shown = terminal.type()
    assert "Usage: gpuslice" in shown.out + shown.err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_names_and_explains_every_option(terminal: Terminal, path: tuple[str, ...]) -> None:
    shown = terminal.type(*path, "--help")
    assert shown.status == 0
    command = COMMANDS[path]
    assert (command.help or "").splitlines()[0].rstrip(".").split(":")[0][:40] in shown.out
    for option in command.params:
        if isinstance(option, TyperOption) and not option.hidden:
            assert option.opts[0] in shown.out
            assert option.help, f"{option.name} has no help"


def test_help_is_also_at_h(terminal: Terminal) -> None:
    for path in [("plan",), ("up",), ("simulate",), ("simulate", "boards")]:
        assert terminal.type(*path, "-h").out == terminal.type(*path, "--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--no-such-option"),
        ("no-such-command",),
        ("logs",),
        ("ask",),
        ("top", "--interval", "0"),
        ("logs", "chat", "--lines", "none"),
        ("simulate", "run"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_how_it_is_used(
    terminal: Terminal, arguments: tuple[str, ...]
) -> None:
    shown = terminal.type(*arguments)
    assert shown.status == 2
    assert "Usage: gpuslice" in shown.err
    assert shown.out == ""


def test_the_version_is_that_of_the_package(terminal: Terminal) -> None:
    from importlib.metadata import version

    assert terminal.type("--version").out == f"gpuslice {version('gpuslice')}\n"
