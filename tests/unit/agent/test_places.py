"""Where servers run: what the file says, what runs already, and only then what is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docker_info import NVIDIA, OF_25, OF_28, RECORDED, RECORDED_VERSION
from gpuslice.agent.places import Ask, Places, choose_places
from gpuslice.errors import ContainerError, DockerUnavailableError
from gpuslice.model.desired import (
    Desired,
    DesiredDocker,
    DesiredGateway,
    DesiredModel,
    Pull,
    RuntimeName,
)
from gpuslice.model.server import HandIn, Network
from gpuslice.runtime.docker.facts import EngineFacts, facts_from
from gpuslice.stack.schema import Stack

DOCKER, PROCESS = RuntimeName.DOCKER, RuntimeName.PROCESS
VLLM = {"model": "Qwen/Qwen3-4B"}
COMMAND = {"engine": "command", "command": ["serve"], "memory": 1000}
OLD = facts_from(RECORDED | {"Runtimes": NVIDIA}, RECORDED_VERSION, {"bridge"})
NEW = facts_from(OF_28, RECORDED_VERSION, {"bridge"})
WITHOUT_GPUS = facts_from(OF_25, RECORDED_VERSION, ())


def a_stack(*, more: dict[str, Any] | None = None, **models: dict[str, Any]) -> Stack:
    return Stack.model_validate({"models": models or {"chat": VLLM}, **(more or {})})


def running(runtime: RuntimeName, docker: DesiredDocker | None = None, **model: Any) -> Desired:
    chat = DesiredModel(
        name="chat", engine="vllm", source="a/b", context_tokens=1, concurrency=1, runtime=runtime
    )
    return Desired(
        stack="gpuslice",
        stack_file="",
        digest="",
        models=(replace(chat, **model),),
        gateway=DesiredGateway(host="127.0.0.1", port=8080),
        docker=docker,
    )


def nobody(_: str) -> EngineFacts:
    raise AssertionError("nobody is to be asked")


def engine(facts: EngineFacts) -> Ask:
    return lambda host: replace(facts, host=host)


def broken(_: str) -> EngineFacts:
    raise DockerUnavailableError("The engine does not run.", hint="start it")


def absent(_: str) -> EngineFacts:
    raise DockerUnavailableError("Not installed.") from FileNotFoundError()


def chosen(stack: Stack, ask: Ask = nobody, **more: Any) -> Places:
    return choose_places(stack, simulated=more.pop("simulated", False), ask=ask, **more)


@pytest.mark.parametrize(
    ("facts", "hand_in"), [(OLD, HandIn.REQUEST), (NEW, HandIn.CDI)], ids=["old", "new"]
)
def test_an_engine_that_gives_gpus_runs_what_needs_no_word_about_images(
    facts: EngineFacts, hand_in: HandIn
) -> None:
    stack = a_stack(
        chat=VLLM,
        fast={"model": "a/b", "engine": "sglang"},
        own=VLLM | {"program": "vllm"},
        small={"model": "x.gguf"},
        mine=COMMAND,
    )
    places = chosen(stack, engine(facts))
    assert places.runtimes == {
        "chat": DOCKER,
        "fast": DOCKER,
        "own": PROCESS,
        "small": PROCESS,
        "mine": PROCESS,
    }
    assert places.docker == DesiredDocker(hand_in=hand_in)
    assert places.notes == ()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (absent, ""),
        (broken, "servers run as processes: The engine does not run (start it)"),
        (engine(WITHOUT_GPUS), "cannot give a container a GPU (install nvidia-container-toolkit"),
        (engine(replace(NEW, host="")), None),
    ],
)
def test_where_docker_would_only_be_preferred_its_trouble_is_a_note(
    ask: Ask, said: str | None
) -> None:
    places = chosen(a_stack(), ask)
    if said is None:
        assert places.runtimes["chat"] is DOCKER
        return
    assert places.runtimes["chat"] is PROCESS
    assert places.docker is None
    assert bool(places.notes) == bool(said)
    assert all(said in note for note in places.notes)


def test_an_engine_of_another_machine_is_not_chosen_but_may_be_asked_for() -> None:
    remote = {"docker": {"host": "tcp://10.0.0.7:2376"}}
    places = chosen(a_stack(more=remote), engine(NEW))
    assert places.runtimes["chat"] is PROCESS
    assert "on another machine" in places.notes[0]
    places = chosen(a_stack(more={"runtime": "docker", **remote}), engine(NEW))
    assert places.runtimes["chat"] is DOCKER
    assert "has to be on this machine" in places.notes[0]


def test_nobody_is_asked_where_the_answer_cannot_matter() -> None:
    assert chosen(a_stack(more={"runtime": "process"})).runtimes["chat"] is PROCESS
    assert chosen(a_stack(), simulated=True).runtimes["chat"] is PROCESS
    assert chosen(a_stack(chat={"model": "x.gguf"})).runtimes["chat"] is PROCESS
    assert chosen(a_stack(), before=running(PROCESS)).runtimes["chat"] is PROCESS


@pytest.mark.parametrize(
    "stack",
    [
        a_stack(more={"runtime": "docker"}),
        a_stack(chat=VLLM | {"runtime": "docker"}),
        a_stack(chat=VLLM | {"image": "acme/vllm:1"}),
        a_stack(more={"gateway": {"runtime": "docker"}}),
    ],
    ids=["stack", "model", "image", "gateway"],
)
def test_what_the_file_asks_for_is_an_error_where_the_engine_does_not_answer(stack: Stack) -> None:
    for ask in (broken, absent):
        with pytest.raises(DockerUnavailableError):
            chosen(stack, ask, simulated=True)


def test_a_container_on_a_slice_is_refused_by_an_engine_without_gpus_with_the_remedy() -> None:
    stack = a_stack(more={"runtime": "docker"})
    with pytest.raises(ContainerError) as caught:
        chosen(stack, engine(WITHOUT_GPUS))
    assert "nvidia-ctk runtime configure --runtime=docker" in caught.value.hint
    docker = chosen(stack, engine(WITHOUT_GPUS), simulated=True).docker
    assert docker == DesiredDocker(network=Network.HOST, hand_in=HandIn.NONE)


def test_a_gateway_in_a_container_needs_no_gpu() -> None:
    stack = a_stack(more={"runtime": "process", "gateway": {"runtime": "docker"}})
    docker = chosen(stack, engine(WITHOUT_GPUS)).docker
    assert docker is not None
    assert docker.hand_in is HandIn.NONE


def test_a_model_says_more_than_its_stack() -> None:
    models = {"chat": VLLM | {"runtime": "process"}, "coder": VLLM}
    places = chosen(a_stack(more={"runtime": "docker"}, **models), engine(NEW))
    assert places.runtimes == {"chat": PROCESS, "coder": DOCKER}


def test_a_running_server_stays_where_it_is_and_a_new_one_is_chosen_for() -> None:
    stack = a_stack(chat=VLLM, coder=VLLM)
    assert chosen(stack, engine(NEW), before=running(PROCESS)).runtimes == {
        "chat": PROCESS,
        "coder": DOCKER,
    }
    other = replace(running(PROCESS), stack="other")
    assert chosen(stack, engine(NEW), before=other).runtimes["chat"] is DOCKER
    assert chosen(stack, engine(NEW), before=running(DOCKER)).runtimes["chat"] is DOCKER
    with pytest.raises(DockerUnavailableError):
        chosen(stack, broken, before=running(DOCKER))


def test_a_server_does_not_stay_in_docker_without_an_image() -> None:
    before = running(DOCKER, engine="command")
    assert chosen(a_stack(chat=COMMAND), before=before).runtimes["chat"] is PROCESS


@pytest.mark.parametrize(
    ("held", "facts", "kept"),
    [
        (HandIn.REQUEST, replace(NEW, nvidia_runtime=True), HandIn.REQUEST),
        (HandIn.REQUEST, NEW, HandIn.CDI),
        (HandIn.CDI, NEW, HandIn.CDI),
        (HandIn.CDI, OLD, HandIn.REQUEST),
        (HandIn.NONE, OLD, HandIn.REQUEST),
    ],
)
def test_how_slices_go_in_stays_as_long_as_the_engine_can(
    held: HandIn, facts: EngineFacts, kept: HandIn
) -> None:
    before = running(DOCKER, DesiredDocker(hand_in=held, network=Network.HOST))
    docker = chosen(a_stack(), engine(facts), before=before).docker
    assert docker == DesiredDocker(hand_in=kept, network=Network.HOST)
    elsewhere = {"docker": {"host": "unix:///other.sock"}}
    docker = chosen(a_stack(more=elsewhere), engine(facts), before=before).docker
    assert docker is not None
    assert docker.network is Network.BRIDGE


def test_a_bridge_that_went_is_not_kept() -> None:
    before = running(DOCKER, DesiredDocker(network=Network.BRIDGE))
    docker = chosen(a_stack(), engine(replace(NEW, bridge=False)), before=before).docker
    assert docker is not None
    assert docker.network is Network.HOST


def test_the_file_says_how_containers_are_reached_and_images_fetched() -> None:
    more = {"docker": {"network": "host", "pull": "never", "host": "unix:///x.sock"}}
    docker = chosen(a_stack(more=more), engine(NEW)).docker
    assert docker == DesiredDocker(
        host="unix:///x.sock", network=Network.HOST, hand_in=HandIn.CDI, pull=Pull.NEVER
    )
    stack = a_stack(more={"runtime": "docker", "docker": {"network": "bridge"}})
    with pytest.raises(ContainerError, match="no bridge network"):
        chosen(stack, engine(WITHOUT_GPUS), simulated=True)


def test_a_plan_on_paper_asks_nobody() -> None:
    stack = a_stack(chat=VLLM | {"runtime": "docker"}, coder=VLLM)
    places = choose_places(stack, simulated=False)
    assert places.runtimes == {"chat": DOCKER, "coder": PROCESS}
    assert places.docker == DesiredDocker()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (VLLM | {"image": "acme/vllm"}, "another image tomorrow"),
        (VLLM | {"image": "acme:5000/vllm"}, "another image tomorrow"),
        (VLLM | {"image": "acme/vllm:latest"}, "another image tomorrow"),
        (VLLM | {"image": "acme/vllm:1.2"}, ""),
        (VLLM | {"image": f"acme/vllm@sha256:{'0a' * 32}"}, ""),
        ({"model": "x.gguf", "runtime": "docker"}, "computes on the CPU"),
        ({"model": "x.gguf", "host_memory": 1000}, "`host_memory` does not limit"),
    ],
)
def test_what_a_person_should_know_of_a_choice_is_noted(model: dict[str, Any], said: str) -> None:
    notes = chosen(a_stack(chat=model), engine(NEW)).notes
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


@pytest.mark.parametrize(
    ("command", "network", "told"),
    [
        (["serve", "--port", "{port}"], "bridge", True),
        (["serve", "--host", "{host}"], "bridge", False),
        (["serve", "--bind=0.0.0.0:{port}"], "bridge", False),
        (["serve", "--port", "{port}"], "host", False),
    ],
)
def test_a_server_that_may_listen_on_a_loopback_of_its_own_is_noted(
    command: list[str], network: str, *, told: bool
) -> None:
    mine = COMMAND | {"command": command, "image": "acme/serve:1"}
    notes = chosen(a_stack(more={"docker": {"network": network}}, mine=mine), engine(NEW)).notes
    assert ["has to listen on {host}" in note for note in notes] == [True] * told
