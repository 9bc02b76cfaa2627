"""``up`` and ``down``: the two commands that change something.

Both ask the agent and show what it reports. The agent is started where there is none.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpuslice.cli.dry_run import show_down, show_up
from gpuslice.cli.options import (
    DEFAULT_FILE,
    Allow,
    Drain,
    DryRun,
    Moves,
    Simulate,
    StackFile,
    gpus_named,
    machine_of,
)

if TYPE_CHECKING:
    from types import FrameType

    from rich.text import Text

    from gpuslice.agent.client import AgentClient
    from gpuslice.agent.node import Node
    from gpuslice.agent.proposal import Proposal
    from gpuslice.model.machine import Machine

ShowCommands = Annotated[
    bool,
    typer.Option("--show-commands", help="Show beside each step what you would have typed."),
]

PlanOnFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Carry out exactly the plan that gpuslice plan --out wrote; no stack file is read.",
    ),
]


def up(  # noqa: PLR0913 - one parameter for each option
    *,
    file: StackFile = DEFAULT_FILE,
    simulate: Simulate = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running and give the terminal back.")
    ] = False,
    show_commands: ShowCommands = False,
    moves: Moves = None,
    drain: Drain = None,
    plan_file: PlanOnFile = None,
    allow: Allow = None,
    dry_run: DryRun = False,
    fleet: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Plan, ask, make the slices, start the servers, and wait until they answer.

    Without -d the stack belongs to this terminal: Ctrl-C, at any time, ends where it began. Run it
    again with an edited file and only what has to change is changed.
    """
    from gpuslice.agent.client import coming_agent, ensure_agent

    _check_together(file, plan_file, fleet, limited=moves is not None or bool(drain))
    machine = machine_of(simulate)
    if plan_file is None:
        propose = _from_stack(machine, file, moves, drain)
    else:
        propose = _from_plan(machine, plan_file)
    if dry_run:
        show_up(machine, propose())
        return
    finish_interrupted(machine, show_commands=show_commands, allow=allow or [])
    # Where nobody is asked, the agent starts while it is planned.
    with coming_agent(machine) if yes else nullcontext(partial(ensure_agent, machine)) as agent:
        proposal = propose()
        _show_and_ask(proposal, yes=yes)
        client = agent()
    payload = {"detach": detach, "allow": allow or []}
    _bring_up(client, proposal, payload, show_commands=show_commands)


def down(
    *,
    simulate: Simulate = "",
    slices: Annotated[
        bool, typer.Option("--slices", help="Also remove the slices of this stack.")
    ] = False,
    mig_off: Annotated[
        bool,
        typer.Option("--mig-off", help="Also switch MIG mode off (implies --slices)."),
    ] = False,
    show_commands: ShowCommands = False,
    allow: Allow = None,
    dry_run: DryRun = False,
) -> None:
    """Stop the servers and the gateway; never touch what is not ours."""
    from gpuslice.agent.client import ensure_agent, wait_until_gone
    from gpuslice.agent.node import open_node
    from gpuslice.cli.console import banner, out

    machine = machine_of(simulate)
    banner(machine)
    node = open_node(machine)
    if dry_run:
        show_down(node, slices=slices or mig_off, mig_off=mig_off)
        return
    client = ensure_agent(machine)
    payload = {"slices": slices or mig_off, "mig_off": mig_off, "allow": allow or []}
    _follow(client, "/v1/down", payload, show_commands=show_commands)
    wait_until_gone(machine)
    out().print(_remainder(node))


def _check_together(
    file: Path, plan_file: Path | None, fleet: Path | None, *, limited: bool
) -> None:
    """Refuse what cannot be meant."""
    if fleet is not None:
        message = "A fleet is on paper and cannot be brought up; look at it with `gpuslice plan`."
        raise typer.BadParameter(message, param_hint="--fleet")
    if plan_file is not None and file != DEFAULT_FILE:
        message = "A plan on file says it all already; leave the stack file out."
        raise typer.BadParameter(message, param_hint="--file")
    if plan_file is not None and limited:
        message = "A plan on file is carried out as it is; make another with `gpuslice plan`."
        raise typer.BadParameter(message, param_hint="--moves, --drain")


def _from_stack(
    machine: Machine, file: Path, moves: int | None, drain: list[str] | None
) -> Callable[[], Proposal]:
    """Read the stack file now, so that its problems come first, and plan when asked."""
    from gpuslice.cli.console import banner
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    banner(machine)

    def propose() -> Proposal:
        # Imported here, for the agent starts meanwhile.
        from gpuslice.agent.node import open_node
        from gpuslice.agent.prepare import prepare
        from gpuslice.agent.proposal import PlanOptions
        from gpuslice.cli.render.progress import Thinking

        options = PlanOptions(most_moves=moves, drain=gpus_named(drain))
        with Thinking() as thinking:
            return prepare(open_node(machine), loaded, options, tell=thinking.tell)

    return propose


