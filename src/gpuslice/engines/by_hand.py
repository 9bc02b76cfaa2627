"""What a person would have typed to run a server on a slice: for narration, never for running.

Separate from the engines' launches, which are what is really run. Shown by ``--show-commands`` and
by the demo, so that people see what is done for them.

Source: NVIDIA MIG User Guide, "Running containers"; the inner quotes are Docker's own need.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from gpuslice.engines.api import ServeRequest


def in_container(request: ServeRequest, image: str, arguments: tuple[str, ...]) -> str:
    """Write the ``docker run`` line for a server on a slice; a local file is mounted."""
    device = f"""--gpus '"device={request.slice_uuid}"'"""
    port = f"-p 127.0.0.1:{request.port}:{request.port}"
    source = PurePosixPath(request.source)
    mount, inside = "", request.source
    if source.is_absolute():
        mount = f" -v {shlex.quote(str(source.parent))}:/models:ro"
        inside = f"/models/{source.name}"
    shown = shlex.join(inside if part == request.source else part for part in arguments)
    return f"docker run -d {device} {port}{mount} {image} {shown}"


def on_host(request: ServeRequest, command: tuple[str, ...]) -> str:
    """Write the line that runs a server as a process on a slice."""
    return f"CUDA_VISIBLE_DEVICES={request.slice_uuid} {shlex.join(command)} &"
