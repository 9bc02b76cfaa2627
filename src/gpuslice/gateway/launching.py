"""How the gateway is launched: pure, like an engine, so that the same runtime can start it.

Separate from the settings because a launch is shown, logged and compared, and so has no secrets.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gpuslice.engines.fingerprint import config_hash
from gpuslice.gateway.settings import GatewaySettings
from gpuslice.model.server import Launch, Role

PROGRAM = "gpuslice.gateway.launch"


def gateway_launch(
    stack: str, settings: GatewaySettings, settings_file: Path, *, python: str
) -> Launch:
    """Describe the gateway's process.

    Its hash covers what clients notice: address, policy and keys (hashed). The control key and the
    metrics port are ours, new at every start, and no reason to replace a gateway that runs.

    Args:
        stack: Name of the stack.
        settings: What is, or will be, in the file.
        settings_file: The file, mode 0600.
        python: Interpreter that has gpuslice installed.
    """
    command = (python, "-m", PROGRAM, str(settings_file))
    environment = (("NO_COLOR", "1"), ("PYTHONUNBUFFERED", "1"))
    keys = (hashlib.sha256(key.encode()).hexdigest() for key in sorted(settings.client_keys))
    further = (settings.host, str(settings.port), settings.policy, *keys)
    return Launch(
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
    )
