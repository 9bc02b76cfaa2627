"""What ``ps`` shows, as a table and as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.situation import ServerLine, Situation, replica_of
from gpuslice.model.server import RunningServer

_STATE_STYLES = {"ready": "green", "starting": "yellow", "down": "bold red"}


def situation_view(situation: Situation) -> RenderableType:
    """Show the running stack, or that there is none."""
    desired = situation.record.desired
    if desired is None:
        return Group(Text("No stack is running. Start one: gpuslice up"), *_notes(situation))
    table = Table(title=f"stack {desired.stack}", title_justify="left", box=None)
    for name in (
        "replica",
        "state",
        "slice",
        "GPU",
        "used / total MiB",
        "port",
        "pid",
        "up",
        "restarts",
    ):
        table.add_column(name, justify="right" if "MiB" in name else "left")
    for line in situation.servers:
        table.add_row(*_row(line))
    return Group(table, _gateway(situation), *_notes(situation))


def situation_json(situation: Situation) -> dict[str, Any]:
    """The same for scripts."""
    desired = situation.record.desired
    gateway = None
    if desired is not None:
        gateway = {
            "url": f"http://{desired.gateway.host}:{desired.gateway.port}/v1",
            "ready": situation.gateway_ready,
            "pid": situation.gateway.pid if situation.gateway else None,
            "container": _container_json(situation.gateway),
        }
    return {
        "simulated": situation.observed.simulated,
        "stack": desired.stack if desired else None,
        "servers": [_server_json(line) for line in situation.servers],
        "gateway": gateway,
        "agent": {"pid": situation.agent.pid} if situation.agent else None,
        "missing_slices": [str(owned.replica) for owned in situation.missing],
        "stack_file_edited": situation.edited,
        "change_interrupted": situation.interrupted,
    }


def duration(seconds: float) -> str:
    """Say how long in two units at most: ``42 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def _row(line: ServerLine) -> tuple[str | Text, ...]:
    used = f"{line.use.used_mib:,}" if line.use else "?"
    process = line.process
    return (
        str(replica_of(line)),
        Text(line.state, style=_STATE_STYLES[line.state]),
        f"{line.slice.profile}@{line.slice.placement}",
        str(line.gpu.index),
        f"{used} / {line.slice.memory_mib:,}",
        str(line.launch.port),
        str(process.pid) if process else "–",
        duration(time.time() - process.started_at) if process else "–",
        str(line.restarts),
    )


def _gateway(situation: Situation) -> Text:
    desired = situation.record.desired
    assert desired is not None, "a gateway belongs to a stack"
    state = "ready" if situation.gateway_ready else "starting" if situation.gateway else "down"
    pid = f" (pid {situation.gateway.pid})" if situation.gateway else ""
    url = f"http://{desired.gateway.host}:{desired.gateway.port}/v1"
    return Text.assemble(f"\ngateway {url} ", (state, _STATE_STYLES[state]), pid)


def _container_json(process: RunningServer | None) -> str | None:
    return process.container or None if process else None


def _notes(situation: Situation) -> Iterator[Text]:
    if situation.record.desired is not None and situation.agent is None:
        yield Text(
            "The agent is not running: nothing restarts a server that ends. gpuslice up", "yellow"
        )
    if situation.agent is not None and situation.agent.changing:
        yield Text(f"The agent is {situation.agent.changing}.", "yellow")
    if situation.edited:
        yield Text(
            "The stack file has been edited since: gpuslice plan shows what would change.", "yellow"
        )
    if situation.interrupted:
        yield Text("A change was interrupted: the next up or down undoes it first.", "yellow")
    for owned in situation.missing:
        text = f"The slice of {owned.replica} has gone: gpuslice up makes it anew."
        yield Text(text, "bold red")


def _server_json(line: ServerLine) -> dict[str, Any]:
    replica = replica_of(line)
    return {
        "model": replica.model,
        "replica": replica.replica,
        "state": line.state,
        "gpu": line.gpu.index,
        "gpu_uuid": line.gpu.uuid,
        "slice": line.slice.profile,
        "slice_uuid": line.slice.uuid,
        "placement": str(line.slice.placement),
        "used_mib": line.use.used_mib if line.use else None,
        "total_mib": line.slice.memory_mib,
        "url": line.launch.url,
        "pid": line.process.pid if line.process else None,
        "container": _container_json(line.process),
        "restarts": line.restarts,
    }
