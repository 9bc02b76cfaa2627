"""``init`` and ``schema``: writing a stack file, by hand or with an editor's help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpuslice.cli.options import DEFAULT_FILE, Simulate, StackFile, machine_of


def init(
    *,
    file: StackFile = DEFAULT_FILE,
    simulate: Simulate = "",
    gguf: Annotated[
        Path | None,
        typer.Option(help="A .gguf file to serve. Without it, one found beside the file is used."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented stack file fitted to the GPUs found."""
    from gpuslice.agent.node import open_driver
    from gpuslice.cli.console import banner, out
    from gpuslice.errors import StackError
    from gpuslice.stack.starter import starter

    machine = machine_of(simulate)
    if file.exists() and not force:
        raise StackError(
            f"{file} exists already.",
            hint=f"Edit it, or overwrite it: gpuslice init -f {file} --force",
        )
    observed = open_driver(machine).survey()
    banner(machine)
    file.write_text(starter(observed, _gguf(file.parent, gguf)))
    out().print(f"Wrote {file}. Next: edit it, then [bold]gpuslice plan -f {file}[/]")


def _gguf(folder: Path, named: Path | None) -> str | None:
    """Choose the model file: the one named, or the first found beside the stack file."""
    if named is not None:
        return str(named.absolute())
    found = sorted((*folder.glob("*.gguf"), *folder.glob("models/*.gguf")))
    return str(found[0].relative_to(folder)) if found else None


def schema() -> None:
    """Print the JSON schema of the stack file, for editors and checkers."""
    from gpuslice.cli.console import print_json
    from gpuslice.stack.json_schema import stack_json_schema

    print_json(stack_json_schema())
