from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from builders import a_launch, a_serve_request
from gpuslice.engines.questions import GENERATING_OR_EMBEDDING, questions_for
from gpuslice.model.server import Launch
from gpuslice.runtime.ports import free_port
from gpuslice.runtime.ready import Answer, ask, is_ready, local_address

TEXT = '{"choices": [{"text": "!"}]}'
VECTOR = '{"data": [{"embedding": [0.1]}]}'


class Answers(BaseHTTPRequestHandler):
    """Answers as its server was told: by path, a status and a text."""

    server: Scripted

    def do_GET(self) -> None:
        self._answer(*self.server.script.get(self.path, (503, "")))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(body)))
        self._answer(*self.server.script.get(self.path, (404, '{"detail": "Not Found"}')))

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


class Scripted(HTTPServer):
    """A server whose answers the test sets. Owned by its fixture."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.script: dict[str, tuple[int, str]] = {"/health": (200, "")}
        self.asked: list[tuple[str, Any]] = []


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def port(server: Scripted) -> int:
    return server.server_port


def a_model_on(port: int, ready: str = "") -> Launch:
    """The launch of a server that is asked for a completion, a chat and an embedding."""
    questions = questions_for(a_serve_request(ready=ready), GENERATING_OR_EMBEDDING)
    return a_launch(port=port, questions=questions)


def test_server_that_answers_200_is_ready(port: int) -> None:
    assert is_ready("127.0.0.1", port, "/health")
    assert is_ready("0.0.0.0", port, "/health")


def test_server_that_is_still_loading_is_not_ready(port: int) -> None:
    assert not is_ready("127.0.0.1", port, "/loading")


def test_nobody_is_not_ready() -> None:
    assert not is_ready("127.0.0.1", free_port())


def test_server_that_never_answers_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not is_ready("127.0.0.1", silent.getsockname()[1], timeout_s=0.05)


def test_server_that_speaks_another_language_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert not is_ready("127.0.0.1", server.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("host", "local"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.7", "10.0.0.7"), ("127.0.0.1", "127.0.0.1")],
)
def test_wildcard_is_reached_through_loopback(host: str, local: str) -> None:
    assert local_address(host) == local


def test_an_answer_of_one_token_makes_a_server_ready(server: Scripted) -> None:
    server.script["/v1/completions"] = (200, TEXT)
    assert ask(a_model_on(server.server_port)) == Answer(ready=True)
    [(path, asked)] = server.asked
    assert path == "/v1/completions"
    assert (asked["model"], asked["max_tokens"]) == ("chat", 1)


@pytest.mark.parametrize("status", [400, 404, 501])
def test_a_model_of_another_kind_is_asked_what_it_can_answer(server: Scripted, status: int) -> None:
    refusal = (status, '{"error": {"message": "The model does not support Completions API"}}')
    server.script |= {"/v1/completions": refusal, "/v1/chat/completions": refusal}
    server.script["/v1/embeddings"] = (200, VECTOR)
    assert ask(a_model_on(server.server_port)).ready
    assert [path for path, _ in server.asked] == [
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/embeddings",
    ]


def test_only_what_the_stack_file_names_is_asked(server: Scripted) -> None:
    server.script["/v1/chat/completions"] = (200, TEXT)
    assert ask(a_model_on(server.server_port, ready="chat")).ready
    assert [path for path, _ in server.asked] == ["/v1/chat/completions"]


def test_health_is_enough_where_nothing_is_asked(server: Scripted) -> None:
    assert ask(a_model_on(server.server_port, ready="health")).ready
    assert server.asked == []


def test_a_server_that_is_loading_is_asked_nothing(server: Scripted) -> None:
    server.script["/health"] = (503, "loading model")
    answer = ask(a_model_on(server.server_port))
    assert answer == Answer(
        ready=False, said="GET /health was answered with 503: loading model", refused=False
    )
    assert server.asked == []


def test_what_was_answered_is_told(server: Scripted) -> None:
    server.script["/v1/completions"] = (500, '{"error": {"message": "EngineCore is\\n dead"}}')
    answer = ask(a_model_on(server.server_port))
    assert answer.refused
    assert answer.said == "POST /v1/completions was answered with 500: EngineCore is dead"
    assert len(server.asked) == 1


def test_all_refusals_are_told(server: Scripted) -> None:
    answer = ask(a_model_on(server.server_port))
    assert not answer.ready
    assert answer.said.count("was answered with 404") == 3


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"choices": []}', '{"choices": 1}', "{"])
def test_an_answer_without_a_token_is_none(server: Scripted, text: str) -> None:
    server.script["/v1/completions"] = (200, text)
    answer = ask(a_model_on(server.server_port))
    assert (answer.ready, answer.refused) == (False, True)


def test_an_answer_cannot_drive_the_terminal(server: Scripted) -> None:
    server.script["/v1/completions"] = (500, "\x1b[31mred")
    assert "\x1b" not in ask(a_model_on(server.server_port)).said


def test_nobody_is_told_as_nobody() -> None:
    port = free_port()
    said = ask(a_model_on(port)).said
    assert said == f"nobody listens on http://127.0.0.1:{port} yet"


def test_silence_ends_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        launch = a_model_on(silent.getsockname()[1])
        assert ask(launch).said == "GET /health was not answered within 1 s"


def test_a_server_that_hangs_over_its_first_token_is_not_waited_for_without_end(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(Answers, "do_POST", lambda _self: released.wait(10))
    answer = ask(a_model_on(server.server_port), answer_within_s=0.05)
    released.set()
    assert answer.said == "POST /v1/completions was not answered within 0.05 s"
    assert not answer.refused


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_has_refused_nothing(server: Scripted, status: int) -> None:
    server.script["/v1/completions"] = (status, "busy")
    answer = ask(a_model_on(server.server_port))
    assert (answer.ready, answer.refused) == (False, False)
    assert answer.said.endswith(f"{status}: busy")


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_is_nested_without_end_is_none(
    server: Scripted, port: int, status: int
) -> None:
    """An error here would end the loop that looks after all the other servers."""
    server.script["/v1/completions"] = (status, "[" * 60_000)
    answer = ask(a_model_on(port, ready="completion"))
    assert not answer.ready
    assert answer.said.startswith(f"POST /v1/completions was answered with {status}: [[[")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\n\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_no_answer(raw: bytes) -> None:
    """`engine: command` may start anything, and others may have taken the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(raw)

        thread = threading.Thread(target=answer_once)
        thread.start()
        answer = ask(a_launch(port=listening.getsockname()[1]))
        thread.join()
    assert not answer.ready
    assert answer.said.startswith("GET /health failed: ")
