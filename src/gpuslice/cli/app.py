"""The command ``gpuslice``: its commands by name.

Commands live in modules of their own and import what they need when they run, so that ``--help``
and completion answer at once.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gpuslice.cli import (
    asking,
    exporting,
    hardware,
    planning,
    running,
    simulating,
    sizing,
    slices,
    stackfile,
    watching,
)

app = typer.Typer(
    name="gpuslice",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Turn data-centre GPUs into isolated MIG slices and serve a model on each.\n\n"
        "Start here: [bold]gpuslice doctor[/] says whether this machine can do it, "
        "[bold]gpuslice init[/] writes a stack file, [bold]gpuslice plan[/] shows what would "
        "happen and changes nothing, [bold]gpuslice up[/] does it. Without a GPU add "
        "[bold]--simulate a100-80gb[/]."
    ),
    epilog=(
        "Exit status: 0 done · 1 failed, or doctor found something · 2 wrong usage · 3 stack file "
        "· 4 planning · 5 GPU driver · 6 permission · 7 change failed and undone · 8 server "
        "· 9 gateway · 10 agent · 130 interrupted and undone"
    ),
)

_BEFORE = "Before anything runs"
_RUN = "Run a stack"
_WATCH = "Watch it"
_MORE = "More"

app.command(rich_help_panel=_BEFORE)(hardware.doctor)
app.command(rich_help_panel=_BEFORE)(hardware.gpus)
app.command(rich_help_panel=_BEFORE)(hardware.profiles)
app.command(rich_help_panel=_BEFORE)(sizing.size)
app.command(rich_help_panel=_BEFORE)(stackfile.init)
app.command(rich_help_panel=_BEFORE)(planning.plan)
app.command(rich_help_panel=_RUN)(running.up)
app.command(rich_help_panel=_RUN)(running.down)
app.command(rich_help_panel=_RUN)(asking.ask)
app.command(rich_help_panel=_WATCH)(watching.ps)
app.command(rich_help_panel=_WATCH)(watching.top)
app.command(rich_help_panel=_WATCH)(watching.logs)
app.command(rich_help_panel=_WATCH)(planning.cost)
app.command(rich_help_panel=_MORE)(stackfile.schema)
app.add_typer(slices.app, name="slices", rich_help_panel=_RUN)
app.add_typer(exporting.app, name="export", rich_help_panel=_MORE)
app.add_typer(simulating.app, name="simulate", rich_help_panel=_MORE)


def _print_version(wanted: bool) -> None:
    if wanted:
        from gpuslice import __version__

        typer.echo(f"gpuslice {__version__}")
        raise typer.Exit


def _name_simulation(boards: str) -> str:
    """Let ``gpuslice --simulate … plan`` mean the same as ``gpuslice plan --simulate …``."""
    if boards:
        os.environ["GPUSLICE_SIMULATE"] = boards
    return boards


@app.callback()
def _root(
    *,
    simulate: Annotated[
        str,
        typer.Option(
            "--simulate",
            metavar="BOARD[:N][,…]",
            help="Use simulated GPUs, such as a100-80gb:2; may also stand after the command.",
            callback=_name_simulation,
        ),
    ] = "",
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass
