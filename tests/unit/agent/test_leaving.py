"""A server that leaves gets nothing new, may end what it has, and is then stopped; not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from builders import a_launch, a_worker
from gpuslice.agent import leaving
from gpuslice.agent.gateway_control import GatewayControl
from gpuslice.agent.leaving import requests_running, retire
from gpuslice.agent.node import Node
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import GatewayError, InterruptedChangeError
from gpuslice.gateway.client import Worker
from gpuslice.model.event import Event
from gpuslice.model.server import Launch, MetricNames
from gpuslice.runtime.ports import free_port

CHAT = "gpuslice-assistants-chat-0"


class Gateway(GatewayControl):
    """Tells what a test wrote down, one look after the other, and then that all is done.

    Attributes:
        looks: What it lists, look by look; an error is raised.
        removed: Whom it was asked to let go.
    """

    def __init__(self, node: Node, *looks: tuple[Worker, ...] | Exception) -> None:
        super().__init__(node)
        self.looks = list(looks)
        self.removed: list[str] = []

    def workers(self) -> tuple[Worker, ...]:
        found = self.looks.pop(0) if self.looks else ()
        if isinstance(found, Exception):
            raise found
        return found

    def unregister(self, worker_id: str) -> None:
        self.removed.append(worker_id)


@pytest.fixture
def chat(node: Node) -> Iterator[Launch]:
    """A server that runs."""
    launch = a_launch(port=free_port())
    node.runtime.start(launch)
    yield launch
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)


def let_go(node: Node, launch: Launch, *looks: tuple[Worker, ...] | Exception) -> list[str]:
    """Let a server go whose gateway tells that; returns what was reported."""
    supervisor = Supervisor(node)
    supervisor.gateway = gateway = Gateway(node, *looks)
    events: list[Event] = []
    retire(supervisor, [launch], events.append, lambda: None)
    assert not gateway.looks, "it did not wait"
    assert node.runtime.list() == ()
    known = bool(looks) and not isinstance(looks[0], Exception)
    assert gateway.removed == (["worker-1"] if known else [])
    return [event.text for event in events]


def listed(launch: Launch, *, load: int = 0, healthy: bool = False) -> tuple[Worker, ...]:
    return (a_worker(url=launch.url, healthy=healthy, load=load),)


def test_it_is_stopped_once_its_requests_have_ended(node: Node, chat: Launch) -> None:
    in_rotation = listed(chat, load=2, healthy=True)
    told = let_go(
        node,
        chat,
        in_rotation,
        in_rotation,  # the removal has not begun
        listed(chat, load=1),
        listed(chat),
        listed(chat, load=1),  # had been passed on and was not yet counted
        listed(chat),
        listed(chat),
    )
    assert told == [
        f"the gateway sends nothing more to {CHAT}; waiting for running requests",
        f"stop {CHAT}",
    ]


def test_when_the_gateway_has_forgotten_it_the_server_is_asked_itself(
    node: Node, chat: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [1, 1, 0, 0]
    monkeypatch.setattr(leaving, "requests_running", lambda _: counts.pop(0))
    let_go(node, chat, listed(chat, load=1, healthy=True), listed(chat, load=1))
    assert counts == []


def test_one_that_nobody_knows_of_is_given_all_the_time_and_then_stopped(
    node: Node, chat: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "DRAIN_S", 0.05)
    told = let_go(node, chat, listed(chat, load=1, healthy=True), listed(chat, load=1))
    assert told[1:] == [f"{CHAT} may still have had requests after 0 s", f"stop {CHAT}"]


def test_one_that_the_gateway_never_knew_is_not_waited_for(node: Node, chat: Launch) -> None:
    assert let_go(node, chat) == [f"stop {CHAT}"]


def test_a_gateway_that_does_not_answer_holds_nobody_up(node: Node, chat: Launch) -> None:
    assert let_go(node, chat, GatewayError("gone")) == [f"stop {CHAT}"]
    node.runtime.start(chat)
    told = let_go(node, chat, listed(chat, load=1, healthy=True), GatewayError("gone"))
    assert told[1:] == [f"stop {CHAT}"]


def test_waiting_for_requests_can_be_stopped_and_then_the_server_still_runs(
    node: Node, chat: Launch
) -> None:
    def stop() -> None:
        raise InterruptedChangeError("Interrupted.")

    supervisor = Supervisor(node)
    supervisor.gateway = Gateway(node, listed(chat, load=1, healthy=True))
    with pytest.raises(InterruptedChangeError):
        retire(supervisor, [chat], lambda _: None, stop)
    assert [p.key for p in node.runtime.list()] == [chat.key]


def test_one_that_does_not_run_needs_nothing(node: Node) -> None:
    events: list[Event] = []
    retire(Supervisor(node), [a_launch()], events.append, lambda: None)
    assert events == []


def test_a_server_tells_its_requests_where_its_engine_counts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting = a_launch(metrics_path="/metrics", metrics=MetricNames(requests_running="busy"))
    answers = {f"{counting.url}/metrics": "busy 3\n"}
    monkeypatch.setattr(leaving, "fetch", answers.get)
    assert requests_running(counting) == 3
    assert requests_running(replace(counting, port=1)) is None
    assert requests_running(replace(counting, metrics_path="")) is None
    answers[f"{counting.url}/metrics"] = "not { prometheus"
    assert requests_running(counting) is None
