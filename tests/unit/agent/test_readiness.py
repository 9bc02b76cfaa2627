"""Asking never holds up a look, and a new life of a server has to answer anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from builders import a_launch, the_process_of, wait_until
from gpuslice.agent import readiness
from gpuslice.agent.readiness import Readiness
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, ServerKey
from gpuslice.runtime.ready import Answer

CHAT = a_launch()
CODER = a_launch(replica=ReplicaId("coder", 0), port=20002)
REFUSED = Answer(ready=False, said="no", refused=True)


class Servers:
    """Answers for servers; one that hangs answers when it is let go. Owned by its test."""

    def __init__(self) -> None:
        self.answers = {CHAT.key: Answer(ready=True), CODER.key: Answer(ready=True)}
        self.hanging: set[ServerKey] = set()
        self.let_go = threading.Event()
        self.asked: list[ServerKey] = []

    def __call__(self, launch: Launch) -> Answer:
        self.asked.append(launch.key)
        if launch.key in self.hanging:
            self.let_go.wait(10)
        return self.answers[launch.key]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setattr(readiness, "LOOK_FOR_S", 0.05)
    servers = Servers()
    yield servers
    servers.let_go.set()


def look(asked: Readiness, *launches: Launch, pid: int = 4711) -> frozenset[ServerKey]:
    processes = [replace(the_process_of(launch), pid=pid) for launch in launches]
    asked.look(processes, launches)
    return asked.ready


def test_a_server_that_answers_is_ready_and_is_not_asked_again(servers: Servers) -> None:
    asked = Readiness(servers)
    wait_until(lambda: look(asked, CHAT) == {CHAT.key})
    look(asked, CHAT)
    assert servers.asked == [CHAT.key]


def test_one_that_hangs_holds_up_no_other_and_is_asked_once_at_a_time(servers: Servers) -> None:
    servers.hanging.add(CHAT.key)
    asked = Readiness(servers)
    wait_until(lambda: look(asked, CHAT, CODER) == {CODER.key})
    look(asked, CHAT, CODER)
    assert servers.asked.count(CHAT.key) == 1
    servers.let_go.set()
    wait_until(lambda: look(asked, CHAT, CODER) == {CHAT.key, CODER.key})


def test_one_that_refuses_is_asked_again_and_its_answer_is_kept(servers: Servers) -> None:
    servers.answers[CHAT.key] = REFUSED
    asked = Readiness(servers)
    wait_until(lambda: look(asked, CHAT) == set() and len(servers.asked) > 1)
    assert asked.answer_of(CHAT.key) == REFUSED
    assert asked.answer_of(CODER.key) is None


def test_a_new_life_has_to_answer_anew(servers: Servers) -> None:
    asked = Readiness(servers)
    wait_until(lambda: look(asked, CHAT) == {CHAT.key})
    servers.hanging.add(CHAT.key)
    assert look(asked, CHAT, pid=4712) == set()


def test_what_an_ended_life_answers_late_does_not_count_for_the_next(servers: Servers) -> None:
    servers.hanging.add(CHAT.key)
    asked = Readiness(servers)
    look(asked, CHAT)
    servers.answers[CHAT.key] = REFUSED
    servers.hanging.clear()
    wait_until(lambda: look(asked, CHAT, pid=4712) == set() and len(servers.asked) > 1)
    servers.answers[CHAT.key] = Answer(ready=True)
    servers.let_go.set()
    wait_until(lambda: look(asked, CHAT, pid=4712) == {CHAT.key})
    assert len(servers.asked) > 2


def test_what_has_ended_is_forgotten(servers: Servers) -> None:
    asked = Readiness(servers)
    wait_until(lambda: look(asked, CHAT) == {CHAT.key})
    assert look(asked) == set()
    assert asked.answer_of(CHAT.key) is None
