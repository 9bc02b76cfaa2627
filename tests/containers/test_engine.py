"""The tests' own Docker engine: it can be stopped and crash, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from tools import docker_engine
from tools.docker_engine import PrivateEngine, Storage, answers, private_engine
from tools.docker_programs import NoEngineError

from builders import wait_until
from docker_images import TROUBLE, ensure_image, trouble_recipe

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@contextmanager
def client_of(host: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=host, timeout=60)
    try:
        yield client
    finally:
        client.close()


def start(client: docker.DockerClient, verb: str) -> Any:
    """Start a program of trouble in an engine that has no image yet; wait for its first words."""
    container = client.containers.run(
        ensure_image(client, trouble_recipe()),
        ["python3", TROUBLE, verb],
        network_mode="host",
        detach=True,
    )
    wait_until(lambda: bool(container.logs()))
    container.reload()
    return container


@contextmanager
def an_owner() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a command that waits, with an engine of its own; give its owner and its folder."""
    waits = "import os; print(os.environ['DOCKER_HOST'], flush=True); os.read(0, 1)"
    with subprocess.Popen(
        (sys.executable, "-m", "tools.docker_engine", "run", "--", sys.executable, "-c", waits),
        cwd=ROOT,
        env={**os.environ, "GPUSLICE_TEST_DOCKER_HOST": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        host = owner.stdout.readline().strip()
        yield owner, Path(host.removeprefix("unix://")).parent


def traces(folder: Path) -> list[str]:
    """What is on the machine of an engine: its folder, mounts, processes and control groups."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    groups = Path("/sys/fs/cgroup").glob("**/" + folder.name)
    running = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True)
    found = [*mounts, *map(str, groups), *running.stdout.splitlines()]
    return [line for line in found if folder.name in line] + [str(folder)] * folder.exists()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has asked after yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_nothing_is_left_of_an_engine_although_a_container_ignores_its_end() -> None:
    with private_engine() as engine:
        with client_of(engine.host) as client:
            container = start(client, "ignores")
            pid = container.attrs["State"]["Pid"]
        assert is_alive(pid)
        assert traces(engine.folder)
    assert traces(engine.folder) == []
    assert not is_alive(pid)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for engines; `tmp_path` is too long for their sockets."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def test_storage_that_does_not_work_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, base: Path
) -> None:
    wanted = [Storage(driver="no-such-driver", base=base), Storage(driver="vfs", base=base)]
    monkeypatch.setattr(docker_engine, "_storages", lambda: wanted)
    with private_engine() as engine:
        assert engine.storage == wanted[1]
    assert list(base.iterdir()) == []


def test_where_no_storage_works_the_engines_own_words_are_told(
    monkeypatch: pytest.MonkeyPatch, base: Path
) -> None:
    wanted = [Storage(driver="no-such-driver", base=base)]
    monkeypatch.setattr(docker_engine, "_storages", lambda: wanted)
    told = r"no-such-driver in \S+: dockerd ended .*graphdriver"
    with pytest.raises(NoEngineError, match=told), private_engine():
        pass
    assert list(base.iterdir()) == []


def test_stopped_engine_does_not_answer_and_keeps_its_containers(
    own_docker_engine: PrivateEngine,
) -> None:
    with client_of(own_docker_engine.host) as client:
        name = start(client, "stays").name
        own_docker_engine.stop()
        assert not answers(own_docker_engine.socket)
        own_docker_engine.start()
        assert [container.name for container in client.containers.list(all=True)] == [name]


def test_crashed_engine_starts_again_and_goes_without_a_trace() -> None:
    with private_engine() as engine:
        with client_of(engine.host) as client:
            container = start(client, "stays")
            engine.crash()
            assert is_alive(container.attrs["State"]["Pid"])
            assert not answers(engine.socket)
            engine.start()
            assert client.containers.list(all=True) == [container]
        engine.crash()
    assert traces(engine.folder) == []


def test_engine_of_a_killed_owner_is_removed_by_the_next_one() -> None:
    with an_owner() as (owner, folder):
        with client_of(f"unix://{folder}/engine.sock") as client:
            container = start(client, "stays")
            pid = container.attrs["State"]["Pid"]
        owner.kill()
    assert folder.exists()
    with private_engine() as engine:
        assert engine.folder != folder
        assert traces(folder) == []
        assert not is_alive(pid)


def test_owner_that_is_told_to_end_ends_its_engine() -> None:
    with an_owner() as (owner, folder):
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(60) == 128 + signal.SIGTERM
        assert traces(folder) == []


def test_command_runs_with_the_engine_that_the_environment_names(
    request: pytest.FixtureRequest,
) -> None:
    host = request.getfixturevalue("docker_engine")
    tell = "import os, sys; print(os.environ['DOCKER_HOST']); sys.exit(3)"
    done = subprocess.run(
        (sys.executable, "-m", "tools.docker_engine", "run", "--", sys.executable, "-c", tell),
        cwd=ROOT,
        env={**os.environ, "GPUSLICE_TEST_DOCKER_HOST": host},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (3, host)
