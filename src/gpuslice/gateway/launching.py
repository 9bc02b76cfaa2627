"""How the gateway is launched: pure, like an engine, so that the same runtime can start it.

Separate from the settings because a launch is shown, logged and compared, and so has no secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gpuslice.engines.by_hand import docker_run
from gpuslice.engines.fingerprint import config_hash
from gpuslice.engines.images import OWN
from gpuslice.gateway.settings import GatewaySettings
from gpuslice.model.server import Container, HandIn, Launch, Network, Role, Secret

PROGRAM = "gpuslice.gateway.launch"
ALONE = "gpuslice.gateway.alone"
KEYS = "/run/secrets/api-keys"
_ENVIRONMENT = (("NO_COLOR", "1"), ("PYTHONUNBUFFERED", "1"))


def gateway_container(settings_file: Path, *, image: str, user: str) -> Container:
    """Describe the container of a gateway.

    It is on the machine's own network: servers listen on the machine's loopback, and so does it
    unless the stack file says otherwise. Its settings, keys included, reach it as a secret file.

    Args:
        settings_file: The file.
        image: The user's own image, "" for ours.
        user: ``uid:gid`` it runs as.
    """
    return Container(
        image=image or OWN,
        secrets=(Secret(name=str(settings_file), target=str(settings_file)),),
        user=user,
        read_only=not image,
        writable=() if image else ("/tmp",),  # noqa: S108 - the container's own, in memory
        pids=1024,
        network=Network.HOST,
        hand_in=HandIn.NONE,
    )


def gateway_launch(
    stack: str,
    settings: GatewaySettings,
    settings_file: Path,
    *,
    python: str,
    container: Container | None = None,
) -> Launch:
    """Describe the gateway's process.

    Its hash covers what clients notice: address, policy and keys (hashed). The control key and the
    metrics port are ours, new at every start, and no reason to replace a gateway that runs.

    Args:
        stack: Name of the stack.
        settings: What is, or will be, in the file.
        settings_file: The file, mode 0600.
        python: Interpreter that has gpuslice installed.
        container: What it runs in; None for a process.
    """
    command = ("python3" if container else python, "-m", PROGRAM, str(settings_file))
    keys = (hashlib.sha256(key.encode()).hexdigest() for key in sorted(settings.client_keys))
    around = (json.dumps(asdict(container), sort_keys=True),) if container else ()
    further = (settings.host, str(settings.port), settings.policy, *keys, *around)
    launch = Launch(
        stack=stack,
        role=Role.GATEWAY,
        replica=None,
        command=command,
        environment=_ENVIRONMENT,
        host=settings.host,
        port=settings.port,
        config_hash=config_hash(command, _ENVIRONMENT, further=further),
        by_hand=f"smg launch --host {settings.host} --port {settings.port} --enable-igw "
        "--backend openai … and one POST /workers for each server",
        container=container,
    )
    return replace(launch, by_hand=docker_run(launch)) if container else launch


def lone_gateway_launch(
    stack: str,
    settings: GatewaySettings,
    servers: Sequence[str],
    *,
    image: str,
    user: str,
    keys_file: str = "",
) -> Launch:
    """Describe a gateway in a container that finds its servers without an agent.

    Args:
        stack: Name of the stack.
        settings: Its addresses and policy; no key of it is used.
        servers: Where its servers will answer.
        image: The user's own image, "" for ours.
        user: ``uid:gid`` it runs as: one that can read the keys.
        keys_file: File of the machine that holds the clients' keys; "" for no keys.
    """
    container = replace(
        gateway_container(Path(keys_file), image=image, user=user),
        secrets=(Secret(name=keys_file, target=KEYS),) if keys_file else (),
    )
    return Launch(
        stack=stack,
        role=Role.GATEWAY,
        replica=None,
        command=(
            *("python3", "-m", ALONE),
            *("--host", settings.host, "--port", str(settings.port)),
            *("--metrics-port", str(settings.metrics_port), "--policy", settings.policy),
            *(("--keys-file", KEYS) if keys_file else ()),
            *servers,
        ),
        environment=_ENVIRONMENT,
        host=settings.host,
        port=settings.port,
        container=container,
    )
