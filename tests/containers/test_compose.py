"""An exported stack on a real engine: llama.cpp servers on simulated GPUs, and answers from them.

The containers are made of the file alone, as compose would make them. compose itself checks the
file where it is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest

from builders import the_small_model, wait_until
from compose_files import engine_request, read_compose
from gpuslice.runtime.ports import free_port
from machines import write_stack
from terminal import Terminal, a_terminal

pytestmark = [pytest.mark.docker, pytest.mark.slow]

GOLDEN = Path(__file__).parents[1] / "golden" / "compose"


@pytest.fixture
def terminal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    engine_with_our_image: str,
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", engine_with_our_image)
    return a_terminal(tmp_path / "home", capsys, monkeypatch)


@pytest.fixture
def gateway_port() -> int:
    return free_port()


@pytest.fixture
def exported(terminal: Terminal, tmp_path: Path, gateway_port: int) -> str:
    """Two models and a key, exported."""
    keys = tmp_path / "keys"
    keys.write_text("hunter2\n")
    keys.chmod(0o600)
    entry = f"{{model: {the_small_model()}, slice: 1g.10gb, context_tokens: 512, concurrency: 1}}"
    gateway = f"gateway: {{port: {gateway_port}, api_keys_file: keys}}"
    write_stack(tmp_path, f"chat: {entry}", f"titles: {entry}", more=gateway)
    shown = terminal.type("export", "compose", "--out", "-")
    assert shown.status == 0, shown.err
    return shown.out


@pytest.fixture
def started(docker_client: docker.DockerClient, exported: str) -> Iterator[dict[str, Any]]:
    """The containers of the file by name of the service, started in the order it says."""
    read = read_compose(exported)
    made = {}
    try:
        for name in read["services"]:
            body = engine_request(read, name)
            id_ = docker_client.api.create_container_from_config(body)["Id"]
            made[name] = docker_client.containers.get(id_)
            made[name].start()
        yield made
    finally:
        for container in made.values():
            with suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)


def answers(port: int, model: str) -> bool:
    """Whether the gateway has an answer of a model."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer hunter2"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            found: dict[str, Any] = json.load(response)
    except OSError:
        return False
    return bool(found["choices"][0]["message"]["content"])


def test_an_exported_stack_answers_without_gpuslice(
    started: dict[str, Any], gateway_port: int
) -> None:
    for model in ("chat", "titles"):
        wait_until(partial(answers, gateway_port, model), timeout_s=60)
    wait_until(lambda: health_of(started["chat-0"]) == "healthy", timeout_s=30)
    wait_until(lambda: health_of(started["gateway"]) == "healthy", timeout_s=30)


def test_a_server_that_ends_is_started_again_and_found(
    started: dict[str, Any], gateway_port: int
) -> None:
    wait_until(partial(answers, gateway_port, "chat"), timeout_s=60)
    started["gateway"].restart(timeout=10)
    wait_until(partial(answers, gateway_port, "chat"), timeout_s=60)


@pytest.mark.parametrize("case", sorted(file.stem for file in GOLDEN.iterdir()))
def test_compose_takes_what_was_reviewed(
    case: str, compose: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_0_SLICE", "MIG-a")
    assert checked(compose, (GOLDEN / f"{case}.yaml").read_text(), tmp_path) == ""


def test_compose_takes_an_exported_stack(
    compose: tuple[str, ...], exported: str, tmp_path: Path
) -> None:
    assert checked(compose, exported, tmp_path) == ""


def test_compose_asks_for_a_slice_that_nobody_named(
    compose: tuple[str, ...], tmp_path: Path
) -> None:
    text = (GOLDEN / "vllm-on-a-slice-to-be-made.yaml").read_text()
    assert "UUID of its slice, see nvidia-smi -L" in checked(compose, text, tmp_path)


@pytest.fixture
def compose() -> tuple[str, ...]:
    """The command of the compose that is installed; a file is checked by it where there is one."""
    for command in (("docker", "compose"), ("docker-compose",)):
        with suppress(OSError):
            if (
                subprocess.run((*command, "version"), capture_output=True, check=False).returncode
                == 0
            ):
                return command
    pytest.skip("compose is not installed (apt install docker-compose)")


def checked(compose: tuple[str, ...], text: str, folder: Path) -> str:
    """What compose has against a file, "" for nothing."""
    if compose == ("docker-compose",):
        text = for_the_first_compose(text)
    (folder / "docker-compose.yaml").write_text(text)
    command = (*compose, "--file", "docker-compose.yaml", "config", "--quiet")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or "it ended without a word"


def for_the_first_compose(text: str) -> str:
    """Leave out the two keys that compose 1.29, which Debian 12 has, is too old for."""
    text = re.sub(r"^name: .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^ +bind:\n +create_host_path: false\n", "", text, flags=re.MULTILINE)


def health_of(container: Any) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])