def _from_plan(machine: Machine, path: Path) -> Callable[[], Proposal]:
    """Read the plan on file now, and hold it against the machine when asked."""
    from gpuslice.agent.node import open_node
    from gpuslice.agent.plan_file import propose, read_plan
    from gpuslice.cli.console import banner

    content = read_plan(path)
    banner(machine)
    node = open_node(machine)
    return lambda: propose(node, content, path)


def finish_interrupted(machine: Machine, *, show_commands: bool, allow: list[str]) -> None:
    """Undo what a killed agent left half done, before anything is planned on top of it."""
    from gpuslice.agent.client import ensure_agent
    from gpuslice.agent.node import record_store
    from gpuslice.cli.console import err

    if record_store(machine).read_journal() is None:
        return
    client = ensure_agent(machine)
    status = client.status()
    if status is not None and (status.foreground or status.changing):
        return  # it is not half done: it is being done, and the agent will say so
    err().print("[yellow]An earlier change was interrupted; undoing it first.[/]", markup=True)
    _follow(client, "/v1/recover", {"allow": allow}, show_commands=show_commands)


def _show_and_ask(proposal: Proposal, *, yes: bool) -> None:
    from gpuslice.cli.console import err, out
    from gpuslice.cli.render.plan import plan_view

    out().print(plan_view(proposal))
    _ = proposal.change  # raises when something found no slice: nothing is asked then
    if yes or not (proposal.plan.changes or proposal.restarts or _is_new(proposal)):
        return
    if not sys.stdin.isatty():
        message = "Standard input is no terminal: say --yes to go ahead without being asked."
        raise typer.BadParameter(message, param_hint="--yes")
    if not typer.confirm("Go ahead?", default=True, err=True):
        err().print("Nothing was changed.")
        raise typer.Exit(1)


def _is_new(proposal: Proposal) -> bool:
    return proposal.record.desired != proposal.desired


def _bring_up(
    client: AgentClient, proposal: Proposal, asked: dict[str, Any], *, show_commands: bool
) -> None:
    from pydantic import TypeAdapter

    from gpuslice.cli.console import out
    from gpuslice.cli.render.progress import Progress
    from gpuslice.model.desired import Change
    from gpuslice.model.event import EventKind

    change = TypeAdapter(Change).dump_python(proposal.change, mode="json")
    payload, detach = {"change": change, **asked}, bool(asked["detach"])
    with ctrl_c_cancels(client) as interrupted, Progress(show_commands=show_commands) as progress:
        for event in client.events("/v1/up", payload):
            progress.show(event)
            if event.kind is EventKind.READY:
                progress.pause()
                # Not wrapped: the curl line is there to be copied.
                out().print(_endpoint(proposal, detach=detach), soft_wrap=True)
    if interrupted:
        raise typer.Exit(130)


def _endpoint(proposal: Proposal, *, detach: bool) -> Text:
    from rich.text import Text

    gateway = proposal.desired.gateway
    host = "127.0.0.1" if gateway.host in ("0.0.0.0", "::") else gateway.host  # noqa: S104 - shown
    model = proposal.desired.models[0].name
    key = ' -H "Authorization: Bearer $KEY"' if gateway.api_keys_file else ""
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    more = (
        "gpuslice ps · top · ask · logs · cost · down"
        if detach
        else "Ctrl-C takes it down again and leaves the GPUs as they were."
    )
    curl = f"curl http://{host}:{gateway.port}/v1/chat/completions{key} "
    curl += f"-H 'Content-Type: application/json' -d '{body}'\n"
    endpoint = (f"http://{host}:{gateway.port}/v1\n", "bold")
    return Text.assemble("\n", ("Endpoint ", "bold green"), endpoint, curl, (more, "dim"))


def _follow(
    client: AgentClient, path: str, payload: dict[str, Any], *, show_commands: bool
) -> None:
    from gpuslice.cli.render.progress import Progress

    with Progress(show_commands=show_commands) as progress:
        for event in client.events(path, payload):
            progress.show(event)


@contextmanager
def ctrl_c_cancels(client: AgentClient) -> Iterator[list[bool]]:
    """Turn the first Ctrl-C into a request to undo; a second one leaves that to the agent."""
    from gpuslice.cli.console import err

    pressed: list[bool] = []

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)
        text = "Interrupted: undoing. Ctrl-C again leaves that to the agent."
        err().print(f"\n[yellow]{text}[/]", markup=True)
        client.cancel()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _remainder(node: Node) -> str:
    """Say what is left after ``down``."""
    record = node.read_record()
    processes = node.runtime.list()
    owned = {o.slice for o in record.owned if o.stack}
    slices = [s for gpu in node.driver.read().gpus for s in gpu.slices if s.key in owned]
    left = [f"{process.name} (pid {process.pid})" for process in processes]
    left += [f"slice {s.profile} at {s.placement}" for s in slices]
    if not left:
        return "Down. Nothing of it is left."
    return "Down. Left: " + ", ".join(left) + ". Remove slices with: gpuslice down --slices"
