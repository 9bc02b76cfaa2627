"""How answers are understood and failures told; a real gateway is in tests/contract."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from builders import some_gateway_settings
from gpuslice.errors import GatewayError
from gpuslice.gateway.client import GatewayClient, Worker
from gpuslice.runtime.ports import free_port

READY = {
    "id": "w1",
    "url": "http://127.0.0.1:20001",
    "model_id": "chat",
    "is_healthy": True,
    "load": 2,
}
DEAD = {"id": "w2", "url": "http://127.0.0.1:20002", "model_id": "coder", "is_healthy": False}
NEW = {"id": "w3", "url": "http://127.0.0.1:20003", "is_healthy": True}

Answering = Callable[[int, object], GatewayClient]


class Recorded(BaseHTTPRequestHandler):
    """Answers what it was told to and notes what it was asked."""

    status = 200
    body = b"{}"
    asked: list[tuple[str, str, str, object]]

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, self.headers["Authorization"], sent))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server looks for these names

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def handler() -> type[Recorded]:
    return type("Handler", (Recorded,), {"asked": []})


@pytest.fixture
def answering(handler: type[Recorded]) -> Iterator[Answering]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def start(status: int, body: object) -> GatewayClient:
            handler.status = status
            handler.body = body if isinstance(body, bytes) else json.dumps(body).encode()
            return GatewayClient(some_gateway_settings(host="0.0.0.0", port=server.server_port))

        yield start
        server.shutdown()
        thread.join()


def test_workers_are_read_in_order_of_their_urls(answering: Answering) -> None:
    client = answering(200, {"workers": [NEW, DEAD, READY]})
    assert client.list_workers() == (
        Worker(id="w1", url="http://127.0.0.1:20001", model="chat", healthy=True, load=2),
        Worker(id="w2", url="http://127.0.0.1:20002", model="coder", healthy=False),
        Worker(id="w3", url="http://127.0.0.1:20003", model="", healthy=True),
    )


def test_only_models_with_a_healthy_server_are_served(answering: Answering) -> None:
    workers = [READY, READY | {"id": "w4"}, DEAD, NEW]
    assert answering(200, {"workers": workers}).served_models() == ("chat",)


def test_server_is_added_with_the_control_key(
    answering: Answering, handler: type[Recorded]
) -> None:
    answering(202, {"worker_id": "w1"}).add_worker("http://127.0.0.1:20001")
    assert handler.asked == [
        ("POST", "/workers", "Bearer control-key", {"url": "http://127.0.0.1:20001"})
    ]


def test_id_cannot_lead_to_another_path(answering: Answering, handler: type[Recorded]) -> None:
    answering(202, {}).remove_worker("../w 1")
    assert handler.asked[0][:2] == ("DELETE", "/workers/..%2Fw%201")


def test_worker_that_has_gone_already_is_fine(answering: Answering) -> None:
    answering(404, {"error": "not found"}).remove_worker("w1")


def test_refusal_is_told_with_what_the_gateway_said(answering: Answering) -> None:
    client = answering(401, b"Invalid authentication token")
    with pytest.raises(GatewayError, match="answered 401 to GET /workers: Invalid auth") as caught:
        client.list_workers()
    assert "control-key" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"workers": 3}', b'{"workers": [{"id": "w1"}]}', b"null"]
)
def test_answer_of_somebody_else_is_an_error(answering: Answering, body: bytes) -> None:
    with pytest.raises(GatewayError, match="cannot be understood") as caught:
        answering(200, body).list_workers()
    assert "something else listening" in caught.value.hint


def test_gateway_that_is_not_there_is_an_error() -> None:
    client = GatewayClient(some_gateway_settings(port=free_port()))
    with pytest.raises(GatewayError, match="does not answer"):
        client.list_workers()
