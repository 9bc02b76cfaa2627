"""``slices``: slices without models, for those who serve by other means.

The same change as ``up`` makes, by the same agent, without gateway and servers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import Allow, AsJson, Simulate, gpus_named, machine_of
from gpuslice.cli.slice_flow import (
    DIFFERS,
    After,
    Before,
    DryRun,
    Gpus,
    Manner,
    ShowCommands,
    SlicesGroup,
    Yes,
    go_ahead,
    scene_of,
)
from gpuslice.cli.slices_boot import boot, restore

if TYPE_CHECKING:
    from gpuslice.model.machine import Machine

app = typer.Typer(
    name="slices",
    cls=SlicesGroup,
    no_args_is_help=True,
    help=(
        "Slices without models: lay GPUs out by a mig-parted file, or slice by slice.\n\n"
        "Only what has to change is changed; the difference is shown first, and a change that "
        "fails is undone. Exit status: 0 equal or done, 2 different, 1 failed, 64 wrong usage."
    ),
)

STANDARD_OUTPUT = Path("-")

LayoutFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE[#LABEL]",
        help="A mig-parted file; the label may be left out where the file has one.",
        show_default=False,
    ),
]


@app.command("list")
def list_slices(*, gpu: Gpus = None, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """List the slices: where they lie, whose they are, what runs on them."""
    from gpuslice.agent.partition import chosen_gpus
    from gpuslice.agent.sight import unseen_notes
    from gpuslice.cli.console import banner, out, print_json, print_notes
    from gpuslice.cli.render.slices import slices_json, slices_table

    machine = machine_of(simulate)
    scene = scene_of(machine)
    gpus = chosen_gpus(scene.observed, gpus_named(gpu))
    if as_json:
        print_json(slices_json(scene, gpus))
    else:
        banner(machine)
        out().print(slices_table(scene, gpus))
        print_notes(unseen_notes(scene.observed))


@app.command()
def apply(  # noqa: PLR0913 - one parameter for each option
    file: LayoutFile,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    allow: Allow = None,
    before: Before = None,
    after: After = None,
    show_commands: ShowCommands = False,
    simulate: Simulate = "",
    as_json: AsJson = False,
) -> None:
    """Make the GPUs what a mig-parted file says, changing as little as possible.

    Slices that are wanted stay where they are, with whatever runs on them.
    Slices of a running stack never go this way, and those that gpuslice did
    not make only with --allow.

    Example: gpuslice slices apply config.yaml#all-balanced
    """
    from gpuslice.agent.partition import propose
    from gpuslice.agent.wishes import wishes_of
    from gpuslice.stack.mig_parted import load_mig_config

    machine = machine_of(simulate)
    config = load_mig_config(file)
    _finish(machine, dry_run=dry_run, show_commands=show_commands, allow=allow)
    scene = scene_of(machine)
    found = wishes_of(config, scene.observed)
    title = f"Layout {config.label} of {config.file}"
    partition = propose(scene, found.wishes, title, found.notes)
    manner = Manner(
        yes=yes,
        dry_run=dry_run,
        allow=allow,
        as_json=as_json,
        show_commands=show_commands,
        before=before,
        after=after,
    )
    go_ahead(partition, machine, manner)


@app.command("assert")
def assert_layout(file: LayoutFile, *, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """Tell whether the GPUs are what a mig-parted file says, and where they are not.

    Exit status 0 when they are, 2 when they differ, 1 when that could not be told.
    """
    from gpuslice.agent.partition import propose
    from gpuslice.agent.wishes import wishes_of
    from gpuslice.cli.console import banner, err, out, print_json
    from gpuslice.cli.render.slices import differences
    from gpuslice.stack.mig_parted import load_mig_config

    machine = machine_of(simulate)
    config = load_mig_config(file)
    scene = scene_of(machine)
    found = wishes_of(config, scene.observed)
    title = f"Layout {config.label} of {config.file}"
    partition = propose(scene, found.wishes, title, found.notes)
    told = differences(partition)
    if as_json:
        equal = not partition.plan.changes
        value = {"simulated": machine.simulated, "equal": equal, "differences": told}
        print_json(value | {"notes": found.notes})
    else:
        banner(machine)
        for note in found.notes:
            err().print(note, style="yellow", markup=False)
        for line in told or (f"{title}: the GPUs are as it says.",):
            out().print(line, markup=False)
    if partition.plan.changes:
        raise typer.Exit(DIFFERS)


@app.command()
def create(  # noqa: PLR0913 - one parameter for each option
    profile: Annotated[
        str,
        typer.Argument(
            metavar="PROFILE", help="Such as 3g.40gb, 1g.10gb+me or 1c.3g.40gb.", show_default=False
        ),
    ],
    *,
    gpu: Gpus = None,
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="START", min=0, help="First memory slice of the slice."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=448, help="How many.")] = 1,
    yes: Yes = False,
    dry_run: DryRun = False,
    allow: Allow = None,
    before: Before = None,
    after: After = None,
    show_commands: ShowCommands = False,
    simulate: Simulate = "",
    as_json: AsJson = False,
) -> None:
    """Create slices beside those that are there.

    Without --gpu they go where MIG is on and there is room; without --at
    where they leave most. Compute instances (1c.3g.40gb) share as few slices
    as they fill.
    """
    from gpuslice.agent.partition import propose_creation

    if at is not None and count > 1:
        raise typer.BadParameter("names one place, so create one at a time", param_hint="--at")
    machine = machine_of(simulate)
    _finish(machine, dry_run=dry_run, show_commands=show_commands, allow=allow)
    scene = scene_of(machine)
    partition = propose_creation(scene, profile, gpus_named(gpu), count=count, start=at)
    manner = Manner(
        yes=yes,
        dry_run=dry_run,
        allow=allow,
        as_json=as_json,
        show_commands=show_commands,
        before=before,
        after=after,
    )
    go_ahead(partition, machine, manner)


@app.command()
def destroy(  # noqa: PLR0913 - one parameter for each option
    slices: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="As `gpuslice slices list` names them: GPU/ID, or a UUID.",
            show_default=False,
        ),
    ] = None,
    *,
    all_ours: Annotated[
        bool,
        typer.Option("--all-ours", help="Every slice made with `gpuslice slices`."),
    ] = False,
    gpu: Gpus = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    allow: Allow = None,
    before: Before = None,
    after: After = None,
    show_commands: ShowCommands = False,
    simulate: Simulate = "",
    as_json: AsJson = False,
) -> None:
    """Destroy slices; MIG mode stays as it is.

    Slices that gpuslice did not make, or that a process holds, go only with --allow.
    """
    from gpuslice.agent.partition import going_slices, propose_removal

    if bool(slices) == all_ours:
        raise typer.BadParameter("name slices, or say --all-ours", param_hint="ID")
    machine = machine_of(simulate)
    _finish(machine, dry_run=dry_run, show_commands=show_commands, allow=allow)
    scene = scene_of(machine)
    partition = propose_removal(scene, going_slices(scene, slices or (), gpus_named(gpu)))
    manner = Manner(
        yes=yes,
        dry_run=dry_run,
        allow=allow,
        as_json=as_json,
        show_commands=show_commands,
        before=before,
        after=after,
    )
    go_ahead(partition, machine, manner)


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to write; '-' or nothing for standard output."),
    ] = STANDARD_OUTPUT,
    *,
    label: Annotated[str, typer.Option("--label", help="The layout's label.")] = "current",
    simulate: Simulate = "",
) -> None:
    """Write the present layout as a mig-parted file; applied again, it changes nothing."""
    from gpuslice.agent.checkpoint import half_made, layout_text
    from gpuslice.cli.console import err

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", label):
        message = "a label is made of letters, digits, '.', '_' and '-'"
        raise typer.BadParameter(message, param_hint="--label")
    observed = scene_of(machine_of(simulate)).observed
    for note in half_made(observed):
        err().print(note, style="yellow", markup=False)
    text = layout_text(observed, label)
    _write(file, text)


@app.command()
def checkpoint(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to write; '-' for standard output.", show_default=False
        ),
    ],
    *,
    gpu: Gpus = None,
    simulate: Simulate = "",
) -> None:
    """Write down exactly how the GPUs are: MIG mode, and every slice with its place.

    `gpuslice slices restore FILE` makes them so again, on this machine.
    """
    from gpuslice.agent.checkpoint import checkpoint_of, checkpoint_text, half_made
    from gpuslice.agent.partition import chosen_gpus
    from gpuslice.cli.console import err

    observed = scene_of(machine_of(simulate)).observed
    for note in half_made(observed):
        err().print(note, style="yellow", markup=False)
    found = checkpoint_of(observed, chosen_gpus(observed, gpus_named(gpu)))
    _write(file, checkpoint_text(found))


def _write(file: Path, text: str) -> None:
    """Write a file that the user asked for, or to standard output."""
    from gpuslice.cli.files import write_file

    if file == STANDARD_OUTPUT:
        typer.echo(text, nl=False)
    else:
        write_file(file, text)


def _finish(
    machine: Machine, *, dry_run: bool, show_commands: bool, allow: list[str] | None
) -> None:
    """Undo first what a killed agent left half done; a dry run changes nothing, this neither."""
    from gpuslice.cli.running import finish_interrupted

    if not dry_run:
        finish_interrupted(machine, show_commands=show_commands, allow=allow or [])


app.command()(restore)
app.command()(boot)
