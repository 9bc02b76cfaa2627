"""What a real engine lacks for a change is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tools.docker_engine import PrivateEngine

from docker_images import TROUBLE
from gpuslice.agent.container_checks import check_containers
from gpuslice.agent.node import Node
from gpuslice.agent.preflight import check_before
from gpuslice.errors import ContainerError, DockerUnavailableError, ImageMissingError
from gpuslice.model.desired import Change, Record
from gpuslice.runtime.ports import free_port
from machines import layout_of, open_simulated, prepared, write_stack

pytestmark = [pytest.mark.docker]

Run = Callable[..., Any]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A simulated A100 80GB, MIG off."""
    return open_simulated(tmp_path / "home")


def a_change(node: Node, folder: Path, host: str, image: str, *, pull: str = "missing") -> Change:
    """A stack with one model that runs in a container of an image."""
    served = f"chat: {{engine: command, image: '{image}', slice: 2g.20gb, command: [python3]}}"
    docker = f"docker: {{host: '{host}', pull: {pull}}}"
    more = f"{docker}\ngateway: {{port: {free_port()}}}"
    return prepared(node, write_stack(folder, served, more=more)).change


def test_a_change_that_nothing_speaks_against_passes(
    node: Node, tmp_path: Path, docker_engine: str, trouble_image: str
) -> None:
    check_before(node, Record(), a_change(node, tmp_path, docker_engine, trouble_image))
    assert layout_of(node) == []


def test_an_image_that_is_not_here_is_refused_where_none_may_be_fetched(
    node: Node, tmp_path: Path, docker_engine: str
) -> None:
    image = "acme/nothing:1.2"
    check_containers(node, a_change(node, tmp_path, docker_engine, image))
    with pytest.raises(ImageMissingError) as caught:
        check_containers(node, a_change(node, tmp_path, docker_engine, image, pull="never"))
    assert f"docker pull {image}" in caught.value.hint


def test_an_image_for_another_kind_of_machine_is_refused(
    node: Node, tmp_path: Path, docker_engine: str, foreign_image: str
) -> None:
    with pytest.raises(ImageMissingError, match="is made for arm64"):
        check_containers(node, a_change(node, tmp_path, docker_engine, foreign_image))


def test_a_name_that_somebody_elses_container_has_is_refused(
    node: Node, tmp_path: Path, docker_engine: str, trouble_image: str, run_container: Run
) -> None:
    change = a_change(node, tmp_path, docker_engine, trouble_image)
    theirs = run_container(
        trouble_image, "python3", TROUBLE, "stays", name="gpuslice-assistants-chat-0"
    )
    with pytest.raises(ContainerError, match="gpuslice-assistants-chat-0 is taken") as caught:
        check_containers(node, change)
    assert theirs.id[:12] in caught.value.hint


def test_an_engine_that_ends_between_plan_and_change_is_told(
    node: Node, tmp_path: Path, own_docker_engine: PrivateEngine
) -> None:
    change = a_change(node, tmp_path, own_docker_engine.host, "acme/nothing:1.2")
    own_docker_engine.stop()
    with pytest.raises(DockerUnavailableError):
        check_before(node, Record(), change)
