"""The terminal: one console for answers, one for everything else, and how errors look.

Answers go to standard output so that they can be piped; progress, warnings and errors go to
standard error.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gpuslice.errors import GpusliceError
    from gpuslice.model.machine import Machine


@cache
def out() -> Console:
    """The console for answers."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


@cache
def err() -> Console:
    """The console for progress, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def banner(machine: Machine) -> None:
    """Say on every screen of a simulated machine that it is one."""
    if machine.simulated:
        out().print(
            f"[bold black on yellow] SIMULATED GPU [/] [yellow]{machine.simulation}; "
            "servers and answers are real[/]"
        )


def paper_banner() -> None:
    """Say that a plan is on paper: its GPUs are those of a fleet file."""
    out().print(
        "[bold black on yellow] PLANNED ON PAPER [/] "
        "[yellow]these GPUs are not there; nothing can be carried out on them[/]"
    )


def print_notes(notes: Sequence[str]) -> None:
    """Show what a person should know beside an answer, one line each."""
    from rich.text import Text

    for note in notes:
        out().print(Text.assemble(("note ", "yellow"), note))


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts: no colour, no wrapping, keys in a fixed order."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_error(error: GpusliceError) -> None:
    """Show an error: what happened, the particulars, and the one next action."""
    from rich.text import Text

    console = err()
    console.print(Text.assemble(("error", "bold red"), f" [{error.code}] {error.message}"))
    for line in error.details:
        console.print(Text(f"  {line}"))
    if error.hint:
        console.print(Text.assemble(("next: ", "bold cyan"), error.hint))
