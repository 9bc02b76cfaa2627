"""The real thing: llama.cpp servers and the real gateway, on loopback, in every runtime.

What holds for processes has to hold for containers, so each test is run with both. One stack is
started for each runtime, because starting is what takes the time. Every wait is for something that
happens, and bounded.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from builders import a_serve_request, some_gateway_settings, the_small_model, wait_until
from gpuslice.engines.api import Place, Surroundings
from gpuslice.engines.catalogue import engine_named
from gpuslice.engines.images import OWN_USER
from gpuslice.gateway.client import GatewayClient
from gpuslice.gateway.launching import gateway_container, gateway_launch
from gpuslice.gateway.settings import GatewaySettings, new_settings, write_settings
from gpuslice.gateway.sync import worker_changes
from gpuslice.model.demand import ReplicaId
from gpuslice.model.machine import Machine
from gpuslice.model.server import HandIn, Launch, Network, Role, RunningServer
from gpuslice.runtime.api import Runtime
from gpuslice.runtime.docker.runtime import DockerRuntime
from gpuslice.runtime.ports import free_port, port_holder
from gpuslice.runtime.process import ProcessRuntime
from gpuslice.runtime.ready import is_ready

pytestmark = pytest.mark.slow

KEY = "client-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Two models behind a gateway that asks clients for a key.

    Attributes:
        open: Opens a runtime of a machine, as every process that looks at it does.
        place: Where servers run.
    """

    machine: Machine
    runtime: Runtime
    settings: GatewaySettings
    launches: dict[str, Launch]
    open: Callable[[Machine], Runtime]
    place: Place

    @property
    def gateway(self) -> GatewayClient:
        return GatewayClient(self.settings)

    def server(self, model: str) -> RunningServer:
        name = self.launches[model].name
        return next(server for server in self.runtime.list() if server.name == name)

    def sync(self) -> None:
        """Tell the gateway what there is, as a supervisor would."""
        wanted = [launch.url for launch in self.launches.values()]
        changes = worker_changes(self.gateway.list_workers(), wanted)
        for url in changes.add:
            self.gateway.add_worker(url)

    def wait_serving(self, *models: str) -> None:
        wait_until(lambda: self.gateway.served_models() == models)

    def llama_cpp(self, model: str, port: int) -> Launch:
        return llama_cpp(model, port, self.place)

    def front(self) -> Launch:
        return gateway(self.machine, self.settings, self.place)


def llama_cpp(model: str, port: int, place: Place) -> Launch:
    source = str(the_small_model().resolve())
    request = a_serve_request(
        replica=ReplicaId(model, 0),
        source=source,
        port=port,
        context_tokens=256,
        concurrency=2,
        threads=1,
        place=place,
        surroundings=Surroundings(
            network=Network.HOST, hand_in=HandIn.NONE, folders=(source,), memory_mib=1024
        ),
    )
    return engine_named("llama.cpp", python=sys.executable).launch(request)


def gateway(machine: Machine, settings: GatewaySettings, place: Place) -> Launch:
    file = machine.gateway_file
    inside = gateway_container(file, image="", user=OWN_USER)
    return gateway_launch(
        "assistants",
        settings,
        file,
        python=sys.executable,
        container=inside if place is Place.CONTAINER else None,
    )


@pytest.fixture(
    scope="module",
    params=[Place.PROCESS, pytest.param(Place.CONTAINER, marks=pytest.mark.docker)],
)
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    place: Place = request.param
    opened: Callable[[Machine], Runtime] = ProcessRuntime
    if place is Place.CONTAINER:
        opened = partial(DockerRuntime, host=request.getfixturevalue("engine_with_our_image"))
    machine = Machine(root=tmp_path_factory.mktemp("state") / "sim-a100-80gb")
    ports = free_ports(4)
    settings = new_settings(
        host="127.0.0.1", port=ports[0], metrics_port=ports[1], client_keys=(KEY, "another-key")
    )
    launches = {
        "chat": llama_cpp("chat", ports[2], place),
        "coder": llama_cpp("coder", ports[3], place),
    }
    stack = Stack(
        machine=machine,
        runtime=opened(machine),
        settings=settings,
        launches=launches,
        open=opened,
        place=place,
    )
    write_settings(settings, machine.gateway_file)
    try:
        start(stack)
        yield stack
    finally:
        stack.runtime.stop_all(stack.runtime.list(), grace_s=10)
    assert stack.runtime.list() == ()
    assert [port_holder("127.0.0.1", port) for port in ports] == [""] * 4


