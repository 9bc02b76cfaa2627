"""A change that cannot succeed is refused before anything is touched."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_desired, a_desired_model, a_record
from gpuslice.agent.node import Node
from gpuslice.agent.preflight import check_before, check_model
from gpuslice.errors import (
    AgentError,
    DockerUnavailableError,
    EngineBrokenError,
    EngineMissingError,
    ModelNotFoundError,
    PortInUseError,
    StateMovedError,
)
from gpuslice.model.desired import (
    Change,
    DesiredDocker,
    DesiredGateway,
    DesiredModel,
    Record,
    RuntimeName,
)
from gpuslice.runtime.ports import free_port
from machines import layout_of, make_slice, prepared, write_stack

SERVED = f'chat: {{engine: command, slice: 2g.20gb, command: ["{sys.executable}", "{{port}}"]}}'


@pytest.fixture
def change(node: Node, tmp_path: Path) -> Change:
    """A change that nothing speaks against."""
    path = write_stack(tmp_path, SERVED, more=f"gateway: {{port: {free_port()}}}")
    return prepared(node, path).change


def test_a_good_change_passes_and_nothing_has_been_touched(node: Node, change: Change) -> None:
    check_before(node, Record(), change)
    check_before(node, a_record(desired=change.desired), change)
    assert layout_of(node) == []


def test_gpus_that_have_changed_since_the_plan_are_refused(node: Node, change: Change) -> None:
    make_slice(node, "1g.10gb", 6)
    with pytest.raises(StateMovedError, match="nothing was changed"):
        check_before(node, Record(), change)


def test_a_second_stack_beside_the_first_is_refused_by_name(node: Node, change: Change) -> None:
    running = a_record(desired=a_desired(stack="other"))
    with pytest.raises(AgentError, match="'other' runs on this machine; 'assistants' cannot"):
        check_before(node, running, change)


def test_a_taken_port_is_refused_with_who_has_it(node: Node, change: Change) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", change.desired.gateway.port))
        taken.listen()
        with pytest.raises(PortInUseError, match=f"pid {os.getpid()}"):
            check_before(node, Record(), change)


def test_a_model_file_that_has_gone_since_the_plan_is_refused(node: Node, change: Change) -> None:
    gone = a_desired_model(source="/nowhere/model.gguf")
    desired = replace(change.desired, models=(gone,))
    with pytest.raises(ModelNotFoundError, match=r"chat: /nowhere/model\.gguf does not exist"):
        check_before(node, Record(), replace(change, desired=desired))


@pytest.mark.parametrize(
    ("model", "program", "remedy"),
    [
        (a_desired_model(command=("no-such-server",)), "no-such-server", "`command:`"),
        (a_desired_model(engine="vllm", source="Org/Name", command=()), "vllm", "pip install vllm"),
        (a_desired_model(engine="sglang", source="Org/N", command=()), "sglang", "install sglang"),
    ],
)
def test_an_engine_that_is_not_installed_is_refused_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, model: DesiredModel, program: str, remedy: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineMissingError, match=f"chat: {program} is not installed") as caught:
        check_model(model)
    assert remedy in caught.value.hint


def a_vllm(folder: Path, version: str) -> Path:
    """An environment with a vLLM that nobody may run, only look at."""
    program = folder / "bin" / "vllm"
    metadata = folder / "lib/python3.12/site-packages" / f"vllm-{version}.dist-info" / "METADATA"
    for file, text in ((program, "#!/bin/false\n"), (metadata, f"Version: {version}\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    program.chmod(0o755)
    return program


def test_a_release_that_cannot_run_on_a_slice_is_refused_with_the_one_that_can(
    tmp_path: Path,
) -> None:
    program = a_vllm(tmp_path, "0.20.1")
    model = a_desired_model(engine="vllm", source="Org/Name", command=(), program=str(program))
    with pytest.raises(EngineBrokenError, match=r"chat: vllm 0\.20\.1 takes the UUID") as caught:
        check_model(model)
    assert "vllm>=0.24.0" in caught.value.hint
    assert "#45026" in caught.value.details[0]


def test_a_release_that_can_run_on_a_slice_passes(tmp_path: Path) -> None:
    program = a_vllm(tmp_path, "0.24.0")
    check_model(a_desired_model(engine="vllm", source="Org/Name", command=(), program=str(program)))


def test_a_program_that_is_not_there_is_refused_by_its_key() -> None:
    model = a_desired_model(engine="sglang", source="Org/Name", command=(), program="/no/sglang")
    with pytest.raises(EngineMissingError, match="chat: /no/sglang is not installed") as caught:
        check_model(model)
    assert "`program:`" in caught.value.hint


def test_engines_that_are_installed_pass() -> None:
    check_model(a_desired_model(command=(sys.executable,)))
    check_model(a_desired_model(engine="llama.cpp", source=sys.executable, command=()))


def test_the_gateway_address_counts_not_only_its_port(node: Node, change: Change) -> None:
    port = change.desired.gateway.port
    elsewhere = replace(change.desired, gateway=DesiredGateway(host="127.0.0.2", port=port))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        check_before(node, Record(), replace(change, desired=elsewhere))


def test_a_pinned_port_that_a_stranger_has_is_refused(node: Node, tmp_path: Path) -> None:
    pinned = SERVED.replace("slice: 2g.20gb", f"slice: 2g.20gb, port: {(port := free_port())}")
    path = write_stack(tmp_path, pinned, more=f"gateway: {{port: {free_port([port])}}}")
    change = prepared(node, path).change
    check_before(node, Record(), change)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(PortInUseError, match=f"port {port}"):
            check_before(node, Record(), change)


def test_an_engine_that_is_down_does_not_disturb_a_stack_of_processes(
    node: Node, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    check_before(node, Record(), change)


def test_a_container_needs_no_program_here_but_an_engine(node: Node, change: Change) -> None:
    model = a_desired_model(
        engine="vllm", source="Org/Name", command=(), runtime=RuntimeName.DOCKER, program="nowhere"
    )
    check_model(model)
    docker = DesiredDocker(host="unix:///nowhere/docker.sock")
    wanted = replace(change, desired=replace(change.desired, models=(model,), docker=docker))
    with pytest.raises(DockerUnavailableError):
        check_before(node, Record(), wanted)
