"""``ps``, ``top`` and ``logs``: what runs, how busy it is, what it says. They change nothing."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import AsJson, Simulate, machine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuslice.agent.node import Node
    from gpuslice.monitor.snapshot import Snapshot


def ps(*, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """List the servers of the running stack: slice, memory, port, state."""
    from gpuslice.agent.node import open_node
    from gpuslice.agent.sight import unseen_notes
    from gpuslice.agent.situation import read_situation
    from gpuslice.cli.console import banner, out, print_json, print_notes
    from gpuslice.cli.render.situation import situation_json, situation_view

    machine = machine_of(simulate)
    situation = read_situation(open_node(machine))
    if as_json:
        print_json(situation_json(situation))
    else:
        banner(machine)
        out().print(situation_view(situation))
        print_notes(unseen_notes(situation.observed))


def top(
    *,
    simulate: Simulate = "",
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.2, help="Seconds between readings.")
    ] = 1.0,
    rounds: Annotated[
        int, typer.Option("--rounds", "-n", min=0, help="End after so many readings; 0 never ends.")
    ] = 0,
) -> None:
    """Watch slices and models: memory, utilisation, requests and tokens per second."""
    from rich.live import Live

    from gpuslice.agent.node import open_node
    from gpuslice.cli.console import banner, out
    from gpuslice.cli.render.top import top_view

    machine = machine_of(simulate)
    node = open_node(machine)
    banner(machine)
    with Live(console=out(), auto_refresh=False) if out().is_terminal else nullcontext() as live:
        for number, shown in enumerate(_snapshots(node), start=1):
            if live is not None:
                live.update(top_view(shown), refresh=True)
            else:
                out().print(top_view(shown))
            if number == rounds:
                return
            time.sleep(interval_s)


def logs(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[/REPLICA]", help="A model of the stack, or 'gateway' or 'agent'."
        ),
    ],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it writes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many last lines.")] = 50,
    simulate: Simulate = "",
) -> None:
    """Show what a server has written, also after it ended."""
    from gpuslice.agent.node import open_runtime, record_store
    from gpuslice.agent.situation import log_names

    machine = machine_of(simulate)
    runtime = open_runtime(machine)
    running = () if model == "agent" else runtime.list()
    names = log_names(record_store(machine).read_record(), running, model)
    if follow and len(names) > 1:
        many = ", ".join(names)
        raise typer.BadParameter(f"{many}: name one, such as {model}/0", param_hint="MODEL")
    news = runtime.follow(names[0]) if follow else ()  # taken first, so that no line is missed
    for name in names:
        if len(names) > 1:
            sys.stdout.write(f"==> {name} <==\n")
        for line in runtime.tail(name, lines=lines):
            sys.stdout.write(f"{line}\n")
    for line in news:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _snapshots(node: Node) -> Iterator[Snapshot]:
    """Take readings for ever; rates are those since the reading before."""
    from gpuslice.agent.watching import watched_servers
    from gpuslice.monitor.collect import take_reading
    from gpuslice.monitor.snapshot import snapshot

    before = None
    while True:
        watched, gateway_url = watched_servers(node)
        reading = take_reading(node.driver, watched, gateway_url=gateway_url)
        yield snapshot(before, reading)
        before = reading
