from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from builders import a_gpu, a_running_server, a_slice, an_observed
from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice, SliceUse
from gpuslice.model.plan import PlannedSlice
from gpuslice.model.server import MetricNames
from gpuslice.monitor.collect import Watched, fetch, take_reading

NAMES = MetricNames(generated_tokens_total="tokens_total")
SLICE = a_slice()
GPU = a_gpu(slices=(SLICE,))


class StillDriver:
    """One GPU with one slice, and no way to change anything."""

    def read(self) -> Observed:
        return an_observed(GPU)

    def read_gpu(self, gpu_uuid: str) -> Gpu:
        return self.read().gpu(gpu_uuid)

    def survey(self) -> Observed:
        return self.read()

    def boot_id(self) -> str:
        return "boot"

    def read_use(self, gpu_uuid: str) -> dict[int, SliceUse]:
        assert gpu_uuid == GPU.uuid
        return {SLICE.gpu_instance_id: SliceUse(used_mib=1, total_mib=2)}

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        return ()

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool, reset: bool = False) -> None:
        raise NotImplementedError

    def set_persistence_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        raise NotImplementedError

    def reset_gpu(self, gpu_uuid: str) -> None:
        raise NotImplementedError

    def create_slice(self, planned: PlannedSlice) -> Slice:
        raise NotImplementedError

    def destroy_slice(self, slice_: Slice) -> None:
        raise NotImplementedError


def watch(model: str, *, path: str = "/metrics", port: int = 1) -> Watched:
    server = a_running_server(model=model, port=port)
    return Watched(server=server, metrics_path=path, metrics=NAMES)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/metrics"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"tokens_total 5\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextmanager
def a_listening_server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_answers_is_read_over_http() -> None:
    with a_listening_server() as port:
        reading = take_reading(StillDriver(), [watch("chat", port=port)])
    assert [s.generated_tokens_total for s in reading.sample.servers] == [5.0]


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with a_listening_server() as port:
        assert fetch(f"http://127.0.0.1:{port}/metrics") == "tokens_total 5\n"


def test_an_error_page_is_no_text() -> None:
    with a_listening_server() as port:
        assert fetch(f"http://127.0.0.1:{port}/nowhere") is None


def test_nobody_listening_is_no_text() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/metrics") is None


def test_a_server_that_does_not_answer_costs_nobody_else_a_number() -> None:
    texts = {"http://127.0.0.1:2/metrics": "tokens_total 8\n"}
    watched = [watch("dead", port=1), watch("alive", port=2)]
    reading = take_reading(StillDriver(), watched, fetch=texts.get, clock=lambda: 4.0)
    assert [s.replica for s in reading.sample.servers] == [ReplicaId("alive", 0)]
    assert [s.replica for s in reading.servers] == [ReplicaId("dead", 0), ReplicaId("alive", 0)]


def test_a_text_that_is_not_prometheus_counts_as_no_answer() -> None:
    reading = take_reading(StillDriver(), [watch("chat")], fetch=lambda url: "<html> {oops")
    assert reading.sample.servers == ()


def test_an_engine_without_metrics_is_not_asked() -> None:
    asked: list[str] = []

    def remember(url: str) -> None:
        asked.append(url)

    take_reading(StillDriver(), [watch("chat", path="")], fetch=remember)
    assert asked == []


def test_requests_come_from_the_gateway() -> None:
    text = 'smg_router_requests_total{model="chat"} 3\n'
    reading = take_reading(StillDriver(), gateway_url="http://g/metrics", fetch=lambda url: text)
    assert reading.sample.requests_total == {"chat": 3.0}


def test_use_is_read_of_every_gpu_with_slices() -> None:
    reading = take_reading(StillDriver())
    assert reading.use == {(GPU.uuid, SLICE.gpu_instance_id): SliceUse(used_mib=1, total_mib=2)}
