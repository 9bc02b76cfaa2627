"""What a compose file is told of a stack: slices there are, slices to be made, and the gateway."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builders import owned
from compose_files import engine_request, read_compose
from gpuslice.agent.export import Export, export_compose, variables_of
from gpuslice.agent.node import Node
from gpuslice.errors import (
    ContainerError,
    DockerUnavailableError,
    NoRoomError,
    SecretMissingError,
    StackError,
)
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import PortLease
from gpuslice.model.gpu import Observed
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.compose import compose_text
from gpuslice.runtime.docker.facts import EngineFacts
from gpuslice.stack.load import load_stack
from machines import layout_of, make_slice, record_owned, write_stack

CHAT = "chat: {model: Qwen/Qwen2.5-0.5B-Instruct, engine: vllm, slice: 2g.20gb, replicas: 2}"
CHAT_0, CHAT_1 = ReplicaId("chat", 0), ReplicaId("chat", 1)
BY_REQUEST = EngineFacts(
    host="unix:///run/docker.sock",
    version="29.1.0",
    api_version="1.52",
    architecture="amd64",
    rootless=False,
    bridge=True,
    nvidia_runtime=True,
    cdi=False,
    cdi_devices=(),
    root_dir="/var/lib/docker",
)
BY_CDI = replace(BY_REQUEST, cdi=True, cdi_devices=("nvidia.com/gpu=all",))


@dataclass(frozen=True)
class OfReal:
    """The driver of a simulated machine that says it is a real one."""

    inner: Any

    def survey(self) -> Observed:
        found: Observed = self.inner.survey()
        return replace(found, simulated=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def real(node: Node) -> Node:
    return replace(node, driver=OfReal(node.driver))


def export(node: Node, path: Path, facts: EngineFacts = BY_REQUEST, **options: Any) -> Export:
    return export_compose(node, load_stack(path), ask=lambda _: facts, **options)


def devices(exported: Export, name: str, **variables: str) -> list[dict[str, Any]]:
    read = read_compose(compose_text(exported.file), variables)
    found: list[dict[str, Any]] = engine_request(read, name)["HostConfig"]["DeviceRequests"]
    return found


def test_slices_that_exist_are_named_by_what_the_driver_calls_them(
    real: Node, tmp_path: Path
) -> None:
    made = [make_slice(real, "2g.20gb", start) for start in (0, 2)]
    record_owned(real, *(owned(s, "chat", n) for n, s in enumerate(made)))
    exported = export(real, write_stack(tmp_path, CHAT))
    assert [devices(exported, f"chat-{n}")[0]["DeviceIDs"] for n in (0, 1)] == [
        [s.uuid] for s in made
    ]
    text = compose_text(exported.file)
    assert "${" not in text
    assert "When the machine has restarted, make the slices again" in text
    assert "nvidia-smi mig -i 0 -cgi 14:2 -C" in text


def test_slices_to_be_made_are_variables_with_the_commands_that_make_them(
    real: Node, tmp_path: Path
) -> None:
    exported = export(real, write_stack(tmp_path, CHAT))
    text = compose_text(exported.file)
    for line in (
        "# The slices have to be made first, and again whenever the machine has restarted:",
        "#   nvidia-smi -i 0 -mig 1",
        "#   nvidia-smi mig -i 0 -cgi 14:0 -C",
        "#   CHAT_1_SLICE=MIG-…",
    ):
        assert line in text.splitlines()
    given = {"CHAT_0_SLICE": "MIG-a", "CHAT_1_SLICE": "MIG-b"}
    assert devices(exported, "chat-1", **given)[0]["DeviceIDs"] == ["MIG-b"]
    assert layout_of(real) == []


@pytest.mark.parametrize(
    ("facts", "hand_in", "wanted"),
    [
        (BY_CDI, None, "nvidia.com/gpu=MIG-a"),
        (BY_REQUEST, None, "MIG-a"),
        (BY_CDI, HandIn.REQUEST, "MIG-a"),
        (BY_REQUEST, HandIn.CDI, "nvidia.com/gpu=MIG-a"),
    ],
)
def test_a_slice_is_given_as_the_engine_can_unless_said_otherwise(
    real: Node, tmp_path: Path, facts: EngineFacts, hand_in: HandIn | None, wanted: str
) -> None:
    exported = export(real, write_stack(tmp_path, CHAT), facts, hand_in=hand_in)
    given = {"CHAT_0_SLICE": "MIG-a", "CHAT_1_SLICE": "MIG-b"}
    assert devices(exported, "chat-0", **given)[0]["DeviceIDs"] == [wanted]


def test_an_engine_that_cannot_be_asked_is_told_and_assumed_to_be_usual(
    real: Node, tmp_path: Path
) -> None:
    def ask(_: str) -> EngineFacts:
        raise DockerUnavailableError("No Docker engine listens.", hint="start it")

    exported = export_compose(real, load_stack(write_stack(tmp_path, CHAT)), ask=ask)
    assert "no Docker engine was asked (No Docker engine listens)" in exported.notes[0]
    assert exported.file.servers[0].launch.container is not None
    assert exported.file.servers[0].launch.container.hand_in is HandIn.REQUEST


def test_an_engine_that_cannot_give_gpus_yet_is_no_reason_against_a_file(
    real: Node, tmp_path: Path
) -> None:
    unable = replace(BY_REQUEST, nvidia_runtime=False)
    assert "driver: nvidia" in compose_text(export(real, write_stack(tmp_path, CHAT), unable).file)


def test_a_network_that_the_engine_lacks_is_refused(real: Node, tmp_path: Path) -> None:
    path = write_stack(tmp_path, CHAT, more="docker: {network: bridge}")
    with pytest.raises(ContainerError, match="no bridge network"):
        export(real, path, replace(BY_REQUEST, bridge=False))


def test_on_simulated_gpus_no_device_is_asked_for(node: Node, tmp_path: Path) -> None:
    exported = export(node, write_stack(tmp_path, CHAT))
    text = compose_text(exported.file)
    assert "deploy:" not in text
    assert "${" not in text
    assert "# SIMULATED GPUs" in text
    assert "nvidia-smi" not in text


def test_models_that_run_as_processes_become_containers(node: Node, tmp_path: Path) -> None:
    path = write_stack(tmp_path, CHAT[:-1] + ", runtime: process}")
    exported = export(node, path)
    assert all(service.launch.container for service in exported.file.servers)


def test_ports_of_servers_that_run_are_kept(node: Node, tmp_path: Path) -> None:
    made = [make_slice(node, "2g.20gb", start) for start in (0, 2)]
    record_owned(node, *(owned(s, "chat", n) for n, s in enumerate(made)))
    leases = (PortLease(replica=CHAT_0, port=21001), PortLease(replica=CHAT_1, port=21007))
    node.store.write_record(replace(node.read_record(), ports=leases, gateway_metrics_port=21009))
    file = export(node, write_stack(tmp_path, CHAT)).file
    assert [service.launch.port for service in file.servers] == [21001, 21007]
    command = file.gateway.launch.command
    assert command[-2:] == ("http://127.0.0.1:21001", "http://127.0.0.1:21007")
    assert command[command.index("--metrics-port") + 1] == "21009"


def test_keys_are_named_by_their_file_and_never_told(node: Node, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hunter2\n")
    keys.chmod(0o600)
    path = write_stack(tmp_path, CHAT, more="gateway: {api_keys_file: keys}")
    text = compose_text(export(node, path).file)
    read = read_compose(text)
    assert read["secrets"]["api-keys"] == {"file": str(keys)}
    assert read["services"]["gateway"]["user"] == f"{keys.stat().st_uid}:{keys.stat().st_gid}"
    assert "hunter2" not in text


def test_keys_that_are_missing_are_an_error(node: Node, tmp_path: Path) -> None:
    path = write_stack(tmp_path, CHAT, more="gateway: {api_keys_file: keys}")
    with pytest.raises(SecretMissingError, match="cannot read the keys file"):
        export(node, path)


def test_a_token_in_the_environment_is_left_there(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_hunter3")
    text = compose_text(export(node, write_stack(tmp_path, CHAT)).file)
    assert read_compose(text)["secrets"] == {"hf-token": {"environment": "HF_TOKEN"}}
    assert "hunter3" not in text


def test_all_models_that_have_no_image_are_refused_at_once(node: Node, tmp_path: Path) -> None:
    path = write_stack(
        tmp_path,
        'mine: {engine: command, slice: 1g.10gb, command: ["my-server", "{port}"]}',
        "chat: {model: Qwen/Qwen2.5-0.5B, engine: vllm, slice: 1g.10gb, program: /opt/vllm}",
        CHAT.replace("chat:", "fine:"),
    )
    with pytest.raises(StackError) as caught:
        export(node, path)
    assert caught.value.details == (
        "models.mine: `engine: command` has no image",
        "models.chat: `program: /opt/vllm` is a program of this machine",
    )


def test_a_stack_that_does_not_fit_is_not_exported(node: Node, tmp_path: Path) -> None:
    with pytest.raises(NoRoomError):
        export(node, write_stack(tmp_path, CHAT.replace("replicas: 2", "replicas: 9")))


def test_no_two_slices_share_a_variable() -> None:
    replicas = [ReplicaId(name, 0) for name in ("a.b", "a-b", "A_B", "7b", "a")]
    names = list(variables_of(replicas).values())
    assert names == ["A_B_0_SLICE", "A_B_0_SLICE_", "A_B_0_SLICE__", "_7B_0_SLICE", "A_0_SLICE"]