def free_ports(count: int) -> tuple[int, ...]:
    ports: list[int] = []
    for _ in range(count):
        ports.append(free_port(ports))
    return tuple(ports)


def start(stack: Stack) -> None:
    front = stack.front()
    for launch in (front, *stack.launches.values()):
        stack.runtime.start(launch)
    wait_until(lambda: all(map(answers, (front, *stack.launches.values()))))
    stack.sync()
    stack.wait_serving("chat", "coder")


def answers(launch: Launch) -> bool:
    return is_ready(launch.host, launch.port, launch.health_path)


def ask(
    settings: GatewaySettings, model: str, *, key: str = KEY, stream: bool = False
) -> tuple[int, str]:
    body = {
        "model": model,
        "max_tokens": 8,
        "stream": stream,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=30)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_servers_are_found_by_stack(stack: Stack) -> None:
    assert stack.runtime.list("others") == ()
    assert [server.role for server in stack.runtime.list("assistants")] == [
        Role.SERVER,
        Role.SERVER,
        Role.GATEWAY,
    ]


def test_both_models_answer_by_name_at_the_same_time(stack: Stack) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda model: ask(stack.settings, model), ("chat", "coder")))
    for model, (status, text) in zip(("chat", "coder"), answers, strict=True):
        answer = json.loads(text)
        assert status == 200
        assert answer["model"] == model
        assert answer["choices"][0]["message"]["content"].strip()


def test_answers_are_streamed(stack: Stack) -> None:
    status, text = ask(stack.settings, "coder", stream=True)
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data:")]
    assert status == 200
    assert events[-1] == "[DONE]"
    pieces = [
        choice["delta"].get("content") or ""
        for event in events[:-1]
        for choice in json.loads(event)["choices"]
    ]
    assert len([piece for piece in pieces if piece]) > 1


@pytest.mark.parametrize("key", ["", "wrong-key"])
def test_clients_without_a_key_are_refused(stack: Stack, key: str) -> None:
    assert ask(stack.settings, "chat", key=key)[0] == 401


def test_every_client_key_opens_the_models(stack: Stack) -> None:
    assert ask(stack.settings, "chat", key="another-key")[0] == 200


def test_client_keys_do_not_open_the_control(stack: Stack) -> None:
    connection = http.client.HTTPConnection(stack.settings.host, stack.settings.port, timeout=5)
    connection.request("GET", "/workers", headers={"Authorization": f"Bearer {KEY}"})
    assert connection.getresponse().status == 401
    connection.close()


def test_no_key_stands_in_a_process_list_or_a_log(stack: Stack) -> None:
    gateway = next(s for s in stack.runtime.list() if s.role is Role.GATEWAY)
    shown = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
    shown += Path(f"/proc/{gateway.pid}/environ").read_bytes()
    shown += b"".join(path.read_bytes() for path in stack.machine.log_dir.glob("*"))
    shown += "".join(stack.runtime.tail(gateway.name, lines=1000)).encode()
    for key in (KEY, "another-key", stack.settings.control_key):
        assert key.encode() not in shown


def test_engine_metrics_stand_where_the_launch_says(stack: Stack) -> None:
    launch = stack.launches["chat"]
    ask(stack.settings, "chat")
    with urlopen(launch.url + launch.metrics_path, timeout=5) as response:
        text = response.read().decode()
    names = launch.metrics
    for name in (names.requests_running, names.generated_tokens_total, names.prompt_tokens_total):
        assert f"\n{name} " in text


