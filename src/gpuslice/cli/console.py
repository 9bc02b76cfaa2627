"""The terminal: one console for answers, one for everything else, and how errors look.

Answers go to standard output so that they can be piped; progress, warnings and errors go to
standard error.

What is shown is mostly other people's text: names from files, paths, what servers wrote, what
models answered. So the consoles read no markup in it (words of ours that have markup say
``markup=True``, and hold nothing else), and no control character of it reaches the terminal,
where it could hide a line, rename the window or type into the shell.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.segment import Segment

    from gpuslice.errors import GpusliceError
    from gpuslice.model.machine import Machine


# Tabs and line ends are all that text may tell a terminal. Joiners stay: emoji are made with them.
_DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Leave out the characters that drive a terminal, or turn the direction of writing."""
    return _DRIVING.sub("", text)


@cache
def out() -> Console:
    """The console for answers."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """The console for progress, warnings and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """Make a console that shows text and obeys none of it; rich's own colours are not text."""
    from rich.console import Console
    from rich.segment import Segment

    class HarmlessConsole(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(harmless(text), style)

    return HarmlessConsole(stderr=stderr, highlight=False, soft_wrap=False, markup=False)


def banner(machine: Machine) -> None:
    """Say on every screen of a simulated machine that it is one."""
    if machine.simulated:
        from rich.markup import escape

        out().print(
            "[bold black on yellow] SIMULATED GPU [/] "
            f"[yellow]{escape(machine.simulation)}; servers and answers are real[/]",
            markup=True,
        )


def paper_banner() -> None:
    """Say that a plan is on paper: its GPUs are those of a fleet file."""
    out().print(
        "[bold black on yellow] PLANNED ON PAPER [/] "
        "[yellow]these GPUs are not there; nothing can be carried out on them[/]",
        markup=True,
    )


def print_notes(notes: Sequence[str]) -> None:
    """Show what a person should know beside an answer, one line each."""
    from rich.text import Text

    for note in notes:
        out().print(Text.assemble(("note ", "yellow"), note))


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts: no colour, no wrapping, keys in a fixed order."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(_DRIVING.sub(lambda c: f"\\u{ord(c.group()):04x}", text) + "\n")


def print_error(error: GpusliceError) -> None:
    """Show an error: what happened, the particulars, and the one next action."""
    from rich.text import Text

    console = err()
    console.print(Text.assemble(("error", "bold red"), f" [{error.code}] {error.message}"))
    for line in error.details:
        console.print(Text(f"  {line}"))
    if error.hint:
        console.print(Text.assemble(("next: ", "bold cyan"), error.hint))
