"""The gateway that finds its servers itself: what it is told, and the real thing over a restart."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from builders import a_worker, wait_until
from gpuslice.gateway.alone import introduce, main
from gpuslice.gateway.client import GatewayClient, Worker
from gpuslice.runtime.ports import free_port
from machines import TINY_SERVER


class Known(GatewayClient):
    """A gateway that remembers what it was told."""

    def __init__(self, *workers: Worker) -> None:
        self.workers = workers
        self.added: list[str] = []

    def list_workers(self) -> tuple[Worker, ...]:
        return self.workers

    def add_worker(self, url: str) -> None:
        self.added.append(url)


@contextmanager
def tiny_server(port: int, name: str) -> Iterator[str]:
    command = [sys.executable, str(TINY_SERVER), str(port), name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def lone_gateway(port: int, metrics_port: int, *more: str) -> Iterator[None]:
    own = ("--port", str(port), "--metrics-port", str(metrics_port))
    command = [sys.executable, "-m", "gpuslice.gateway.alone", *own, *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()


def answers(port: int, model: str, key: str = "") -> bool:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return f"I am {model}." in response.read().decode()
    except OSError:
        return False


def test_a_server_is_introduced_once_it_answers() -> None:
    first = free_port()
    ports = [first, free_port({first})]
    here, absent = (f"http://127.0.0.1:{port}" for port in ports)
    client = Known()
    with tiny_server(ports[0], "chat"):
        wait_until(lambda: bool(introduce(client, [here, absent])))
    assert client.added == [here]


def test_a_server_that_is_known_is_not_introduced_again() -> None:
    port = free_port()
    client = Known(a_worker(url=f"http://127.0.0.1:{port}"))
    with tiny_server(port, "chat") as url:
        other = Known()
        wait_until(lambda: bool(introduce(other, [url])))  # it answers
        assert introduce(client, [url]) == ()
    assert client.added == []


@pytest.mark.slow
def test_servers_are_found_again_after_the_gateway_was_restarted(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hunter2\n")
    keys.chmod(0o600)
    server = free_port()
    port = free_port({server})
    arguments = (port, free_port({server, port}), "--keys-file", str(keys))
    with ExitStack() as stack:
        with lone_gateway(*arguments, f"http://127.0.0.1:{server}"):
            stack.enter_context(tiny_server(server, "chat"))  # later than the gateway
            wait_until(lambda: answers(port, "chat", "hunter2"))
            assert not answers(port, "chat")
        with lone_gateway(*arguments, f"http://127.0.0.1:{server}"):
            wait_until(lambda: answers(port, "chat", "hunter2"))


def test_keys_that_others_can_read_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hunter2\n")
    keys.chmod(0o644)
    assert main(["--keys-file", str(keys), "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the gateway cannot start:")
    assert "others can use it" in said
    assert "hunter2" not in said


def test_a_gateway_without_servers_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "URL" in capsys.readouterr().err
