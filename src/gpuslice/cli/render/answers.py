"""Answers of several models, side by side as they grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gpuslice.cli.chat import Answer


def columns(answers: Mapping[str, Answer], names: Sequence[str]) -> RenderableType:
    """Give each model a column."""
    table = Table.grid(expand=True, padding=(0, 1))
    for _ in names:
        table.add_column(ratio=1)
    table.add_row(*(_panel(name, answers.get(name)) for name in names))
    return table


def plain(answers: Mapping[str, Answer], names: Sequence[str]) -> RenderableType:
    """Put one below the other, for pipes."""
    return Group(*(Text(f"[{name}] {_text(answers.get(name))}") for name in names))


def _panel(name: str, answer: Answer | None) -> Panel:
    subtitle = answer.summary if answer and answer.tokens else "asking …"
    style = "red" if answer and answer.error else "green" if answer and answer.done else "yellow"
    return Panel(Text(_text(answer)), title=Text(name), subtitle=Text(subtitle), border_style=style)


def _text(answer: Answer | None) -> str:
    if answer is None:
        return ""
    return answer.text + (f"\n({answer.error})" if answer.error else "")
