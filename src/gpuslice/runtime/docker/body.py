"""What the Docker engine is asked to create: the body of one request, made from a launch. Pure.

Separate from the runtime, which sends it, because what a container may see and do has to be read in
one place and tested without an engine.

- Every capability is dropped, and none can be gained (``no-new-privileges``).
- A container is never started again by the engine: the agent does that, and it alone knows whether
  the slice is still there. Two who restart would fight.
- An init of the engine's stands before the server. The first process of a container ignores a
  signal it does not handle itself, and a server that is still loading does not handle any.
- Its log turns over at 10 MiB, three are kept: an engine by itself keeps everything for ever.
- Memory and swap have one limit, so a server that takes too much is ended instead of dragging the
  machine into swapping.

Source: docs.docker.com, Engine API, ``POST /containers/create``; NVIDIA container toolkit, "CDI".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpuslice.engines.by_hand import TMPFS
from gpuslice.model.server import Container, HandIn, Launch, Network
from gpuslice.runtime.docker.labels import write_labels

LOG_BYTES = "10m"
LOG_FILES = "3"
STOP_SIGNAL = "SIGTERM"
_MIB = 1024 * 1024


def creation(
    launch: Launch, root: Path, secrets: Mapping[str, Path], further: Mapping[str, str]
) -> dict[str, Any]:
    """Make the body of the request that creates a container.

    Args:
        launch: What to run; it has a container.
        root: The machine's folder, for the labels.
        secrets: By name of the secret, the file that holds it.
        further: Variables of the machine that go in with it, such as proxies; the launch's own win.

    Returns:
        The body, as JSON values.
    """
    container = launch.container
    assert container is not None, "only a launch with a container is run by Docker"
    own = container.own_entrypoint
    body: dict[str, Any] = {
        "Image": container.image,
        "Cmd": list(launch.command if own else launch.command[1:]),
        "Env": [f"{k}={v}" for k, v in sorted((dict(further) | dict(launch.environment)).items())],
        "Labels": write_labels(launch, root),
        "StopSignal": STOP_SIGNAL,
        "HostConfig": _host_config(launch, container, secrets),
    }
    if not own:
        body["Entrypoint"] = [launch.command[0]]
    if container.user:
        body["User"] = container.user
    if container.network is Network.BRIDGE:
        body["ExposedPorts"] = {f"{launch.port}/tcp": {}}
    return body


def _host_config(
    launch: Launch, container: Container, secrets: Mapping[str, Path]
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": container.network.value,
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": LOG_BYTES, "max-file": LOG_FILES},
        },
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": container.pids,
        "ReadonlyRootfs": container.read_only,
        "ShmSize": container.shm_mib * _MIB,
        "Tmpfs": dict.fromkeys(container.writable, TMPFS),
        "Mounts": _mounts(container, secrets),
    }
    if container.memory_mib:
        config["Memory"] = config["MemorySwap"] = container.memory_mib * _MIB
    if container.network is Network.BRIDGE:
        binding = {"HostIp": launch.host, "HostPort": str(launch.port)}
        config["PortBindings"] = {f"{launch.port}/tcp": [binding]}
    if requests := _device_requests(launch, container):
        config["DeviceRequests"] = requests
    return config


def _mounts(container: Container, secrets: Mapping[str, Path]) -> list[dict[str, Any]]:
    folders = [
        _mount(mount.source, mount.target, read_only=mount.read_only) for mount in container.mounts
    ]
    files = [
        _mount(str(secrets[secret.name]), secret.target, read_only=True)
        for secret in container.secrets
    ]
    return folders + files


def _mount(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def _device_requests(launch: Launch, container: Container) -> list[dict[str, Any]]:
    if not launch.slice_uuid:
        return []
    match container.hand_in:
        case HandIn.CDI:
            return [{"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={launch.slice_uuid}"]}]
        case HandIn.REQUEST:
            return [{"DeviceIDs": [launch.slice_uuid], "Capabilities": [["gpu"]]}]
        case HandIn.NONE:
            return []
