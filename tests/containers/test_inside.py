"""What a container may do, and who reads its secrets: asked of programs inside real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import docker
import pytest

from builders import some_gateway_settings, wait_until
from containers.conftest import trouble
from docker_images import USER
from gpuslice.engines.container import TOKEN
from gpuslice.engines.images import OWN_USER
from gpuslice.gateway.launching import gateway_container, gateway_launch
from gpuslice.gateway.settings import write_settings
from gpuslice.model.machine import Machine
from gpuslice.model.server import Launch
from gpuslice.runtime.docker.labels import MACHINE
from gpuslice.runtime.docker.runtime import DockerRuntime
from gpuslice.runtime.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]

UID = int(USER.partition(":")[0])
HF_TOKEN = "hf_a-token-that-nobody-may-see"
CLIENT_KEY = "a-client-key-that-nobody-may-see"


def told(runtime: DockerRuntime, launch: Launch) -> Any:
    """Run a program that tells of itself, and read what it told."""
    runtime.start(launch)
    wait_until(lambda: runtime.list() == ())
    return json.loads(runtime.tail(launch.name)[0])


def inspected(client: docker.DockerClient, machine: Machine) -> Any:
    """What ``docker inspect`` shows of the one container of a machine."""
    label = {"label": f"{MACHINE}={machine.root.resolve()}"}
    (found,) = client.containers.list(all=True, filters=label)
    return found.attrs


def test_a_server_is_nobody_special_and_can_become_nobody_else(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    found = told(runtime, trouble(trouble_image, "tells"))
    assert found["uid"] == UID
    assert (found["capabilities"], found["bounding"], found["no_new_privileges"]) == (0, 0, 1)
    assert found["writes"] == ["/tmp"]


def test_one_that_has_to_be_root_has_no_capabilities_either(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    found = told(runtime, trouble(trouble_image, "tells", user="0:0"))
    assert (found["uid"], found["capabilities"], found["no_new_privileges"]) == (0, 0, 1)
    assert found["writes"] == ["/tmp"]


def test_no_more_processes_are_started_than_it_may(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    launch = trouble(trouble_image, "forks", pids=20)
    runtime.start(launch)
    wait_until(lambda: runtime.list() == ())
    assert 10 < int(runtime.tail(launch.name)[0]) < 20  # the init and itself are among them


def test_the_engine_is_asked_for_every_limit(
    runtime: DockerRuntime,
    machine: Machine,
    docker_client: docker.DockerClient,
    trouble_image: str,
) -> None:
    runtime.start(trouble(trouble_image, "stays"))
    limits = inspected(docker_client, machine)["HostConfig"]
    assert limits["RestartPolicy"]["Name"] == "no"
    assert limits["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-file": "3", "max-size": "10m"},
    }
    assert limits["Memory"] == limits["MemorySwap"] == 64 * 1024 * 1024
    assert not limits["Privileged"]
    assert not limits["PublishAllPorts"]


@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_token_is_read_by_its_server_and_shown_nowhere(
    runtime: DockerRuntime,
    machine: Machine,
    docker_client: docker.DockerClient,
    trouble_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{HF_TOKEN}\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(file))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if where == "variable":
        file.unlink()
        monkeypatch.setenv("HF_TOKEN", HF_TOKEN)

    launch = trouble(trouble_image, "tells", TOKEN.target, secrets=(TOKEN,))
    found = told(runtime, launch)

    assert found["read"] == {TOKEN.target: HF_TOKEN}
    assert HF_TOKEN not in json.dumps([found["environment"], found["arguments"]])
    assert HF_TOKEN not in json.dumps(inspected(docker_client, machine))
    (written,) = machine.secrets_dir.glob("*/*")
    assert written.stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0:
        assert written.stat().st_uid == UID
    assert written.parent.stat().st_mode & 0o777 == 0o700
    runtime.sweep()
    assert list(machine.secrets_dir.iterdir()) == []


def test_a_secret_goes_with_a_container_that_somebody_else_removes(
    runtime: DockerRuntime,
    machine: Machine,
    docker_client: docker.DockerClient,
    trouble_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", HF_TOKEN)
    server = runtime.start(trouble(trouble_image, "stays", secrets=(TOKEN,)))
    docker_client.containers.get(server.container).remove(force=True)
    assert list(machine.secrets_dir.iterdir()) != []
    runtime.sweep()
    assert list(machine.secrets_dir.iterdir()) == []


def test_keys_of_a_gateway_are_shown_nowhere(
    runtime: DockerRuntime,
    machine: Machine,
    docker_client: docker.DockerClient,
    engine_with_our_image: str,
) -> None:
    settings = some_gateway_settings(
        port=free_port(), metrics_port=free_port(), client_keys=(CLIENT_KEY,)
    )
    write_settings(settings, machine.gateway_file)
    container = gateway_container(machine.gateway_file, image="", user=OWN_USER)
    launch = gateway_launch(
        "assistants", settings, machine.gateway_file, python="python3", container=container
    )
    runtime.start(launch)
    wait_until(lambda: bool(runtime.tail(launch.name)))

    shown = json.dumps(inspected(docker_client, machine)) + "".join(runtime.tail(launch.name))
    (server,) = runtime.list()
    shown += Path(f"/proc/{server.pid}/cmdline").read_text()
    shown += Path(f"/proc/{server.pid}/environ").read_text()
    for key in (CLIENT_KEY, settings.control_key):
        assert key not in shown
    runtime.stop(server, grace_s=1)
    assert list(machine.secrets_dir.iterdir()) == []
