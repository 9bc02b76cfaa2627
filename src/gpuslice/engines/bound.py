"""A launch that is bound to a slice: what all engines have in common."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.by_hand import docker_run, on_host
from gpuslice.engines.container import container_of
from gpuslice.engines.fingerprint import config_hash
from gpuslice.engines.questions import questions_for
from gpuslice.model.server import Container, Launch, MetricNames, Role


def bound_launch(
    engine: str,
    request: ServeRequest,
    command: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    *,
    metrics: MetricNames | None = None,
    kinds: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    own_entrypoint: bool = False,
) -> Launch:
    """Describe a server on a request's slice.

    Args:
        engine: Name of the engine.
        request: Whom it serves, where.
        command: Argument vector.
        environment: Variables, those that bind it to the slice included.
        metrics: Where its counters stand on ``/metrics``, or None where it has none.
        kinds: What it is asked to find out whether it is ready, unless the request says.
        notes: Where the user's arguments overrule ours.
        own_entrypoint: True when, in a container, the image's own entry point takes the command
            as its arguments.

    Raises:
        StackError: It is to run in a container, and there is no image.
    """
    container: Container | None = None
    further: tuple[str, ...] = ()
    if request.in_container:
        container, variables = container_of(engine, request, own_entrypoint=own_entrypoint)
        environment = tuple(sorted(dict((*variables, *environment)).items()))
        further = (json.dumps(asdict(container), sort_keys=True),)
    launch = Launch(
        stack=request.stack,
        role=Role.SERVER,
        replica=request.replica,
        command=command,
        environment=environment,
        port=request.port,
        questions=questions_for(request, kinds),
        metrics_path="/metrics" if metrics else "",
        metrics=metrics or MetricNames(),
        source=request.source,
        slice_uuid=request.slice_uuid,
        config_hash=config_hash(command, environment, request.slice_uuid, further),
        shared_gpu=request.shared_gpu,
        by_hand=on_host(request, command),
        notes=notes,
        container=container,
    )
    return replace(launch, by_hand=docker_run(launch)) if container else launch
