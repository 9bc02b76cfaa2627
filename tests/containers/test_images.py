"""The images of the Docker tests do what the tests take for granted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import docker
import pytest
from docker.errors import APIError, NotFound

from builders import the_small_model, wait_until
from docker_images import TROUBLE, USER, ensure_image, serving_recipe
from gpuslice.engines.llama_cpp import PROGRAM
from gpuslice.gateway.launching import PROGRAM as GATEWAY
from gpuslice.runtime.ports import free_port
from gpuslice.runtime.ready import is_ready

pytestmark = [pytest.mark.docker, pytest.mark.slow]

Run = Callable[..., Any]


def complete(port: int, model: str) -> str:
    """Ask a server for three tokens."""
    question = {"model": model, "prompt": "The capital of France is", "max_tokens": 3}
    request = Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["choices"][0]["text"])


def ended(container: Any) -> dict[str, Any]:
    """The state of a container once it has ended."""
    container.wait(timeout=30)
    container.reload()
    state: dict[str, Any] = container.attrs["State"]
    return state


def test_llama_cpp_server_answers_from_a_container_and_the_container_goes(
    docker_client: docker.DockerClient, run_container: Run, serving_image: str
) -> None:
    port = free_port()
    container = run_container(
        serving_image,
        *("python3", "-m", PROGRAM, "--model", "/model.gguf", "--alias", "chat"),
        *("--port", str(port), "--context-tokens", "256"),
        volumes={str(the_small_model().resolve()): {"bind": "/model.gguf", "mode": "ro"}},
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    wait_until(lambda: is_ready("127.0.0.1", port))
    assert complete(port, "chat").strip()
    container.stop(timeout=10)
    assert ended(container)["ExitCode"] == 0
    container.remove()
    with pytest.raises(NotFound):
        docker_client.containers.get(container.id)


def test_gateway_is_in_the_serving_image(run_container: Run, serving_image: str) -> None:
    container = run_container(serving_image, "python3", "-m", GATEWAY, "/no/settings.json")
    assert ended(container)["ExitCode"] == 1
    assert b"cannot read the gateway's settings" in container.logs()


def test_gateways_core_loads_in_the_serving_image(run_container: Run, serving_image: str) -> None:
    container = run_container(serving_image, "python3", "-c", "import smg.launch_router")
    assert ended(container)["ExitCode"] == 0, container.logs().decode()


def test_image_is_made_once(docker_client: docker.DockerClient, serving_image: str) -> None:
    before = docker_client.images.get(serving_image).attrs["Created"]
    assert ensure_image(docker_client, serving_recipe()) == serving_image
    assert docker_client.images.get(serving_image).attrs["Created"] == before


def test_images_are_started_as_the_real_one(
    docker_client: docker.DockerClient, serving_image: str
) -> None:
    configuration = docker_client.images.get(serving_image).attrs["Config"]
    assert configuration["User"] == USER
    assert not configuration["Entrypoint"]
    assert not configuration["Cmd"]


def test_last_words_and_status_are_kept(run_container: Run, trouble_image: str) -> None:
    container = run_container(
        trouble_image, "python3", TROUBLE, "exits", "3", "no", "such", "model"
    )
    assert ended(container)["ExitCode"] == 3
    assert container.logs(stdout=False, stderr=True) == b"no such model\n"


def test_container_that_ignores_its_end_is_killed(run_container: Run, trouble_image: str) -> None:
    container = run_container(trouble_image, "python3", TROUBLE, "ignores")
    wait_until(lambda: b"ignoring" in container.logs())
    container.stop(timeout=1)
    assert ended(container)["ExitCode"] == 137


def test_container_that_listens_to_its_end_goes_in_order(
    run_container: Run, trouble_image: str
) -> None:
    container = run_container(trouble_image, "python3", TROUBLE, "stays")
    wait_until(lambda: b"staying" in container.logs())
    container.stop(timeout=30)
    assert ended(container)["ExitCode"] == 0


def test_container_that_eats_its_memory_is_killed_for_it(
    run_container: Run, trouble_image: str
) -> None:
    container = run_container(
        trouble_image, "python3", TROUBLE, "eats", mem_limit="64m", memswap_limit="64m"
    )
    state = ended(container)
    assert state["OOMKilled"]
    assert state["ExitCode"] == 137


def test_container_listens_after_a_while(run_container: Run, trouble_image: str) -> None:
    port = free_port()
    run_container(trouble_image, "python3", TROUBLE, "listens", str(port), "0.2", "here I am")

    def answer() -> bytes:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                return bytes(response.read())
        except (URLError, ConnectionError):
            return b""

    wait_until(lambda: answer() == b"here I am")


def test_image_for_another_architecture_does_not_start(
    docker_client: docker.DockerClient, run_container: Run, foreign_image: str
) -> None:
    assert docker_client.images.get(foreign_image).attrs["Architecture"] == "arm64"
    try:
        container = run_container(foreign_image, "python3", "--version")
        state = ended(container)
        complaint = container.logs().decode() if state["ExitCode"] else "it ran"
    except APIError as error:  # newer versions of runc refuse to start it
        complaint = str(error)
    assert "exec format error" in complaint
