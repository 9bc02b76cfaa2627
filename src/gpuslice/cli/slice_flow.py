"""What the slice commands share: exit statuses for scripts, and show, ask, carry out.

Scripts tell three answers apart: 0 equal (or done), 2 different, 1 failed. Elsewhere 2 is wrong
usage, and a failure has the status of its family; below ``gpuslice slices`` wrong usage is 64, and
every failure is 1 but an interruption, so that no number means two things.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gpuslice.errors import GpusliceError

if TYPE_CHECKING:
    from gpuslice.agent.partition import Partition, Scene
    from gpuslice.agent.slice_changes import SliceChange
    from gpuslice.model.desired import Hooks
    from gpuslice.model.machine import Machine

DIFFERS = 2
FAILED = 1
INTERRUPTED = 128  # from here on, as shells count signals
WRONG_USAGE = 64  # EX_USAGE of sysexits.h

# Of all kinds of wrong usage typer exports this one alone; its base is what they have in common.
_WRONG_USAGE_ERRORS: tuple[type[Exception], ...] = typer.BadParameter.__bases__

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Change nothing; exit status 2 when something would change."),
]
Gpus = Annotated[
    list[str] | None,
    typer.Option("--gpu", metavar="GPU", help="This GPU only (index or UUID); may be repeated."),
]
ShowCommands = Annotated[
    bool,
    typer.Option("--show-commands", help="Show beside each step what you would have typed."),
]


Before = Annotated[
    list[str] | None,
    typer.Option(
        "--before",
        metavar="COMMAND",
        help="Run this before anything is touched, such as 'systemctl stop dcgm'; no shell, the "
        "plan as JSON on standard input. May be repeated.",
    ),
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="COMMAND",
        help="Run this when it is over, however it ended. May be repeated.",
    ),
]


class SlicesGroup(TyperGroup):
    """The group ``slices``, below which wrong usage has a status of its own."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse what stands before a command's name."""
        with _usage_told_apart():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse and run a command."""
        with _usage_told_apart(), _failing_with_1():
            return super().invoke(ctx)


@contextmanager
def _failing_with_1() -> Iterator[None]:
    try:
        yield
    except GpusliceError as error:
        if error.exit_status < INTERRUPTED:
            error.exit_status = FAILED  # type: ignore[misc]  # this one error's, not its class's
        raise


def scene_of(machine: Machine) -> Scene:
    """Read the machine as it is."""
    from gpuslice.agent.node import open_node
    from gpuslice.agent.partition import look

    return look(open_node(machine))


def show(partition: Partition, machine: Machine, *, allow: tuple[str, ...], as_json: bool) -> None:
    """Show a change before it is made."""
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.slices import partition_json, partition_view

    if as_json:
        print_json(partition_json(partition))
        return
    banner(machine)
    out().print(partition_view(partition, allow))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a change is to be shown and made: the options that all these commands share.

    Attributes:
        yes: Do not ask.
        dry_run: Change nothing.
        allow: Names of the refusals that are lifted.
        as_json: Print JSON for scripts.
        show_commands: Show beside each step what one would have typed.
        before: Commands to run before, each in one text.
        after: Commands to run after, likewise.
    """

    yes: bool
    dry_run: bool
    allow: list[str] | None
    as_json: bool
    show_commands: bool
    before: list[str] | None = None
    after: list[str] | None = None


def go_ahead(partition: Partition, machine: Machine, manner: Manner) -> None:
    """Show a change, ask, and have the agent carry it out.

    Raises:
        GpusliceError: It was refused, or failed and was undone.
        typer.Exit: With 2 after a dry run that would change something, 1 where the answer was no.
    """
    from gpuslice.agent.slice_changes import SliceChange, check_allowed, check_stack

    lifted, hooks = tuple(manner.allow or ()), _hooks(manner.before, manner.after)
    show(partition, machine, allow=lifted, as_json=manner.as_json)
    if not partition.plan.changes:
        return
    check_stack(partition.scene, partition.plan)
    if manner.dry_run:
        raise typer.Exit(DIFFERS)
    check_allowed(partition.scene, partition.plan, lifted)
    _ask(yes=manner.yes)
    change = SliceChange(plan=partition.plan, allow=lifted, hooks=hooks)
    carry_out(change, machine, show_commands=manner.show_commands)


def _hooks(before: list[str] | None, after: list[str] | None) -> Hooks:
    """Split commands into their arguments, as a shell would, without one.

    Raises:
        typer.BadParameter: A quote is not closed, or there is no word.
    """
    from gpuslice.model.desired import Hooks

    return Hooks(before=_words("--before", before), after=_words("--after", after))


def _words(option: str, commands: list[str] | None) -> tuple[tuple[str, ...], ...]:
    try:
        vectors = tuple(tuple(shlex.split(command)) for command in commands or ())
    except ValueError as error:
        message = f"the command cannot be split into words: {error}"
        raise typer.BadParameter(message, param_hint=option) from error
    if not all(vectors):
        raise typer.BadParameter("a command has at least one word", param_hint=option)
    return vectors


def carry_out(change: SliceChange, machine: Machine, *, show_commands: bool) -> None:
    """Have the agent carry a change out, and show what it reports; Ctrl-C undoes it."""
    from pydantic import TypeAdapter

    from gpuslice.agent.client import ensure_agent
    from gpuslice.agent.slice_changes import SliceChange
    from gpuslice.cli.console import err
    from gpuslice.cli.render.progress import Progress
    from gpuslice.cli.running import ctrl_c_cancels

    payload = TypeAdapter(SliceChange).dump_python(change, mode="json")
    client = ensure_agent(machine)
    with ctrl_c_cancels(client) as interrupted, Progress(show_commands=show_commands) as progress:
        for event in client.events("/v1/slices", payload):
            progress.show(event)
    if interrupted:  # too late: one that came in time has ended in an error that says so
        err().print(
            "[yellow]The change was done before it could be interrupted; it stands.[/]", markup=True
        )


def _ask(*, yes: bool) -> None:
    from gpuslice.cli.console import err

    if yes:
        return
    if not sys.stdin.isatty():
        message = "Standard input is no terminal: say --yes to go ahead without being asked."
        raise typer.BadParameter(message, param_hint="--yes")
    if not typer.confirm("Go ahead?", default=True, err=True):
        err().print("Nothing was changed.")
        raise typer.Exit(FAILED)


@contextmanager
def _usage_told_apart() -> Iterator[None]:
    try:
        yield
    except _WRONG_USAGE_ERRORS as error:
        error.exit_code = WRONG_USAGE  # type: ignore[attr-defined]  # what typer exits with
        raise
