"""``simulate``: looking at and handling the simulated machine itself."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gpuslice.cli import simulated_faults
from gpuslice.cli.options import Simulate, simulated_machine_of

app = typer.Typer(
    name="simulate",
    no_args_is_help=True,
    help="Simulated GPUs: which there are, what is on them, other NVML tools, restart and faults.",
)
app.add_typer(simulated_faults.app)


@app.command()
def boards() -> None:
    """List the boards that can be simulated."""
    from rich.table import Table

    from gpuslice.cli.console import out
    from gpuslice.hardware import load_boards

    table = Table(box=None)
    for name in ("board", "product", "memory", "profiles"):
        table.add_column(name)
    for board in load_boards():
        profiles = ", ".join(p.name for p in board.geometry.profiles) or "no MIG"
        table.add_row(board.key, board.names[0], f"{board.memory_mib or 0:,} MiB", profiles)
    out().print(table)


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    command: Annotated[list[str], typer.Argument(help="The command, such as: gpustat")],
    *,
    simulate: Simulate = "",
) -> None:
    """Run any tool written on pynvml (nvitop, gpustat …) on the simulated GPUs.

    Example: gpuslice simulate run --simulate a100-80gb -- gpustat
    """
    from gpuslice.simulator import tool_environment

    machine = simulated_machine_of(simulate)
    environment = {**os.environ, **tool_environment(machine.simulator_dir, machine.simulation)}
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - the user's own command line
    except FileNotFoundError as error:
        raise typer.BadParameter(f"{command[0]} is not installed") from error


@app.command()
def show(
    *,
    what: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="WHAT",
            help="devices (-L), gip, gipp, gi, ci or cip, as in `nvidia-smi mig -lgip`; "
            "may be repeated. Devices and gi where it is left out.",
        ),
    ] = None,
    narrow: Annotated[
        bool,
        typer.Option("--narrow", help="Tables as drivers up to about R570 print them."),
    ] = False,
    simulate: Simulate = "",
) -> None:
    """Show the simulated machine as nvidia-smi shows a real one, to the letter.

    For scripts, `gpuslice gpus --json` has the same as JSON.

    Example: gpuslice simulate show --list gip --list gi
    """
    from gpuslice.cli.console import banner
    from gpuslice.simulator.listings import Listing, listing
    from gpuslice.simulator.store import Store

    options = {"devices": Listing.DEVICES} | {
        member.removeprefix("l"): member for member in Listing
    }
    wanted = what or ["devices", "gi"]
    for name in wanted:
        if name not in options:
            raise typer.BadParameter(
                f"{name}: take one of {', '.join(options)}", param_hint="--list"
            )
    machine = simulated_machine_of(simulate)
    banner(machine)
    state = Store.open(machine.simulator_dir, machine.simulation).read()
    for name in wanted:
        typer.echo(listing(state, options[name], narrow=narrow))


@app.command()
def reboot(*, simulate: Simulate = "") -> None:
    """Restart the simulated machine: slices go, and Hopper and later forget MIG mode."""
    from gpuslice import simulator
    from gpuslice.cli.console import banner, out

    machine = simulated_machine_of(simulate)
    banner(machine)
    simulator.load(machine.simulator_dir, machine.simulation)
    simulator.reboot(machine.simulator_dir)
    out().print("The simulated machine has been restarted.")
