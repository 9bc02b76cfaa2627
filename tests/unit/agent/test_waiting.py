"""Waiting ends in success, or in an error that says who, and with which last words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_launch
from gpuslice.agent import waiting
from gpuslice.agent.node import Node
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import wait_until_ready
from gpuslice.errors import (
    GatewayError,
    InterruptedChangeError,
    ServerExitedError,
    ServerTimeoutError,
)
from gpuslice.model.event import Event, EventKind
from gpuslice.model.server import Launch, Question, Role
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.01)


@pytest.fixture
def events(node: Node) -> Iterator[list[Event]]:
    yield []
    node.runtime.stop_all(node.runtime.list(), grace_s=0)


def a_program(script: str) -> Launch:
    return a_launch("sh", "-c", script, port=free_port(), by_hand="sh -c …")


def go_on() -> None:
    """Let nothing stop the change."""


def test_a_server_that_ends_by_itself_is_told_with_its_last_lines(
    node: Node, events: list[Event]
) -> None:
    launch = a_program("echo loading; echo 'no such tensor'; exit 3")
    with pytest.raises(ServerExitedError, match="chat-0 ended by itself") as caught:
        wait_until_ready(Supervisor(node), (launch,), events.append, go_on)
    assert caught.value.details[-2:] == ("loading", "no such tensor")
    assert [(event.kind, event.text, event.by_hand) for event in events] == [
        (EventKind.STEP, "start gpuslice-assistants-chat-0", "sh -c …")
    ]


def test_one_that_is_not_ready_in_time_is_told_with_what_it_said_last(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REPORT_EVERY_S", 0.0)

    def lose_patience() -> None:
        if any(event.text.endswith(": still loading") for event in events):
            monkeypatch.setattr(waiting, "READY_TIMEOUT_S", 0.0)

    launch = a_program("echo still loading; exec sleep 60")
    with pytest.raises(ServerTimeoutError, match="chat-0 did not become ready") as caught:
        wait_until_ready(Supervisor(node), (launch,), events.append, lose_patience)
    name, listens = "gpuslice-assistants-chat-0", launch.url
    assert caught.value.details[-2:] == (
        f"{name}: still loading",
        f"{name}: nobody listens on {listens} yet",
    )
    assert {event.kind for event in events} == {EventKind.STEP, EventKind.WAIT}


def test_a_server_that_ends_by_a_known_failure_is_told_with_the_remedy(
    node: Node, events: list[Event]
) -> None:
    script = "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried'; echo Killed; exit 1"
    launch = a_program(script)
    with pytest.raises(ServerExitedError) as caught:
        wait_until_ready(Supervisor(node), (launch,), events.append, go_on)
    assert caught.value.message == (
        "gpuslice-assistants-chat-0 ended by itself while starting: it ran out of memory on its "
        "slice."
    )
    assert caught.value.hint.startswith("Ask for a larger slice")
    assert caught.value.details[-1] == "Killed"


def test_one_that_listens_and_answers_nothing_is_given_up_with_what_it_answered(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REFUSED_TIMEOUT_S", 0.0)
    port = free_port()
    launch = a_launch(
        *(sys.executable, str(TINY_SERVER), str(port), "chat"),
        port=port,
        questions=(
            Question(
                path="/v1/rerank", body='{"messages": [{"content": ""}]}', answer_key="results"
            ),
        ),
    )
    with pytest.raises(ServerTimeoutError) as caught:
        wait_until_ready(Supervisor(node), (launch,), events.append, go_on)
    assert caught.value.message.startswith(
        "gpuslice-assistants-chat-0 has loaded but answers no request: "
        "POST /v1/rerank was answered with 200"
    )
    assert "`ready: health`" in caught.value.hint


def test_what_a_user_overruled_is_said_when_the_server_starts(
    node: Node, events: list[Event]
) -> None:
    launch = replace(a_program("exit 1"), notes=("chat: --max-model-len 9 from args counts",))
    with pytest.raises(ServerExitedError):
        wait_until_ready(Supervisor(node), (launch,), events.append, go_on)
    assert [(event.kind, event.text) for event in events][1:] == [
        (EventKind.NOTE, "chat: --max-model-len 9 from args counts")
    ]


def test_waiting_says_what_a_server_is_busy_with(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REPORT_EVERY_S", 0.0)

    def lose_patience() -> None:
        if any(event.text.endswith(": downloading the model, 40 %") for event in events):
            raise InterruptedChangeError("Interrupted.")

    script = "echo 'Fetching 5 files:  40%|####'; echo 'a warning'; exec sleep 60"
    with pytest.raises(InterruptedChangeError):
        wait_until_ready(Supervisor(node), (a_program(script),), events.append, lose_patience)


def test_a_download_that_no_log_tells_of_is_told_and_is_a_sign_of_life(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """VLLM turns the hub's progress bars off, and a large model takes longer than patience."""
    monkeypatch.setattr(waiting, "REPORT_EVERY_S", 0.0)
    folder = tmp_path / "models--Qwen--Qwen3-4B" / "blobs"
    folder.mkdir(parents=True)
    part = folder / "0c2d.incomplete"
    part.write_bytes(b"")
    noted: list[tuple[tuple[str, str], ...]] = []

    def keep(silence: object, signs: tuple[tuple[str, str], ...], waited_s: float) -> None:
        noted.append(signs)

    monkeypatch.setattr(waiting._Silence, "note", keep)

    def download_more() -> None:
        os.truncate(part, part.stat().st_size + 20_000_000)
        if sum("GB so far" in event.text for event in events) > 1:
            raise InterruptedChangeError("seen enough", hint="")

    launch = replace(
        a_program("echo Starting to load model; exec sleep 60"),
        source="Qwen/Qwen3-4B",
        environment=(("HF_HUB_CACHE", str(tmp_path)),),
    )
    with pytest.raises(InterruptedChangeError):
        wait_until_ready(Supervisor(node), (launch,), events.append, download_more)
    told = [event.text for event in events if "GB so far" in event.text]
    assert "is starting" in told[0]
    assert ": downloading the model, 0." in told[0]
    assert noted[-1] != noted[-2]


