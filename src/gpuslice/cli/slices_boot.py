"""``slices restore`` and ``slices boot``: back to a state on file, also when the machine starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import Allow, AsJson, Simulate, gpus_named, machine_of
from gpuslice.cli.slice_flow import (
    After,
    Before,
    DryRun,
    Gpus,
    Manner,
    ShowCommands,
    Yes,
    go_ahead,
    scene_of,
)

if TYPE_CHECKING:
    from gpuslice.agent.checkpoint import Checkpoint
    from gpuslice.agent.partition import Scene
    from gpuslice.model.machine import Machine


def restore(  # noqa: PLR0913 - one parameter for each option
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint.", show_default=False)],
    *,
    gpu: Gpus = None,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Leave GPUs out that are not in this machine."),
    ] = False,
    at_boot: Annotated[
        bool,
        typer.Option(
            "--at-boot",
            help="As the boot unit does: ask nobody, start no agent, and restore what is there "
            "before telling what is missing.",
        ),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    allow: Allow = None,
    before: Before = None,
    after: After = None,
    show_commands: ShowCommands = False,
    simulate: Simulate = "",
    as_json: AsJson = False,
) -> None:
    """Make the GPUs exactly what `gpuslice slices checkpoint` wrote down, place by place."""
    from gpuslice.agent.checkpoint import check_present, read_checkpoint, wishes_for
    from gpuslice.agent.partition import chosen_gpus, propose
    from gpuslice.cli.running import finish_interrupted

    machine = machine_of(simulate)
    if at_boot:
        _restore_at_boot(machine, file)
        return
    found = read_checkpoint(file)
    if not dry_run:
        finish_interrupted(machine, show_commands=show_commands, allow=allow or [])
    scene = scene_of(machine)
    if not skip_missing:
        check_present(found, scene.observed, file)
    chosen = {g.uuid for g in chosen_gpus(scene.observed, gpus_named(gpu))}
    wishes = [w for w in wishes_for(found, scene.observed) if w.gpu_uuid in chosen]
    manner = Manner(
        yes=yes,
        dry_run=dry_run,
        allow=allow,
        as_json=as_json,
        show_commands=show_commands,
        before=before,
        after=after,
    )
    go_ahead(propose(scene, wishes, f"Restore {file}"), machine, manner)


def boot(
    *,
    install: Annotated[
        bool, typer.Option("--install", help="Write the unit and what it restores; needs root.")
    ] = False,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Remove both; slices stay as they are.")
    ] = False,
    print_unit: Annotated[
        bool, typer.Option("--print", help="Show the unit and write nothing.")
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FILE|current",
            help="What to restore: a checkpoint (.json), a mig-parted file (FILE#label), or the "
            "slices there are now.",
        ),
    ] = "current",
    simulate: Simulate = "",
) -> None:
    """Restore MIG mode and slices whenever the machine starts, before container engines do.

    Slices never survive a restart, and from Hopper on MIG mode does not
    either. A systemd unit brings both back.
    """
    from gpuslice.agent import boot as booting
    from gpuslice.cli.console import out

    if [install, uninstall, print_unit].count(True) != 1:
        message = "say one of --install, --uninstall and --print"
        raise typer.BadParameter(message, param_hint="--install")
    machine = machine_of(simulate)
    if print_unit:
        typer.echo(booting.planned_unit(machine), nl=False)
        return
    if uninstall:
        gone = booting.uninstall()
        told = [f"removed {path}" for path in gone] or ["There was no boot unit."]
    else:
        wanted = _checkpoint(scene_of(machine), source)
        told = [f"wrote {path}" for path in booting.install(machine, wanted)]
        told.append("They are restored at every start. Look: systemctl status gpuslice-slices")
    out().print("\n".join(told), markup=False, soft_wrap=True)


def _restore_at_boot(machine: Machine, file: Path) -> None:
    from gpuslice.agent.boot import restore_at_boot
    from gpuslice.cli.console import banner, out
    from gpuslice.cli.render.progress import Progress

    banner(machine)
    with Progress(show_commands=True) as progress:
        changed = restore_at_boot(machine, file, progress.show)
    out().print("Restored." if changed else "Everything is as it was written down.")


def _checkpoint(scene: Scene, source: str) -> Checkpoint:
    """Make the checkpoint that is to be restored at boot, planned on the machine as it is."""
    from gpuslice.agent.checkpoint import (
        check_present,
        checkpoint_after,
        checkpoint_of,
        read_checkpoint,
        wishes_for,
    )
    from gpuslice.agent.partition import propose
    from gpuslice.agent.wishes import wishes_of
    from gpuslice.stack.mig_parted import load_mig_config

    if source == "current":
        return checkpoint_of(scene.observed)
    if source.endswith(".json"):
        found = read_checkpoint(Path(source))
        check_present(found, scene.observed, Path(source))
        propose(scene, wishes_for(found, scene.observed), source)  # refused now, not at boot
        return found
    config = load_mig_config(source)
    wished = wishes_of(config, scene.observed)
    return checkpoint_after(propose(scene, wished.wishes, source, wished.notes))