def test_gateway_counts_requests_by_model_on_its_private_port(stack: Stack) -> None:
    ask(stack.settings, "chat")
    with urlopen(stack.settings.metrics_url, timeout=5) as response:
        text = response.read().decode()
    assert any(
        line.startswith("smg_router_requests_total{") and 'model="chat"' in line
        for line in text.splitlines()
    )


def test_every_request_has_the_whole_context(stack: Stack) -> None:
    with urlopen(stack.launches["chat"].url + "/props", timeout=5) as response:
        props = json.load(response)
    assert props["default_generation_settings"]["n_ctx"] == 256
    assert props["total_slots"] == 2


def test_runtime_of_a_new_process_finds_the_whole_stack(stack: Stack) -> None:
    after_a_crash = stack.open(stack.machine)
    assert after_a_crash.list() == stack.runtime.list()
    launch = stack.launches["chat"]
    found = stack.server("chat")
    assert (found.port, found.config_hash) == (launch.port, launch.config_hash)
    assert any("serving chat on" in line for line in after_a_crash.tail(launch.name, lines=400))


def test_killed_server_is_taken_out_and_put_back(stack: Stack) -> None:
    os.kill(stack.server("coder").pid, signal.SIGKILL)
    stack.wait_serving("chat")
    assert ask(stack.settings, "chat")[0] == 200
    assert ask(stack.settings, "coder")[0] >= 400
    stack.runtime.start(stack.launches["coder"])
    stack.sync()
    stack.wait_serving("chat", "coder")
    assert ask(stack.settings, "coder")[0] == 200


def test_server_of_another_port_takes_the_place_of_the_old_one(stack: Stack) -> None:
    old = stack.launches["coder"]
    stack.runtime.stop(stack.server("coder"))
    stack.launches["coder"] = stack.llama_cpp("coder", free_port())
    stack.runtime.start(stack.launches["coder"])
    wanted = {launch.url for launch in stack.launches.values()}
    changes = worker_changes(stack.gateway.list_workers(), wanted)
    for worker_id in changes.remove:
        stack.gateway.remove_worker(worker_id)
        stack.gateway.remove_worker(worker_id)
    stack.sync()
    wait_until(lambda: {worker.url for worker in stack.gateway.list_workers()} == wanted)
    stack.wait_serving("chat", "coder")
    assert ask(stack.settings, "coder")[0] == 200
    assert old.url not in wanted


def test_servers_outlive_a_gateway_that_is_killed(stack: Stack) -> None:
    gateway = next(s for s in stack.runtime.list() if s.role is Role.GATEWAY)
    before = stack.server("chat")
    os.kill(gateway.pid, signal.SIGKILL)
    wait_until(lambda: all(s.role is not Role.GATEWAY for s in stack.runtime.list()))
    front = stack.front()
    stack.runtime.start(front)
    wait_until(lambda: answers(front))
    stack.sync()
    stack.wait_serving("chat", "coder")
    assert stack.server("chat") == before


def test_gateway_on_a_taken_port_ends_with_one_clear_line(stack: Stack, tmp_path: Path) -> None:
    machine = Machine(root=tmp_path / "other")
    runtime = stack.open(machine)
    settings = some_gateway_settings(port=stack.settings.port, metrics_port=free_port())
    write_settings(settings, machine.gateway_file)
    launch = replace(gateway(machine, settings, stack.place), stack="late")
    started = runtime.start(launch)
    wait_until(lambda: runtime.list() == ())
    said = [line for line in runtime.tail(started.name) if not line.startswith("gpuslice: ended")]
    assert said[-1].startswith("error: the gateway cannot start: Failed to bind")
    assert "in use" in said[-1]
    runtime.sweep()
    assert runtime.tail(started.name)[-len(said) :], "what it said outlives it"


def test_model_server_ends_quickly_while_it_loads(stack: Stack) -> None:
    launch = replace(stack.llama_cpp("third", free_port()), stack="loading")
    started = stack.runtime.start(launch)
    wait_until(lambda: len(stack.runtime.tail(launch.name)) > 1)  # it has begun
    stack.runtime.stop(started, grace_s=30)
    assert stack.runtime.list("loading") == ()
