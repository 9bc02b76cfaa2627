"""The Dockerfile makes what gpuslice starts, and what the image of the Docker tests stands for.

No test builds it, since that takes a registry; see docs/docker.md.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import docker_images
from docker_images import serving_recipe
from gpuslice.engines.llama_cpp import PROGRAM as LLAMA_CPP
from gpuslice.gateway.launching import PROGRAM as GATEWAY

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy/image/Dockerfile"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, as (word, rest of the line)."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = (" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines())
    split = (line.partition(" ") for line in lines if line)
    return [(word, rest) for word, _, rest in split]


def of(wanted: str) -> list[str]:
    return [rest for word, rest in instructions() if word == wanted]


def test_version_is_that_of_the_checkout_and_held_by_the_build() -> None:
    assert of("ARG") == [f"VERSION={PROJECT['version']}"]
    assert f"gpuslice/gpuslice:{PROJECT['version']} " in DOCKERFILE.read_text()
    assert any("m.version('gpuslice')" in run and "${VERSION}" in run for run in of("RUN"))


def test_labels_tell_title_version_and_licence() -> None:
    (label,) = of("LABEL")
    told = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', label))
    assert told["title"] == PROJECT["name"]
    assert told["version"] == "${VERSION}"
    assert told["licenses"] == PROJECT["license"]


def test_python_is_one_that_gpuslice_supports() -> None:
    (base,) = of("FROM")
    found = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)
    assert found
    assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]


def test_it_runs_as_the_user_of_the_tests_image_who_is_not_root() -> None:
    assert of("USER") == [docker_images.USER]
    number = docker_images.USER.partition(":")[0]
    assert int(number) > 0
    accounts = serving_recipe().contents["etc/passwd"].decode()
    assert f"gpuslice:x:{docker_images.USER}:" in accounts
    assert any(f"--gid {number} gpuslice" in run for run in of("RUN"))
    after = [word for word, _ in instructions()][[w for w, _ in instructions()].index("USER") :]
    assert "RUN" not in after, "nothing is built by the user who runs it"


def test_whole_command_is_left_to_gpuslice_as_in_the_tests_image() -> None:
    assert json.loads(of("ENTRYPOINT")[0]) == []
    assert not any(line.startswith("ENTRYPOINT") for line in docker_images.SETTINGS)


@pytest.mark.parametrize("fact", ["WORKDIR /", "ENV PYTHONUNBUFFERED=1", "USER 65532:65532"])
def test_it_is_set_up_as_the_tests_image(fact: str) -> None:
    assert fact in docker_images.SETTINGS
    assert tuple(fact.split(" ", 1)) in instructions()


def test_programs_that_gpuslice_starts_are_in_both_images() -> None:
    assert any("pip install" in run and "'/build[cpu]'" in run for run in of("RUN"))
    packed = {str(path) for path in serving_recipe().files}
    for program in (LLAMA_CPP, GATEWAY):
        module = program.replace(".", "/") + ".py"
        assert (ROOT / "src" / module).is_file()
        assert any(path.endswith(f"site-packages/{module}") for path in packed)


def test_nothing_but_the_sources_goes_in() -> None:
    assert of("COPY") == ["pyproject.toml README.md LICENSE /build/", "src /build/src"]
    assert of("ADD") == []
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in allowed if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert set(rules[1:]) == {"!LICENSE", "!README.md", "!pyproject.toml", "!src", "**/__pycache__"}