def test_one_that_goes_on_writing_is_waited_for(
    node: Node, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = waiting._Silence()
    silence.note((("chat", "10 %"),), 100.0)
    assert silence.lasts_s(1900.0) == 1800.0
    silence.note((("chat", "10 %"),), 1900.0)
    assert silence.lasts_s(1900.0) == 1800.0
    silence.note((("chat", "11 %"),), 1900.0)
    assert silence.lasts_s(1900.0) == 0.0

    monkeypatch.setattr(waiting, "LONGEST_S", 0.0)
    with pytest.raises(ServerTimeoutError, match="chat-0 did not become ready"):
        wait_until_ready(
            Supervisor(node),
            (a_launch("sleep", "60", port=free_port()),),
            events.append,
            go_on,
        )


def test_waiting_can_be_stopped(node: Node, events: list[Event]) -> None:
    def stop() -> None:
        raise InterruptedChangeError("Interrupted.")

    launch = a_launch("sleep", "60", port=free_port())
    with pytest.raises(InterruptedChangeError):
        wait_until_ready(Supervisor(node), (launch,), events.append, stop)
    assert len(node.runtime.list()) == 1


def test_one_that_is_about_to_leave_goes_on_and_is_not_waited_for(
    node: Node, events: list[Event]
) -> None:
    old = a_launch("sleep", "60", port=free_port())
    port = free_port()
    new = a_launch(
        sys.executable, str(TINY_SERVER), str(port), "chat", port=port, slice_uuid="MIG-2"
    )
    (dead, living) = (replace(old, slice_uuid="MIG-1"), node.runtime.start(old))

    def until_the_new_one_is_ready() -> None:
        if any("is ready" in event.text for event in events):
            raise InterruptedChangeError("Enough.")  # no gateway is there to serve it

    with pytest.raises(InterruptedChangeError):
        wait_until_ready(
            Supervisor(node),
            (new,),
            events.append,
            until_the_new_one_is_ready,
            leaving=(old, dead),
        )
    assert living in node.runtime.list()
    assert {process.key for process in node.runtime.list()} == {old.key, new.key}


def test_a_gateway_that_ends_by_itself_is_an_error_of_the_gateway(node: Node) -> None:
    gateway = a_launch(role=Role.GATEWAY, replica=None)
    error = waiting._ended(gateway, ("address in use",))
    assert isinstance(error, GatewayError)
    assert error.details == ("address in use",)


def test_a_stack_of_nothing_is_ready_at_once(node: Node, events: list[Event]) -> None:
    wait_until_ready(Supervisor(node), (), events.append, go_on)
    assert events == []
