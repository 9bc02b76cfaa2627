"""A replica moves while clients ask without a break: not one request fails, however it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from builders import the_small_model
from end_to_end.conftest import Stand, tiny
from end_to_end.test_stack import ask, pids
from gpuslice.agent.client import AgentClient
from gpuslice.agent.node import open_node
from gpuslice.model.server import RunningServer

CHAT = "gpuslice-test-chat-0"


def servers(stand: Stand) -> list[RunningServer]:
    """The servers of chat that live, by slice."""
    return [p for p in open_node(stand.machine).runtime.list() if p.name == CHAT]


def agent_of(stand: Stand) -> int:
    """Process id of the agent."""
    status = AgentClient(stand.machine).status()
    assert status is not None
    return status.pid


def stream(port: int, model: str) -> str:
    """Ask for a long answer, word by word; returns how the stream ended."""
    body = {
        "model": model,
        "stream": True,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Tell me a story."}],
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        lines = [line.strip() for line in response.read().decode().splitlines() if line.strip()]
    assert lines[-1] == "data: [DONE]", lines[-1:]
    return "done"


class Client(threading.Thread):
    """Somebody who asks again and again. Owned by `asking`."""

    def __init__(self, asks: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._asks = asks
        self._enough = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._enough.is_set():
            try:
                self._asks()
                self.answered += 1
            except (OSError, AssertionError, ValueError) as error:
                self.failures.append(repr(error))

    def end(self) -> None:
        self._enough.set()
        self.join(60)


@contextmanager
def asking(stand: Stand, *asks: Callable[[int, str], str]) -> Iterator[tuple[Client, ...]]:
    """Have chat asked without a break, by one client for each way of asking."""
    clients = tuple(Client(partial(one, stand.port, "chat")) for one in asks)
    for client in clients:
        client.start()
    try:
        yield clients
        before = [client.answered for client in clients]
        stand.wait_for(
            lambda: all(c.answered > b or c.failures for c, b in zip(clients, before, strict=True)),
            "a last answer",
        )
    finally:
        for client in clients:
            client.end()
    assert [failure for client in clients for failure in client.failures] == []
    assert all(client.answered > 1 for client in clients)


def llama(profile: str) -> str:
    return f"chat: {{model: {the_small_model()}, context_tokens: 512, slice: {profile}}}"


@pytest.mark.slow
def test_a_model_moves_to_a_larger_slice_and_not_one_request_fails(stand: Stand) -> None:
    stand.write(llama("1g.10gb"))
    stand.run("up", "-d", "--yes")
    (old,) = servers(stand)
    stand.write(llama("2g.20gb"))

    with asking(stand, ask, stream) as clients:
        shown = stand.run("up", "-d", "--yes")
        told = [client.answered for client in clients]

    assert all(told)
    assert "its new slice is there before the old one goes" in shown
    assert [profile for _, profile, _ in stand.slices()] == ["2g.20gb"]
    (new,) = servers(stand)
    assert new.slice_uuid != old.slice_uuid
    assert stand.json("ps")["servers"][0]["state"] == "ready"
    stand.run("down", "--mig-off")
    stand.assert_nothing_is_left()


def test_a_new_server_that_ends_at_once_costs_the_old_one_no_request(stand: Stand) -> None:
    stand.write(tiny("chat"))
    stand.run("up", "-d", "--yes")
    before, slices = pids(stand), stand.slices()
    command = json.dumps([sys.executable, "-c", "print('boom'); exit(3)"])
    stand.write(f"chat: {{engine: command, slice: 2g.20gb, command: {command}}}")

    with asking(stand, ask):
        shown = stand.run("up", "-d", "--yes", expect=8)

    assert "boom" in shown
    assert pids(stand) == before
    assert stand.slices() == slices


def test_an_agent_that_is_killed_while_two_servers_meet_leaves_the_old_one_answering(
    stand: Stand,
) -> None:
    stand.write(tiny("chat"))
    stand.run("up", "-d", "--yes")
    before, slices = pids(stand), stand.slices()
    stand.write(tiny("chat", profile="2g.20gb", delay_s=600.0))  # never ready

    with asking(stand, ask):
        moving = stand.start("up", "-d", "--yes")
        stand.wait_for(lambda: len(servers(stand)) == 2, "both servers to live")
        os.kill(agent_of(stand), signal.SIGKILL)
        moving.communicate(timeout=60)
        stand.write(tiny("chat"))
        shown = stand.run("up", "-d", "--yes")

    assert "interrupted; undoing it first" in shown
    assert pids(stand) == before
    assert stand.slices() == slices


def test_ctrl_c_while_two_servers_meet_ends_with_the_old_one_alone(stand: Stand) -> None:
    stand.write(tiny("chat"))
    stand.run("up", "-d", "--yes")
    before, slices = pids(stand), stand.slices()
    stand.write(tiny("chat", profile="2g.20gb", delay_s=600.0))

    with asking(stand, ask):
        moving = stand.start("up", "-d", "--yes")
        stand.wait_for(lambda: len(servers(stand)) == 2, "both servers to live")
        moving.send_signal(signal.SIGINT)
        moving.communicate(timeout=60)

    assert pids(stand) == before
    assert stand.slices() == slices


def test_a_pause_that_cannot_be_avoided_is_declared_and_then_made(
    make_stand: Callable[[str], Stand],
) -> None:
    stand = make_stand("a30")
    stand.write(tiny("chat", profile="2g.12gb"))
    stand.run("up", "-d", "--yes")
    (old,) = servers(stand)
    stand.write(tiny("chat", profile="4g.24gb"))

    shown = stand.run("up", "-d", "--yes")

    assert "a pause is unavoidable" in shown
    assert "In between nobody answers for: chat." in shown
    (new,) = servers(stand)
    assert (new.port, new.pid == old.pid) == (old.port, False)
    assert [profile for _, profile, _ in stand.slices()] == ["4g.24gb"]
    assert ask(stand.port, "chat").startswith("I am chat.")


def test_a_server_that_is_replaced_where_it_sits_is_declared_and_disturbs_no_other(
    stand: Stand,
) -> None:
    stand.write(f"{tiny('chat')}\n{tiny('other')}")
    stand.run("up", "-d", "--yes")
    before, slices = pids(stand), stand.slices()
    stand.write(f"{tiny('chat', delay_s=0.1)}\n{tiny('other')}")
    declared = stand.json("plan")["restarts"]

    shown = stand.run("up", "-d", "--yes")

    assert declared == [
        {"replica": {"model": "chat", "replica": 0}, "why": "command changed"},
    ]
    assert "command changed; it does not answer meanwhile" in shown
    assert "In between nobody answers for: chat." in shown
    after = pids(stand)
    assert {name for name in before if after[name] != before[name]} == {"chat/0"}
    assert stand.slices() == slices
    assert ask(stand.port, "chat").startswith("I am chat.")
    assert stand.json("plan")["restarts"] == []
