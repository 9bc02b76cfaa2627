"""Exported stacks, whole, as reviewed text; and that each service is the container of `body`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import a_serve_request, some_gateway_settings
from compose_files import engine_request, read_compose
from gpuslice.engines.api import Place, Surroundings
from gpuslice.engines.catalogue import engine_named
from gpuslice.gateway.launching import lone_gateway_launch
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import HandIn, Launch, Network
from gpuslice.runtime.docker.body import creation
from gpuslice.runtime.docker.compose import ComposeFile, Service, Unknown, compose_text

GOLDEN = Path(__file__).parents[3] / "golden" / "compose"
KEYS = "/etc/assistants/keys"
TOKEN = "/home/ada/.cache/huggingface/token"
ON_A_GPU = Surroundings(
    cache="/home/ada/.cache/huggingface",
    user="1000:0",
    token=True,
    memory_mib=115_000,
    labels=(
        ("gpuslice.gpu", "GPU-1"),
        ("gpuslice.gpu-instance", "3"),
        ("gpuslice.profile", "2g.20gb"),
        ("gpuslice.placement", "0:2"),
    ),
)
SIMULATED = Surroundings(hand_in=HandIn.NONE, network=Network.HOST, memory_mib=9728)


def a_server(engine: str = "vllm", surroundings: Surroundings = ON_A_GPU, **changes: Any) -> Launch:
    request = a_serve_request(
        **{"source": "Qwen/Qwen2.5-7B-Instruct", "place": Place.CONTAINER}
        | {"surroundings": surroundings}
        | changes
    )
    return engine_named(engine, python="python").launch(request)


def a_gateway(*servers: Launch, keys_file: str = "", host: str = "127.0.0.1") -> Launch:
    return lone_gateway_launch(
        "assistants",
        some_gateway_settings(host=host),
        [server.url for server in servers],
        image="",
        user="1000:1000" if keys_file else "65532:65532",
        keys_file=keys_file,
    )


def a_file(*servers: Launch, **changes: Any) -> ComposeFile:
    made = ComposeFile(
        stack="assistants",
        heading=("Stack assistants.", "", "Start it."),
        servers=[Service(launch=server, comment=f"{server.replica}") for server in servers],
        gateway=Service(launch=a_gateway(*servers), comment="OpenAI's API for all of them"),
        secrets={"hf-token": {"file": TOKEN}, KEYS: {"file": KEYS}},
    )
    return replace(made, **changes)


def with_keys(*servers: Launch) -> ComposeFile:
    launch = a_gateway(*servers, keys_file=KEYS, host="0.0.0.0")
    return a_file(*servers, gateway=Service(launch=launch, comment="OpenAI's API, with keys"))


LLAMA = a_server("llama.cpp", SIMULATED, source="/models/small.gguf", threads=2)
CASES = {
    "vllm-by-cdi": a_file(a_server(surroundings=replace(ON_A_GPU, hand_in=HandIn.CDI))),
    "vllm-by-device-request": a_file(
        a_server(), a_server(replica=ReplicaId("chat", 1), port=20002)
    ),
    "vllm-on-a-slice-to-be-made": a_file(
        a_server(slice_uuid="§CHAT_0_SLICE§"),
        unknown=[Unknown(stands_for="§CHAT_0_SLICE§", variable="CHAT_0_SLICE")],
    ),
    "llama-cpp-on-a-simulated-gpu": a_file(LLAMA),
    "gateway-with-keys": with_keys(LLAMA),
    "command-of-an-image-of-its-own": a_file(
        a_server(
            "command",
            replace(ON_A_GPU, image="acme/serve:1.2"),
            command=("serve", "--price=$5", "--slice={uuid}"),
            environment=(("LIMIT", "1e3"), ("FLAG", "on"), ("MASK", "0o17"), ("SHELL", "$HOME")),
        ),
        further={"HTTPS_PROXY": "http://proxy:3128"},
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_file_is_as_reviewed(case: str, update_golden: bool) -> None:
    text = compose_text(CASES[case])
    file = GOLDEN / f"{case}.yaml"
    if update_golden:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "run pytest with --update-golden and review the difference"


def test_no_golden_case_is_left_behind() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_service_is_the_container_that_gpuslice_would_run(case: str) -> None:
    file = CASES[case]
    read = read_compose(compose_text(file), {"CHAT_0_SLICE": "§CHAT_0_SLICE§"})
    for service in (*file.servers, file.gateway):
        secrets = {name: Path(where["file"]) for name, where in file.secrets.items()}
        ours = creation(service.launch, Path("/var/lib/gpuslice/host"), secrets, file.further)
        theirs = engine_request(read, service.name)
        assert without_what_differs(theirs) == without_what_differs(ours)


def without_what_differs(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is meant to differ: restarts, labels, health, names of the same device."""
    kept = {k: v for k, v in body.items() if k not in ("Labels", "Healthcheck", "StopSignal")}
    host = {k: v for k, v in kept.pop("HostConfig").items() if k != "RestartPolicy"}
    host["DeviceRequests"] = [r["DeviceIDs"] for r in host.pop("DeviceRequests", [])]
    return kept | {"HostConfig": host}


@pytest.mark.parametrize("case", sorted(CASES))
def test_gpuslice_does_not_take_an_exported_container_for_its_own(case: str) -> None:
    read = yaml.safe_load(compose_text(CASES[case]))
    for service in read["services"].values():
        assert not {"gpuslice.machine", "gpuslice.name"} & set(service["labels"])
        assert service["restart"] == "unless-stopped"


def test_the_health_of_an_image_nobody_knows_is_not_asked() -> None:
    read = yaml.safe_load(compose_text(CASES["command-of-an-image-of-its-own"]))
    assert "healthcheck" not in read["services"]["chat-0"]
    assert "healthcheck" in read["services"]["gateway"]


def test_a_token_in_a_variable_is_named_and_not_told() -> None:
    file = replace(a_file(a_server()), secrets={"hf-token": {"environment": "HF_TOKEN"}})
    read = yaml.safe_load(compose_text(file))
    assert read["secrets"] == {"hf-token": {"environment": "HF_TOKEN"}}
    assert read["services"]["chat-0"]["secrets"] == ["hf-token"]


def test_words_that_readers_of_yaml_disagree_about_stay_words() -> None:
    text = compose_text(CASES["command-of-an-image-of-its-own"])
    for written in ('LIMIT: "1e3"', 'FLAG: "on"', 'MASK: "0o17"', 'SHELL: "$$HOME"'):
        assert written in text


def test_a_heading_of_several_lines_is_all_comment() -> None:
    text = compose_text(a_file(LLAMA, heading=("one", "", "three")))
    assert text.startswith("# one\n#\n# three\n\nname: assistants\n")
