"""What an engine is and has, asked of a real one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tools.docker_engine import PrivateEngine

from docker_images import TROUBLE
from gpuslice.agent.doctor import examine
from gpuslice.agent.findings import good
from gpuslice.errors import DockerUnavailableError
from gpuslice.runtime.docker.engine import Engine
from gpuslice.runtime.docker.facts import read_facts
from gpuslice.runtime.docker.labels import MACHINE
from gpuslice.runtime.docker.looking import architectures, names_taken
from machines import a_machine

pytestmark = [pytest.mark.docker]

Run = Callable[..., Any]


def test_an_engine_says_what_it_is(docker_engine: str, docker_client: Any) -> None:
    facts = read_facts(docker_engine)
    assert facts.host == docker_engine
    assert facts.version == docker_client.version()["Version"]
    assert facts.architecture == {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert Path(facts.root_dir).is_absolute()


def test_the_address_comes_from_the_environment_where_none_is_said(
    docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    assert read_facts().host == docker_engine


def test_an_engine_that_was_stopped_is_told_from_one_that_runs(
    own_docker_engine: PrivateEngine,
) -> None:
    read_facts(own_docker_engine.host)
    own_docker_engine.stop()
    with pytest.raises(DockerUnavailableError):
        read_facts(own_docker_engine.host)
    own_docker_engine.start()
    read_facts(own_docker_engine.host)


def test_the_doctor_looks_at_the_engine(
    docker_engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    found = [f for f in examine(a_machine(tmp_path)) if f.subject == "Docker"]
    assert found[0] == good("Docker", f"engine {read_facts().version}")


def test_images_are_told_with_the_machine_they_are_made_for(
    docker_engine: str, trouble_image: str, foreign_image: str
) -> None:
    absent = "acme/nothing:1.2"
    found = architectures(Engine(docker_engine), [trouble_image, foreign_image, absent])
    assert found[trouble_image] == read_facts(docker_engine).architecture
    assert found[foreign_image] == "arm64"
    assert found[absent] is None


def test_only_names_that_somebody_else_has_are_taken(
    docker_engine: str, run_container: Run, trouble_image: str, tmp_path: Path
) -> None:
    command = ("python3", TROUBLE, "stays")
    names = {f"gpuslice-looked-at-{name}" for name in ("theirs-0", "ours-0", "free-0")}
    theirs = run_container(trouble_image, *command, name="gpuslice-looked-at-theirs-0")
    ours = {MACHINE: str(tmp_path)}
    run_container(trouble_image, *command, name="gpuslice-looked-at-ours-0", labels=ours)
    run_container(trouble_image, *command, name="gpuslice-looked-at-theirs-01")
    taken = names_taken(Engine(docker_engine), "gpuslice-looked-at-", names, tmp_path)
    assert taken == {"gpuslice-looked-at-theirs-0": theirs.id[:12]}
