"""Where the servers of a stack run, in one line and as JSON."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from gpuslice.engines.images import image_of
from gpuslice.model.desired import Desired, DesiredModel, RuntimeName


def places_line(desired: Desired) -> str:
    """Say where a stack's servers run: ``Servers run in Docker: chat (vllm/…); titles …``."""
    by_image: dict[str, list[str]] = defaultdict(list)
    for model in desired.models:
        by_image[_image(model)].append(model.name)
    processes = by_image.pop("", [])
    if not by_image:
        return "Servers run as processes."
    if not processes and len(by_image) == 1:
        return f"Servers run in Docker ({next(iter(by_image))})."
    told = ", ".join(f"{' and '.join(names)} ({image})" for image, names in by_image.items())
    rest = f"; as processes: {', '.join(processes)}" if processes else ""
    return f"Servers run in Docker: {told}{rest}."


def places_json(desired: Desired) -> list[dict[str, Any]]:
    """The same for scripts, model by model."""
    return [
        {"model": model.name, "runtime": model.runtime, "image": _image(model)}
        for model in desired.models
    ]


def _image(model: DesiredModel) -> str:
    """Name the image a model's servers run in, "" for processes."""
    return image_of(model.engine, model.image) if model.runtime is RuntimeName.DOCKER else ""
