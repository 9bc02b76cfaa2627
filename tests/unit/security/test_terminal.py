"""Text of others is shown and never obeyed: not by rich, not by the terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gpuslice.cli import console
from gpuslice.cli.console import harmless, print_error, print_json
from gpuslice.errors import StackError

ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e[bold red]x[/][link=http://a]y[/link]"
SHOWN = "]0;owned[2J31m[bold red]x[/][link=http://a]y[/link]"


@pytest.fixture(params=["out", "err"])
def shown(request: pytest.FixtureRequest) -> tuple[Console, io.StringIO]:
    """A console as the commands have it, on a terminal that understands colours."""
    kind = getattr(console, request.param)
    kind.cache_clear()
    made = kind()
    kind.cache_clear()
    made.file = file = io.StringIO()
    made._force_terminal = True
    return made, file


def test_text_is_shown_letter_by_letter(shown: tuple[Console, io.StringIO]) -> None:
    made, file = shown
    made.print(ATTACK, soft_wrap=True)
    assert file.getvalue() == SHOWN + "\n"


def test_cells_titles_and_texts_are_harmless(shown: tuple[Console, io.StringIO]) -> None:
    made, file = shown
    made.width = 200
    table = Table(title=Text(ATTACK))
    table.add_column(Text(ATTACK))
    table.add_row(ATTACK)
    made.print(table, Panel(Text(ATTACK), title=Text(ATTACK)), Text(ATTACK))
    assert file.getvalue().count("[bold red]x[/]") == 6
    assert "owned\x07" not in file.getvalue()
    assert "\x1b]" not in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()
    assert not {"\x9b", "\r", "\u202e"} & set(file.getvalue())


def test_errors_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    console.err.cache_clear()
    print_error(StackError(ATTACK, hint=ATTACK, details=(ATTACK,)))
    console.err.cache_clear()
    told = capsys.readouterr().err
    assert "".join(told.split()).count(SHOWN.replace(" ", "")) == 3
    assert harmless(told) == told


def test_json_says_the_same_in_characters_that_are_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"name": ATTACK, "é": ["\U0001f600"]})
    told = capsys.readouterr().out
    assert harmless(told) == told
    assert json.loads(told) == {"name": ATTACK, "é": ["\U0001f600"]}
