"""Looking and doing with real processes; deciding has tests of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from builders import a_launch, the_process_of, wait_until
from gpuslice.agent.node import Node
from gpuslice.agent.reconcile import Start
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import RuntimeFailure
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Container, Launch
from gpuslice.runtime.api import Runtime
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER


class Clock:
    """A clock that stands until a test moves it. Owned by its test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(node: Node, clock: Clock) -> Iterator[Supervisor]:
    yield Supervisor(node, clock=clock)
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


def a_server(model: str = "chat") -> Launch:
    """The launch of a tiny server."""
    port = free_port()
    command = (sys.executable, str(TINY_SERVER), str(port), model)
    return a_launch(*command, replica=ReplicaId(model, 0), port=port)


def is_ready(supervisor: Supervisor, *launches: Launch) -> bool:
    return supervisor.look(launches).ready >= {launch.key for launch in launches}


def test_what_is_missing_is_started_and_found_ready_once_it_answers(
    supervisor: Supervisor,
) -> None:
    chat = a_server()
    supervisor.step((chat,))
    assert supervisor.started(chat.key)
    wait_until(lambda: is_ready(supervisor, chat))
    (status,) = supervisor.statuses()
    assert (status.name, status.ready, status.restarts) == (chat.name, True, 0)
    assert supervisor.due((chat,), supervisor.look((chat,))) == ()


def test_a_killed_server_is_not_ready_and_is_started_again_after_its_wait(
    supervisor: Supervisor, clock: Clock
) -> None:
    chat = a_server()
    supervisor.step((chat,))
    wait_until(lambda: is_ready(supervisor, chat))
    (process,) = supervisor.node.runtime.list()

    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: supervisor.node.runtime.list() == ())

    supervisor.step((chat,))
    assert supervisor.node.runtime.list() == ()
    assert not supervisor.statuses()[0].ready
    clock.now += 1.0
    supervisor.step((chat,))
    assert [p.name for p in supervisor.node.runtime.list()] == [chat.name]
    assert supervisor.statuses()[0].restarts == 1


def test_a_new_life_of_a_server_is_not_ready_because_the_old_one_was(
    supervisor: Supervisor,
) -> None:
    chat = a_server()
    supervisor.step((chat,))
    wait_until(lambda: is_ready(supervisor, chat))
    runtime = supervisor.node.runtime
    runtime.stop_all(runtime.list(), grace_s=0)

    runtime.start(replace(chat, command=(*chat.command, "60")))  # takes a minute to be ready

    assert not is_ready(supervisor, chat)


def test_one_that_cannot_be_started_does_not_hold_the_others_back(
    supervisor: Supervisor,
) -> None:
    broken = a_launch("/nowhere/no-such-server", replica=ReplicaId("broken", 0))
    chat = a_server()
    supervisor.step((broken, chat))
    assert [p.name for p in supervisor.node.runtime.list()] == [chat.name]
    # It has had its chance: the next comes after a wait.
    seen = supervisor.look((broken, chat))
    assert supervisor.due((broken, chat), seen) == ()


def test_what_nobody_wants_is_stopped(supervisor: Supervisor) -> None:
    chat = a_server()
    supervisor.step((chat,))
    supervisor.step(())
    assert supervisor.node.runtime.list() == ()
    assert supervisor.statuses() == ()


def test_counting_anew_gives_every_process_its_chances_back(
    supervisor: Supervisor, clock: Clock
) -> None:
    chat = a_server()
    supervisor.act(Start(launch=chat))
    supervisor.node.runtime.stop(the_process_of(chat, started_at=_started_at(supervisor)))
    assert supervisor.due((chat,), supervisor.look((chat,))) == ()
    supervisor.start_counting_anew()
    assert not supervisor.started(chat.key)
    assert supervisor.due((chat,), supervisor.look((chat,))) == (Start(launch=chat),)


def _started_at(supervisor: Supervisor) -> float:
    (process,) = supervisor.node.runtime.list()
    return process.started_at


def test_why_a_server_had_ended_is_written_when_it_is_started_again(
    supervisor: Supervisor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing = a_launch("sh", "-c", "echo 'CUDA error: out of memory'; exit 1", port=free_port())
    supervisor.step((failing,))
    wait_until(lambda: supervisor.node.runtime.list() == ())
    assert "had ended" not in caplog.text
    clock.now += 1.0
    supervisor.step((failing,))
    assert "chat-0 had ended: it ran out of memory on its slice" in caplog.text


class Together:
    """A runtime in which no start ends before all that are expected have begun."""

    def __init__(self, expected: int, failing: str = "") -> None:
        self._all_begun = threading.Barrier(expected, timeout=20)
        self._failing = failing
        self.started: list[str] = []

    def tail(self, _name: str, *, lines: int) -> tuple[str, ...]:
        return ()

    def start(self, launch: Launch) -> None:
        self._all_begun.wait()
        if launch.name == self._failing:
            raise RuntimeFailure(f"{launch.name} is not to be")
        self.started.append(launch.name)


def in_containers(*models: str) -> list[Launch]:
    return [replace(a_server(model), container=Container(image="acme/serve:1")) for model in models]


def test_containers_are_started_side_by_side(node: Node) -> None:
    launches = in_containers("chat", "coder", "titles")
    runtime = Together(3)
    supervisor = Supervisor(replace(node, runtime=cast("Runtime", runtime)))
    supervisor.act_all([Start(launch=launch) for launch in launches])
    assert sorted(runtime.started) == sorted(launch.name for launch in launches)
    assert all(supervisor.started(launch.key) for launch in launches)


def test_a_container_that_cannot_be_started_is_told_when_the_others_have_been(node: Node) -> None:
    launches = in_containers("chat", "coder")
    runtime = Together(2, failing=launches[0].name)
    with pytest.raises(RuntimeFailure, match="is not to be"):
        Supervisor(replace(node, runtime=cast("Runtime", runtime))).act_all(
            [Start(launch=one) for one in launches]
        )
    assert runtime.started == [launches[1].name]
