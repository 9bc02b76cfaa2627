"""``ask`` against a real server behind the endpoint's address: streaming, all at once, errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_desired, a_desired_model, a_record, wait_until
from gpuslice.agent.node import Node
from gpuslice.cli.chat import Answer, Endpoint, endpoint_of
from gpuslice.cli.render.answers import columns, plain
from gpuslice.model.desired import DesiredGateway
from gpuslice.runtime.ports import free_port
from gpuslice.runtime.ready import is_ready
from machines import TINY_SERVER
from terminal import Terminal, screen

MODELS = (a_desired_model("chat"), a_desired_model("coder"))


def serve_at(node: Node, port: int) -> None:
    """Record a stack of two models whose endpoint is at that port."""
    gateway = DesiredGateway(host="127.0.0.1", port=port)
    desired = a_desired(*MODELS, gateway=gateway)
    node.store.write_record(a_record(boot_id=node.driver.boot_id(), desired=desired))


@pytest.fixture
def endpoint(node: Node) -> Iterator[int]:
    """A server that answers for every model, and a stack recorded in front of it."""
    port = free_port()
    serve_at(node, port)
    command = [sys.executable, str(TINY_SERVER), str(port), "everyone"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: is_ready("127.0.0.1", port, "/health"))
        yield port
        server.kill()


@pytest.mark.usefixtures("endpoint")
def test_an_answer_is_streamed_to_standard_output_and_its_speed_to_the_other(
    terminal: Terminal,
) -> None:
    shown = terminal.type("ask", "chat", "Who are you?")
    assert shown.status == 0
    assert shown.out.splitlines()[-1] == "I am everyone. You said: Who are you?"
    assert "3 tokens, first after" in shown.err


@pytest.mark.usefixtures("endpoint")
def test_all_models_are_asked_and_answers_stand_below_each_other_in_a_pipe(
    terminal: Terminal,
) -> None:
    shown = terminal.type("ask", "--all", "Hello")
    assert [line for line in shown.out.splitlines() if line.startswith("[")] == [
        "[chat] I am everyone. You said: Hello",
        "[coder] I am everyone. You said: Hello",
    ]


def test_an_endpoint_that_does_not_answer_is_an_error_for_each_model(
    terminal: Terminal, node: Node
) -> None:
    serve_at(node, free_port())
    one = terminal.type("ask", "chat", "Hello")
    assert one.status == 8
    assert "[request-failed] chat: the endpoint http://127.0.0.1:" in one.error
    both = terminal.type("ask", "--all", "Hello")
    assert both.status == 8
    assert "2 of 2 models did not answer." in both.error
    assert "coder: coder: the endpoint" in both.error or "coder: the endpoint" in both.error


def test_the_key_of_an_endpoint_never_shows(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("secret-key\n")
    keys.chmod(0o600)
    gateway = DesiredGateway(host="0.0.0.0", port=8080, api_keys_file=str(keys))
    endpoint = endpoint_of(a_desired(gateway=gateway))
    assert endpoint == Endpoint(url="http://127.0.0.1:8080", key="secret-key")
    assert "secret-key" not in repr(endpoint)


def test_an_answer_grows_piece_by_piece_and_keeps_the_time_of_the_first() -> None:
    answer = Answer().grown("Hel", 0.5).grown("lo", 1.0).grown("!", 1.5)
    assert (answer.text, answer.piece, answer.tokens) == ("Hello!", "!", 3)
    assert answer.summary == "3 tokens, first after 0.50 s, 2 tokens/s"
    assert Answer().summary == "0 tokens, first after 0.00 s"


def test_answers_stand_side_by_side_with_who_has_not_answered_yet() -> None:
    answers = {"chat": Answer().grown("Hello", 0.1), "judge": Answer(done=True, error="refused")}
    text = screen(columns(answers, ["chat", "coder", "judge"]), columns=90)
    assert all(name in text.splitlines()[0] for name in ("chat", "coder", "judge"))
    assert "Hello" in text
    assert "asking …" in text
    assert "(refused)" in text


def test_markup_in_an_answer_is_shown_as_it_is() -> None:
    answers = {"chat": Answer().grown("[red]stop[/]", 0.1)}
    assert "[chat] [red]stop[/]" in screen(plain(answers, ["chat"]))
    assert "[red]stop[/]" in screen(columns(answers, ["chat"]))
