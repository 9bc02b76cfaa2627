"""A real agent in a thread of the test: daemon, API, socket and client are the shipped ones.

What takes time is held by a gate in front of the driver, so that a test says when it goes on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from pydantic import TypeAdapter

from builders import wait_until
from changing import FailingDriver
from gpuslice.agent.__main__ import _listen, make_private
from gpuslice.agent.client import AgentClient, RemoteError
from gpuslice.agent.control import application
from gpuslice.agent.daemon import Daemon
from gpuslice.agent.node import Node
from gpuslice.agent.supervisor import Supervisor
from gpuslice.model.desired import Change
from gpuslice.model.event import Event
from gpuslice.runtime.ports import free_port
from machines import open_simulated, prepared, write_stack

TWO = (
    "chat: {engine: command, slice: 2g.20gb, replicas: 2, "
    f'command: ["{sys.executable}", "{{port}}"]}}'
)


@dataclass(slots=True, kw_only=True)
class Agent:
    """A running agent in a thread of the test. Owned by its fixture.

    Attributes:
        daemon: The agent itself.
        node: The machine as the agent sees it.
        driver: Its driver, which fails and waits on demand.
        client: A client on its socket.
        left: Set when the agent has said that it has nothing left to do.
        at_gate: Set while a change waits at the gate.
        gate: Open unless a test closes it.
    """

    daemon: Daemon
    node: Node
    driver: FailingDriver
    client: AgentClient
    left: threading.Event
    at_gate: threading.Event
    gate: threading.Event

    def pass_gate(self) -> None:
        self.at_gate.set()
        assert self.gate.wait(20), "the test never opened the gate"

    def up(self, folder: Path) -> dict[str, object]:
        """What ``gpuslice up`` would send for a stack of two slices."""
        path = write_stack(folder, TWO, more=f"gateway: {{port: {free_port()}}}")
        change = prepared(self.node, path).change
        body = TypeAdapter(Change).dump_python(change, mode="json")
        return {"change": body, "detach": True}

    def down(self, *, slices: bool = False, mig_off: bool = False) -> list[Event]:
        payload = {"slices": slices, "mig_off": mig_off}
        return list(self.client.events("/v1/down", payload))

    def has_noticed(self) -> bool:
        """Tell whether the change under way is cancelled."""
        return self.daemon._cancelled.is_set()

    def is_idle(self) -> bool:
        status = self.client.status()
        return status is not None and not status.changing


@contextmanager
def running_agent(home: Path, simulation: str = "a100-80gb") -> Iterator[Agent]:
    """Run an agent of a simulated machine in a thread until the block is left."""
    plain = open_simulated(home, simulation)
    driver = FailingDriver(plain.driver)
    node = replace(plain, driver=driver)
    make_private(node.machine.root)
    left = threading.Event()
    daemon = Daemon(Supervisor(node), left.set)
    config = uvicorn.Config(application(daemon), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    socket = _listen(node.machine)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    wait_until(lambda: server.started)
    agent = Agent(
        daemon=daemon,
        node=node,
        driver=driver,
        client=AgentClient(node.machine),
        left=left,
        at_gate=threading.Event(),
        gate=threading.Event(),
    )
    agent.gate.set()
    driver.before = agent.pass_gate
    yield agent
    agent.gate.set()
    daemon.stop()
    server.should_exit = True
    thread.join()
    socket.close()


class Asking(threading.Thread):
    """Somebody who asks for a change in another terminal and hears how it ends."""

    def __init__(self, agent: Agent, payload: dict[str, object], path: str = "/v1/up") -> None:
        super().__init__()
        self.agent, self.payload, self.path = agent, payload, path
        self.events: list[Event] = []
        self.error: RemoteError | None = None
        self.start()

    def run(self) -> None:
        try:
            for event in self.agent.client.events(self.path, self.payload):
                self.events.append(event)
        except RemoteError as error:
            self.error = error

    def outcome(self) -> str:
        """Code of the error it ended with, or ""."""
        self.join(20)
        assert not self.is_alive(), "the change has not ended"
        return self.error.code if self.error else ""
