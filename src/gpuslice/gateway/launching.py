"""How the gateway is launched: pure, like an engine, so that the same runtime can start it.

Separate from the settings because a launch is shown, logged and compared, and so has no secrets.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from gpuslice.engines.by_hand import docker_run
from gpuslice.engines.fingerprint import config_hash
from gpuslice.engines.images import OWN
from gpuslice.gateway.settings import GatewaySettings
from gpuslice.model.server import Container, HandIn, Launch, Network, Role, Secret

PROGRAM = "gpuslice.gateway.launch"


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
    environment = (("NO_COLOR", "1"), ("PYTHONUNBUFFERED", "1"))
    keys = (hashlib.sha256(key.encode()).hexdigest() for key in sorted(settings.client_keys))
    around = (json.dumps(asdict(container), sort_keys=True),) if container else ()
    further = (settings.host, str(settings.port), settings.policy, *keys, *around)
    launch = Launch(
        stack=stack,
        role=Role.GATEWAY,
        replica=None,
        command=command,
        environment=environment,
        host=settings.host,
        port=settings.port,
        config_hash=config_hash(command, environment, further=further),
        by_hand=f"smg launch --host {settings.host} --port {settings.port} --enable-igw "
        "--backend openai … and one POST /workers for each server",
        container=container,
    )
    return replace(launch, by_hand=docker_run(launch)) if container else launch
