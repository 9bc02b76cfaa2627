"""A launch that is bound to a slice: what all engines have in common."""

from __future__ import annotations

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.fingerprint import config_hash
from gpuslice.engines.questions import questions_for
from gpuslice.model.server import Launch, MetricNames, Role


def bound_launch(
    request: ServeRequest,
    command: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    *,
    by_hand: str,
    metrics: MetricNames | None = None,
    kinds: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Launch:
    """Describe a server on a request's slice.

    Args:
        request: Whom it serves, where.
        command: Argument vector.
        environment: Variables, those that bind it to the slice included.
        by_hand: What a person would have typed.
        metrics: Where its counters stand on ``/metrics``, or None where it has none.
        kinds: What it is asked to find out whether it is ready, unless the request says.
        notes: Where the user's arguments overrule ours.
    """
    return Launch(
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
        config_hash=config_hash(command, environment, request.slice_uuid),
        shared_gpu=request.shared_gpu,
        by_hand=by_hand,
        notes=notes,
    )
