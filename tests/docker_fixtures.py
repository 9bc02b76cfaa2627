"""The Docker tests' engine, images and containers; and what is said when there is no engine.

A test that needs an engine carries the marker ``docker`` and asks for `docker_client`. Such tests
run when they are asked for (``make test-docker``, ``-m docker``, or a selection that holds nothing
else), because an engine may have to be installed for them. Where none can run they are skipped, and
a red paragraph at the very end says so; with ``GPUSLICE_REQUIRE_DOCKER=1`` they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tools.docker_engine import PrivateEngine, engine_host, private_engine
from tools.docker_programs import NoEngineError

if TYPE_CHECKING:
    import docker

REQUIRED = "GPUSLICE_REQUIRE_DOCKER"
_LIMIT_S = 60
# No test reaches an engine that it was not given.
os.environ.pop("DOCKER_HOST", None)
_NOT_ASKED = pytest.StashKey[int]()
_WHY_NOT = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def docker_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an engine for the whole run; a skip or a failure where none can run."""
    try:
        with engine_host() as host:
            yield host
    except NoEngineError as error:
        _do_without(request.config, str(error))


@pytest.fixture
def own_docker_engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """An engine for one test, to be stopped, crashed and restarted. It has no image."""
    try:
        with private_engine() as engine:
            yield engine
    except NoEngineError as error:
        _do_without(request.config, str(error))


@pytest.fixture(scope="session")
def docker_client(docker_engine: str) -> Iterator[docker.DockerClient]:
    """The SDK's client of `docker_engine`."""
    import docker

    client = docker.DockerClient(base_url=docker_engine, timeout=_LIMIT_S)
    yield client
    client.close()


@pytest.fixture(scope="session")
def serving_image(docker_client: docker.DockerClient) -> str:
    """The image with the llama.cpp server and the gateway."""
    from docker_images import ensure_image, serving_recipe

    return ensure_image(docker_client, serving_recipe())


@pytest.fixture(scope="session")
def engine_with_our_image(
    docker_engine: str, docker_client: docker.DockerClient, serving_image: str
) -> str:
    """The address of an engine that has the image which is used where nobody names one."""
    from gpuslice.engines.images import OWN

    docker_client.images.get(serving_image).tag(OWN)
    return docker_engine


@pytest.fixture(scope="session")
def trouble_image(docker_client: docker.DockerClient) -> str:
    """The image with programs that behave badly: ``python3 TROUBLE VERB …``."""
    from docker_images import ensure_image, trouble_recipe

    return ensure_image(docker_client, trouble_recipe())


@pytest.fixture(scope="session")
def foreign_image(docker_client: docker.DockerClient) -> str:
    """An image for another architecture."""
    from docker_images import ensure_image, foreign_recipe

    return ensure_image(docker_client, foreign_recipe())


@pytest.fixture
def run_container(docker_client: docker.DockerClient) -> Iterator[Callable[..., Any]]:
    """Start containers on the host's network, as ``run(image, *command, **options)``.

    Whatever still is there after the test is removed.
    """
    from docker.errors import NotFound

    made = []

    def run(image: str, *command: str, **options: Any) -> Any:
        # Created and started apart, so that one that does not start is removed too.
        container = docker_client.containers.create(
            image, list(command), **{"network_mode": "host", **options}
        )
        made.append(container)
        container.start()
        return container

    yield run
    for container in made:
        with suppress(NotFound):
            container.remove(force=True, v=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the Docker tests out of a run that is about others too."""
    ours = [item for item in items if item.get_closest_marker("docker")]
    if _asked(config) or len(ours) == len(items):
        return
    config.stash[_NOT_ASKED] = len(ours)
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if not item.get_closest_marker("docker")]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end, whatever else is silent, which Docker tests did not run."""
    not_asked = config.stash.get(_NOT_ASKED, 0)
    # Spread over several processes, tests are collected there, and only they could count.
    spread = bool(config.getoption("numprocesses", None)) and not _asked(config)
    if not_asked or spread:
        terminalreporter.write_line(
            f"{not_asked or 'The'} Docker tests were left out; make test-docker runs them",
            yellow=True,
        )
    why_not = config.stash.get(_WHY_NOT, "")
    if why_not:
        skipped = terminalreporter.stats.get("skipped", [])
        number = sum("docker" in report.keywords for report in skipped)
        terminalreporter.section("Docker", sep="=", red=True, bold=True)
        terminalreporter.write_line(
            f"{number} DOCKER TESTS DID NOT RUN: no Docker engine: {why_not}", red=True, bold=True
        )


def _asked(config: pytest.Config) -> bool:
    """Tell whether the run is about Docker, as `make test-docker` is."""
    return "docker" in config.option.markexpr or os.environ.get(REQUIRED) == "1"


def _do_without(config: pytest.Config, reason: str) -> None:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"no Docker engine: {reason}", pytrace=False)
    config.stash[_WHY_NOT] = reason
    pytest.skip(f"no Docker engine: {reason}")
