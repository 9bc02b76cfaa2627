"""``export``: a stack as a file of another tool, for people who want to leave."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import DEFAULT_FILE, Simulate, StackFile, machine_of

if TYPE_CHECKING:
    from gpuslice.agent.export import Export
    from gpuslice.model.machine import Machine

COMPOSE_FILE = Path("docker-compose.yaml")
STANDARD_OUTPUT = Path("-")

app = typer.Typer(
    no_args_is_help=True,
    help="Write a stack as a file of another tool, for people who want to go on without gpuslice.",
)


class Device(StrEnum):
    """How a container is given its slice."""

    CDI = "cdi"
    NVIDIA = "nvidia"


@app.callback()
def _export() -> None:
    """Keep ``compose`` a command of its own, though it is the only one."""


@app.command()
def compose(
    *,
    file: StackFile = DEFAULT_FILE,
    simulate: Simulate = "",
    out_file: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="Where to write it; - for the terminal."),
    ] = COMPOSE_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    device: Annotated[
        Device | None,
        typer.Option(
            "--device",
            help="How a container gets its slice: by CDI, or by NVIDIA's runtime. Without it, as "
            "the Docker engine here can.",
        ),
    ] = None,
) -> None:
    """Write a docker-compose.yaml that runs the same containers without gpuslice.

    One service for each replica, with its slice by UUID, and one for the gateway: image, command,
    limits and rights are those that gpuslice would give them. Models that run as processes become
    containers too. Secrets are named by their place, never written.

    Where the stack runs, the UUIDs are those of its slices. Where it does not, the file asks for
    them (CHAT_0_SLICE), and its heading has the nvidia-smi commands that make the slices. Changes
    nothing.

    To leave: gpuslice export compose, gpuslice down (the slices stay), docker compose up -d.
    """
    from gpuslice.cli.console import err
    from gpuslice.cli.files import write_file
    from gpuslice.runtime.docker.compose import compose_text

    _require_new(out_file, force=force)
    exported = _exported(machine_of(simulate), file, device)
    for note in exported.notes:
        err().print(f"note: {note}", markup=False, soft_wrap=True)
    if out_file == STANDARD_OUTPUT:
        typer.echo(compose_text(exported.file), nl=False)
        return
    write_file(out_file, compose_text(exported.file))
    _say_next(exported, out_file, simulate)


def _exported(machine: Machine, file: Path, device: Device | None) -> Export:
    from gpuslice.agent.export import export_compose
    from gpuslice.agent.node import open_node
    from gpuslice.cli.planning import file_in_question
    from gpuslice.cli.render.progress import Thinking
    from gpuslice.model.server import HandIn
    from gpuslice.stack.load import load_stack

    ways = {None: None, Device.CDI: HandIn.CDI, Device.NVIDIA: HandIn.REQUEST}
    loaded = load_stack(file_in_question(machine, file))
    with Thinking() as thinking:
        return export_compose(open_node(machine), loaded, hand_in=ways[device], tell=thinking.tell)


def _require_new(path: Path, *, force: bool) -> None:
    from gpuslice.errors import FileNotWrittenError

    if path.is_file() and not force:
        raise FileNotWrittenError(
            f"{path} exists already.",
            hint=f"name another with --out, or overwrite it: "
            f"gpuslice export compose --out {shlex.quote(str(path))} --force",
        )


def _say_next(exported: Export, path: Path, simulate: str) -> None:
    from gpuslice.cli.console import banner, out

    banner(machine_of(simulate))
    count = len(exported.file.servers)
    servers = f"{count} server{'s' * (count != 1)}"
    more = "Read its heading first. " if exported.file.unknown else ""
    out().print(
        f"Wrote {path}: {servers} and the gateway. {more}To leave gpuslice: gpuslice down, then "
        f"docker compose -f {shlex.quote(str(path))} up -d",
        markup=False,
        soft_wrap=True,
    )
