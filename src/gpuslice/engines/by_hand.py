"""What a person would have typed to run a server on a slice: for narration, never for running.

Separate from the engines' launches, which are what is really run. Shown by ``--show-commands`` and
by the demo, so that people see what is done for them.

Source: NVIDIA MIG User Guide, "Running containers" (the inner quotes of ``--gpus`` are Docker's own
need); docs.docker.com, ``docker container run``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from gpuslice.engines.api import ServeRequest
from gpuslice.model.server import Container, HandIn, Launch, Network

TMPFS = "rw,exec,nosuid,nodev,mode=1777"
"""How a folder in memory is mounted; by Docker's own default nothing in it could be executed, and
compiled kernels are."""


def on_host(request: ServeRequest, command: tuple[str, ...]) -> str:
    """Write the line that runs a server as a process on a slice."""
    return f"CUDA_VISIBLE_DEVICES={request.slice_uuid} {shlex.join(command)} &"


def docker_run(launch: Launch) -> str:
    """Write the ``docker run`` line of a launch that has a container.

    Labels, by which gpuslice finds its containers again, are left out.
    """
    container = launch.container
    assert container is not None, "only a container is run by docker"
    parts = launch.command if container.own_entrypoint else launch.command[1:]
    options = (*_seen(launch, container), *_limits(container), *_entry(launch, container))
    return " ".join(
        (
            "docker run -d --init",
            *_device(launch, container),
            shlex.join(options),
            shlex.quote(container.image),
            shlex.join(parts),
        )
    )


def _device(launch: Launch, container: Container) -> Iterator[str]:
    if container.hand_in is HandIn.CDI and launch.slice_uuid:
        yield f"--device nvidia.com/gpu={launch.slice_uuid}"
    if container.hand_in is HandIn.REQUEST and launch.slice_uuid:
        yield f"""--gpus '"device={launch.slice_uuid}"'"""


def _seen(launch: Launch, container: Container) -> Iterator[str]:
    yield from ("--name", launch.name)
    if container.network is Network.HOST:
        yield from ("--network", "host")
    else:
        yield from ("-p", f"{launch.host}:{launch.port}:{launch.port}")
    for mount in container.mounts:
        yield from ("-v", f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}")
    for secret in container.secrets:
        yield from ("-v", f"./{secret.name.rpartition('/')[2]}:{secret.target}:ro")
    for name, value in launch.environment:
        yield from ("-e", f"{name}={value}")


def _limits(container: Container) -> Iterator[str]:
    if container.user:
        yield from ("--user", container.user)
    if container.read_only:
        yield "--read-only"
    for folder in container.writable:
        yield from ("--tmpfs", f"{folder}:{TMPFS}")
    yield from ("--shm-size", f"{container.shm_mib}m")
    if container.memory_mib:
        yield from ("--memory", f"{container.memory_mib}m")
    yield from ("--pids-limit", str(container.pids))
    yield from ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def _entry(launch: Launch, container: Container) -> tuple[str, ...]:
    return () if container.own_entrypoint else ("--entrypoint", launch.command[0])
