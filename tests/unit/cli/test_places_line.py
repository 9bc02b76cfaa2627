"""Where servers run, as a plan tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuslice.cli.render.places import places_json, places_line
from gpuslice.engines.images import USUAL
from gpuslice.model.desired import Desired, DesiredGateway, DesiredModel, RuntimeName

CHAT = DesiredModel(name="chat", engine="vllm", source="a/b", context_tokens=1, concurrency=1)
IN_DOCKER = replace(CHAT, runtime=RuntimeName.DOCKER)
TITLES = replace(CHAT, name="titles")
OWN = replace(IN_DOCKER, name="own", image="acme/serve:1")


def a_desired(*models: DesiredModel) -> Desired:
    gateway = DesiredGateway(host="127.0.0.1", port=8080)
    return Desired(stack="s", stack_file="", digest="", models=models, gateway=gateway)


@pytest.mark.parametrize(
    ("models", "line"),
    [
        ((CHAT, TITLES), "Servers run as processes."),
        ((IN_DOCKER,), f"Servers run in Docker ({USUAL['vllm']})."),
        (
            (IN_DOCKER, replace(IN_DOCKER, name="coder"), OWN, TITLES),
            (
                f"Servers run in Docker: chat and coder ({USUAL['vllm']}), own (acme/serve:1); "
                "as processes: titles."
            ),
        ),
    ],
)
def test_a_plan_says_in_one_line_where_servers_run(
    models: tuple[DesiredModel, ...], line: str
) -> None:
    assert places_line(a_desired(*models)) == line


def test_scripts_get_it_model_by_model() -> None:
    assert places_json(a_desired(OWN, TITLES)) == [
        {"model": "own", "runtime": "docker", "image": "acme/serve:1"},
        {"model": "titles", "runtime": "process", "image": ""},
    ]
