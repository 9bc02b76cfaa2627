"""What goes wrong with containers, met with a real engine: each time words and a next action."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from tools.docker_engine import PrivateEngine

from builders import wait_until
from containers.conftest import a_home, trouble
from docker_images import TROUBLE, ensure_image, trouble_recipe
from gpuslice.engines.diagnosis import diagnose
from gpuslice.errors import (
    ContainerError,
    DockerUnavailableError,
    ImageMissingError,
    RuntimeFailure,
)
from gpuslice.model.desired import DesiredDocker, Pull
from gpuslice.model.machine import Machine
from gpuslice.model.server import HandIn, Mount, RunningServer
from gpuslice.runtime.docker.runtime import DockerRuntime

pytestmark = [pytest.mark.docker, pytest.mark.slow]

Run = Callable[..., Any]
NOBODY = 65534


def ended(runtime: DockerRuntime) -> None:
    """Wait until nothing of a machine runs."""
    wait_until(lambda: runtime.list() == ())


def spoken(runtime: DockerRuntime, server: RunningServer) -> None:
    """Wait until a server has said something, which it does once it is set up."""
    wait_until(lambda: bool(runtime.tail(server.name)))


def test_an_engine_that_stops_is_told_and_one_that_is_back_has_lost_its_containers(
    own_docker_engine: PrivateEngine, machine: Machine
) -> None:
    image = image_in(own_docker_engine)
    runtime = DockerRuntime(machine, host=own_docker_engine.host)
    server = runtime.start(trouble(image, "stays"))
    spoken(runtime, server)

    own_docker_engine.stop()
    for ask in (runtime.list, lambda: runtime.stop(server), lambda: runtime.tail(server.name)):
        with pytest.raises(DockerUnavailableError, match=r"does not run|No Docker engine listens"):
            ask()

    own_docker_engine.start()
    assert runtime.list() == ()  # the engine ends what it runs; it starts nothing by itself
    assert runtime.tail(server.name)[-1] == "gpuslice: ended with exit status 0"
    again = runtime.start(trouble(image, "stays"))
    assert runtime.list() == (again,)
    runtime.stop(again, grace_s=1)


def test_after_an_engine_has_crashed_a_server_is_found_or_started_again(
    own_docker_engine: PrivateEngine, machine: Machine
) -> None:
    image = image_in(own_docker_engine)
    runtime = DockerRuntime(machine, host=own_docker_engine.host)
    before = runtime.start(trouble(image, "ignores"))
    spoken(runtime, before)

    own_docker_engine.crash()
    with pytest.raises(DockerUnavailableError):
        runtime.list()
    own_docker_engine.start()

    if runtime.list() != (before,):  # without `live-restore` an engine ends what it finds
        assert runtime.list() == ()
        before = runtime.start(trouble(image, "ignores"))
    runtime.stop(before, grace_s=0)
    assert runtime.list() == ()


def test_who_follows_a_log_is_told_that_the_engine_has_gone(
    own_docker_engine: PrivateEngine, machine: Machine
) -> None:
    runtime = DockerRuntime(machine, host=own_docker_engine.host)
    server = runtime.start(trouble(image_in(own_docker_engine), "ignores"))
    spoken(runtime, server)
    lines = runtime.follow(server.name)
    heard: list[object] = []

    def follow() -> None:
        try:
            heard.extend(lines)
        except DockerUnavailableError as error:
            heard.append(error.code)

    follower = threading.Thread(target=follow)
    follower.start()
    own_docker_engine.crash()
    follower.join(30)

    assert not follower.is_alive()
    assert heard in ([], ["docker-unavailable"])
    with warnings.catch_warnings():
        # An engine that dies while the SDK opens the stream leaves it a socket that nobody has.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_who_follows_a_log_hears_the_last_words_and_then_the_end(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    server = runtime.start(trouble(trouble_image, "lingers", "last words"))
    spoken(runtime, server)
    lines = runtime.follow(server.name)
    heard: list[str] = []
    follower = threading.Thread(target=lambda: heard.extend(lines))
    follower.start()
    runtime.stop(server)
    follower.join(30)
    assert not follower.is_alive()
    assert heard in ([], ["last words"])  # it may end before anybody listens
    assert "last words" in runtime.tail(server.name)


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_a_socket_that_is_not_ours_is_told_with_the_way_in(
    own_docker_engine: PrivateEngine, mode: int
) -> None:
    own_docker_engine.socket.chmod(mode)
    own_docker_engine.folder.chmod(0o711)
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from gpuslice.errors import GpusliceError\n"
        "from gpuslice.model.machine import Machine\n"
        "from gpuslice.runtime.docker.runtime import DockerRuntime\n"
        f"os.setgroups(()); os.setegid({NOBODY}); os.seteuid({NOBODY})\n"
        "try:\n"
        f"    DockerRuntime(Machine(root=Path('/none')), host='{own_docker_engine.host}').list()\n"
        "except GpusliceError as error:\n"
        "    print(error.code, error.message, error.hint)\n"
    )
    command = (sys.executable, "-c", code)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == (
        f"docker-unavailable You may not use the Docker engine at {own_docker_engine.host}. run "
        "gpuslice with sudo, or join its group: sudo usermod -aG docker $USER\n"
    )


@pytest.mark.parametrize("pull", [Pull.NEVER, Pull.MISSING])
def test_an_image_that_is_nowhere_is_told(
    runtime: DockerRuntime, docker_engine: str, pull: Pull
) -> None:
    wanted = "127.0.0.1:9/acme/nothing:1.2"  # nobody listens there
    told: list[str] = []
    with pytest.raises(ImageMissingError, match=r"nothing:1\.2") as caught:
        runtime.fetch([wanted], DesiredDocker(host=docker_engine, pull=pull), told.append)
    assert "docker" in caught.value.hint
    with pytest.raises(ImageMissingError, match="there is no such image"):
        runtime.start(trouble(wanted, "stays"))
    assert not secrets_of(runtime)


def test_an_image_for_another_machine_ends_with_words_that_tell(
    runtime: DockerRuntime, foreign_image: str
) -> None:
    try:
        server = runtime.start(trouble(foreign_image, "stays"))
    except ImageMissingError as error:  # newer versions of runc refuse to start it
        assert "another kind of machine" in error.message  # noqa: PT017 - either will do
        return
    ended(runtime)
    found = diagnose(runtime.tail(server.name))
    assert found is not None
    assert "no program python3 that runs on this machine" in found.cause


def test_a_program_that_is_not_in_the_image_is_told(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    launch = replace(trouble(trouble_image), command=("no-such-program",))
    runtime.start(launch)
    ended(runtime)
    found = diagnose(runtime.tail(launch.name))
    assert found is not None
    assert "no program no-such-program" in found.cause


def test_a_name_that_somebody_elses_container_has_is_left_to_it(
    runtime: DockerRuntime, run_container: Run, trouble_image: str
) -> None:
    launch = trouble(trouble_image, "stays")
    theirs = run_container(trouble_image, "python3", TROUBLE, "stays", name=launch.name)
    with pytest.raises(ContainerError, match="taken by a container that is not ours") as caught:
        runtime.start(launch)
    assert "docker ps -a" in caught.value.hint
    theirs.reload()
    assert (theirs.status, theirs.name) == ("running", launch.name)
    runtime.sweep()
    theirs.reload()


def test_two_homes_on_one_machine_do_not_see_each_others_servers(
    runtime: DockerRuntime, docker_engine: str, trouble_image: str, tmp_path: Path
) -> None:
    other = DockerRuntime(a_home(tmp_path / "other"), host=docker_engine)
    mine = runtime.start(trouble(trouble_image, "stays"))
    theirs = other.start(trouble(trouble_image, "stays", model="theirs"))

    assert runtime.list() == (mine,)
    assert other.list() == (theirs,)
    with pytest.raises(ContainerError, match="taken by a container that is not ours"):
        other.start(trouble(trouble_image, "stays"))
    other.stop_all(other.list(), grace_s=0)
    other.sweep()
    assert runtime.list() == (mine,)


@pytest.mark.parametrize("by_hand", ["rm", "stop", "kill"])
def test_what_is_ended_by_hand_is_gone_and_can_be_started_again(
    runtime: DockerRuntime, docker_client: docker.DockerClient, trouble_image: str, by_hand: str
) -> None:
    launch = trouble(trouble_image, "stays")
    server = runtime.start(launch)
    spoken(runtime, server)
    container = docker_client.containers.get(server.container)
    {
        "rm": lambda: container.remove(force=True),
        "stop": lambda: container.stop(timeout=0),
        "kill": container.kill,
    }[by_hand]()

    ended(runtime)
    runtime.stop(server)  # of what is gone already nothing is left to do
    again = runtime.start(launch)
    assert again.container != server.container
    assert runtime.list() == (again,)


def test_what_is_removed_while_it_is_stopped_is_stopped(
    runtime: DockerRuntime, docker_client: docker.DockerClient, trouble_image: str
) -> None:
    server = runtime.start(trouble(trouble_image, "ignores"))
    spoken(runtime, server)
    stopping = threading.Thread(target=runtime.stop, args=(server,), kwargs={"grace_s": 60})
    stopping.start()
    docker_client.containers.get(server.container).remove(force=True)
    stopping.join(30)
    assert not stopping.is_alive()
    assert runtime.list() == ()


def test_last_words_outlive_the_container(runtime: DockerRuntime, trouble_image: str) -> None:
    launch = trouble(trouble_image, "exits", "3", "no", "such", "tensor")
    runtime.start(launch)
    ended(runtime)
    # The engine reads standard output and standard error apart, so their lines may change places.
    words = {"no such tensor", "gpuslice: ended with exit status 3"}
    assert words <= set(runtime.tail(launch.name)[-3:])
    runtime.sweep()
    assert not runtime.has(launch.name)
    assert words <= set(runtime.tail(launch.name)[-3:])


def test_one_that_takes_too_much_memory_is_said_to_have_been_killed_for_it(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    launch = trouble(trouble_image, "eats")
    runtime.start(launch)
    ended(runtime)
    said = "gpuslice: killed, for it needed more than its limit of 64 MiB of the machine's memory"
    assert runtime.tail(launch.name)[-1] == said
    runtime.sweep()
    assert runtime.tail(launch.name)[-1] == said


def test_one_that_ignores_its_end_is_killed_after_its_grace(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    server = runtime.start(trouble(trouble_image, "ignores"))
    spoken(runtime, server)
    runtime.stop(server, grace_s=1)
    assert runtime.list() == ()
    assert runtime.tail(server.name)[-1] == "gpuslice: ended with exit status 137"


def test_an_engine_without_nvidias_runtime_is_told_with_what_to_install(
    runtime: DockerRuntime, trouble_image: str
) -> None:
    launch = trouble(trouble_image, "stays", hand_in=HandIn.REQUEST)
    with pytest.raises(ContainerError, match="has no NVIDIA runtime") as caught:
        runtime.start(launch)
    assert "nvidia-container-toolkit" in caught.value.hint
    assert not runtime.has(launch.name)


def test_an_engine_that_knows_no_cdi_is_told(runtime: DockerRuntime, trouble_image: str) -> None:
    launch = trouble(trouble_image, "stays", hand_in=HandIn.CDI)
    with pytest.raises(ContainerError) as caught:
        runtime.start(launch)
    assert caught.value.hint
    assert not runtime.has(launch.name)


def test_a_folder_that_is_gone_is_told(
    runtime: DockerRuntime, trouble_image: str, tmp_path: Path
) -> None:
    mount = Mount(source=str(tmp_path / "gone"), target="/model")
    with pytest.raises(ContainerError, match="a folder that it needs is gone"):
        runtime.start(trouble(trouble_image, "stays", mounts=(mount,)))


def test_a_folder_that_cannot_be_made_is_told(
    runtime: DockerRuntime, trouble_image: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Mount(source=str(tmp_path / "file" / "cache"), target="/cache", read_only=False)
    with pytest.raises(ContainerError, match="file/cache: Not a directory"):
        runtime.start(trouble(trouble_image, "stays", mounts=(cache,)))


def test_the_same_server_is_never_started_twice(runtime: DockerRuntime, trouble_image: str) -> None:
    server = runtime.start(trouble(trouble_image, "stays"))
    with pytest.raises(RuntimeFailure, match="is running already"):
        runtime.start(trouble(trouble_image, "stays"))
    assert runtime.list() == (server,)


def test_containers_of_others_cost_nothing_however_many_there_are(
    runtime: DockerRuntime,
    docker_client: docker.DockerClient,
    trouble_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime.start(trouble(trouble_image, "stays"))
    alone = requests_of(runtime.list, monkeypatch)
    foreign = [docker_client.api.create_container(trouble_image, "true")["Id"] for _ in range(100)]
    try:
        among_many = requests_of(runtime.list, monkeypatch)
    finally:
        for id_ in foreign:
            docker_client.api.remove_container(id_)
    assert among_many == alone
    assert len(alone) <= 3  # which version, which containers, and the one of ours


def requests_of(ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What an engine is asked, by path."""
    asked = []
    send = requests.Session.send

    def counting(self: requests.Session, request: Any, **options: Any) -> Any:
        asked.append(request.path_url)
        return send(self, request, **options)

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", counting)
        ask()
    return sorted(asked)


def secrets_of(runtime: DockerRuntime) -> list[Path]:
    return list(runtime._secrets.glob("*/*"))


def image_in(engine: PrivateEngine) -> str:
    """Give an engine the image of trouble."""
    client = docker.DockerClient(base_url=engine.host, timeout=60)
    try:
        return ensure_image(client, trouble_recipe())
    finally:
        client.close()
