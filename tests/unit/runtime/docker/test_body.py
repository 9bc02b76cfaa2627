"""What the engine is asked to create: everything a container may see and do, and nothing more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import a_launch
from gpuslice.model.server import Container, HandIn, Launch, Mount, Network, Secret
from gpuslice.runtime.docker.body import creation
from gpuslice.runtime.docker.labels import read_labels, write_labels
from gpuslice.version import __version__

ROOT = Path("/var/lib/gpuslice/host")
TOKEN = Secret(name="hf-token", target="/run/secrets/hf-token")
CONTAINER = Container(
    image="vllm/vllm-openai:v0.24.0",
    mounts=(
        Mount(source="/models/small", target="/models/small"),
        Mount(source="/cache", target="/var/cache/huggingface", read_only=False),
    ),
    secrets=(TOKEN,),
    user="2000:0",
    shm_mib=8192,
    memory_mib=65_536,
    labels=(("gpuslice.profile", "2g.20gb"), ("gpuslice.gpu-instance", "3")),
)
FILES = {"hf-token": ROOT / "secrets" / "hf-token"}


def a_container(**changes: Any) -> Launch:
    command = ("vllm", "serve", "/models/small")
    return a_launch(*command, container=replace(CONTAINER, **changes))


def made(launch: Launch, **further: str) -> dict[str, Any]:
    return creation(launch, ROOT, FILES, further)


def test_the_whole_request_is_as_reviewed() -> None:
    launch = replace(a_container(), environment=(("HF_HOME", "/var/cache/huggingface"),))
    assert made(launch, TZ="UTC", HF_HOME="/not/this") == {
        "Image": "vllm/vllm-openai:v0.24.0",
        "Entrypoint": ["vllm"],
        "Cmd": ["serve", "/models/small"],
        "Env": ["HF_HOME=/var/cache/huggingface", "TZ=UTC"],
        "User": "2000:0",
        "Labels": write_labels(launch, ROOT),
        "StopSignal": "SIGTERM",
        "ExposedPorts": {"20001/tcp": {}},
        "HostConfig": {
            "NetworkMode": "bridge",
            "PortBindings": {"20001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]},
            "Init": True,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": 4096,
            "ReadonlyRootfs": False,
            "ShmSize": 8 * 2**30,
            "Tmpfs": {},
            "Memory": 64 * 2**30,
            "MemorySwap": 64 * 2**30,
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": "/models/small",
                    "Target": "/models/small",
                    "ReadOnly": True,
                },
                {
                    "Type": "bind",
                    "Source": "/cache",
                    "Target": "/var/cache/huggingface",
                    "ReadOnly": False,
                },
                {
                    "Type": "bind",
                    "Source": "/var/lib/gpuslice/host/secrets/hf-token",
                    "Target": "/run/secrets/hf-token",
                    "ReadOnly": True,
                },
            ],
            "DeviceRequests": [
                {
                    "DeviceIDs": ["MIG-0f0e0d0c-1111-5222-8333-444455556666"],
                    "Capabilities": [["gpu"]],
                }
            ],
        },
    }


def test_a_slice_is_handed_in_by_cdi_under_its_qualified_name() -> None:
    config = made(a_container(hand_in=HandIn.CDI))["HostConfig"]
    assert config["DeviceRequests"] == [
        {
            "Driver": "cdi",
            "DeviceIDs": ["nvidia.com/gpu=MIG-0f0e0d0c-1111-5222-8333-444455556666"],
        }
    ]


@pytest.mark.parametrize(
    "launch",
    [a_container(hand_in=HandIn.NONE), replace(a_container(), slice_uuid="")],
    ids=["simulated", "without a slice"],
)
def test_nothing_is_handed_in_where_there_is_nothing(launch: Launch) -> None:
    assert "DeviceRequests" not in made(launch)["HostConfig"]


def test_on_the_machines_network_no_port_is_published() -> None:
    body = made(a_container(network=Network.HOST))
    assert body["HostConfig"]["NetworkMode"] == "host"
    assert "ExposedPorts" not in body
    assert "PortBindings" not in body["HostConfig"]


def test_an_images_own_entry_point_takes_the_whole_command() -> None:
    body = made(a_container(own_entrypoint=True))
    assert "Entrypoint" not in body
    assert body["Cmd"] == ["vllm", "serve", "/models/small"]


def test_what_is_read_only_can_write_where_it_is_said() -> None:
    config = made(a_container(read_only=True, writable=("/tmp",)))["HostConfig"]
    assert config["ReadonlyRootfs"]
    assert config["Tmpfs"] == {"/tmp": "rw,exec,nosuid,nodev,mode=1777"}


def test_an_image_keeps_its_own_user_where_none_is_said() -> None:
    assert "User" not in made(a_container(user=""))


def test_no_limit_of_memory_is_no_limit() -> None:
    assert "Memory" not in made(a_container(memory_mib=0))["HostConfig"]


def test_labels_say_all_that_is_needed_to_find_a_server_again() -> None:
    launch = a_container()
    labels = write_labels(launch, ROOT)
    assert labels["gpuslice.version"] == __version__
    assert labels["gpuslice.machine"] == str(ROOT)
    assert labels["gpuslice.profile"] == "2g.20gb"
    found = read_labels(labels)
    assert found is not None
    for name in ("name", "stack", "role", "replica", "host", "port", "slice_uuid", "config_hash"):
        assert getattr(found, name) == getattr(launch, name)


def test_a_gateway_has_no_replica() -> None:
    found = read_labels(write_labels(replace(a_container(), replica=None), ROOT))
    assert found is not None
    assert found.replica is None


@pytest.mark.parametrize(
    "change", [{"gpuslice.port": "many"}, {"gpuslice.role": "king"}, {"gpuslice.replica": ""}]
)
def test_garbled_labels_are_nobodys(change: dict[str, str]) -> None:
    assert read_labels(write_labels(a_container(), ROOT) | change) is None


def test_a_label_of_ours_cannot_be_overruled_by_those_of_the_slice() -> None:
    launch = a_container(labels=(("gpuslice.stack", "others"),))
    assert write_labels(launch, ROOT)["gpuslice.stack"] == "assistants"
