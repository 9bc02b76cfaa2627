from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gpuslice.runtime.ports import free_port
from gpuslice.runtime.ready import is_ready, local_address


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


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
