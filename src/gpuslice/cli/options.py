"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gpuslice.model.machine import Machine

DEFAULT_FILE = Path("gpuslice.yaml")

Simulate = Annotated[
    str,
    typer.Option(
        "--simulate",
        envvar="GPUSLICE_SIMULATE",
        metavar="BOARD[:N][,…]",
        help="Use simulated GPUs, such as a100-80gb or a100-80gb:2,h100-80gb. Servers stay real.",
        rich_help_panel="Machine",
    ),
]

StackFile = Annotated[
    Path,
    typer.Option("--file", "-f", metavar="FILE", help="The stack file."),
]

Moves = Annotated[
    int | None,
    typer.Option(
        "--moves",
        metavar="N",
        min=0,
        help="Let at most so many running servers change their slice; 0 leaves each where it is.",
    ),
]

Drain = Annotated[
    list[str] | None,
    typer.Option(
        "--drain",
        metavar="GPU",
        help="Empty this GPU (index or UUID) of our slices and do not use it; may be repeated.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def machine_of(simulate: str) -> Machine:
    """Resolve the machine a command is about and label the screen when it is simulated."""
    from gpuslice.agent.node import machine_for

    return machine_for(simulate.strip())


def simulated_machine_of(simulate: str) -> Machine:
    """Resolve the machine of a command that makes no sense on a real one."""
    machine = machine_of(simulate)
    if not machine.simulated:
        raise typer.BadParameter("name the simulated GPUs", param_hint="--simulate")
    return machine


def gpus_named(drain: list[str] | None) -> tuple[int | str, ...]:
    """Read what stands behind ``--drain`` as a stack file would have it."""
    return tuple(int(name) if name.isdecimal() else name for name in drain or ())
