"""What an engine already has that matters before a change: images, and names that are taken.

Separate from the runtime, which starts and stops: here nothing is changed, and containers of others
are looked at too. Each question is one call, however many containers the machine has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gpuslice.runtime.docker.engine import Engine
from gpuslice.runtime.docker.labels import MACHINE


def architectures(engine: Engine, images: Collection[str]) -> dict[str, str | None]:
    """Say for which kind of machine each image is made.

    Args:
        engine: Where to look.
        images: Names with tags.

    Returns:
        By image: ``amd64``, ``arm64``; "" where it does not say, None where it is not here.

    Raises:
        DockerUnavailableError: The engine cannot be asked.
        ContainerError: It refuses to tell.
    """
    return {image: _architecture(engine, image) for image in sorted(set(images))}


def names_taken(engine: Engine, prefix: str, names: Collection[str], root: Path) -> dict[str, str]:
    """Find containers of somebody else that have names of ours.

    Args:
        engine: Where to look.
        prefix: What all the names begin with, so that few containers are told.
        names: The names.
        root: The folder of this machine of ours, which its containers carry as a label.

    Returns:
        By name, the short id of the container that has it.

    Raises:
        DockerUnavailableError: The engine cannot be asked.
    """
    pattern = f"^/?{re.escape(prefix)}"
    with engine.asking("containers cannot be listed") as api:
        found: list[dict[str, Any]] = api.containers(all=True, filters={"name": [pattern]})
    return {
        name: entry["Id"][:12]
        for entry in found
        if not _is_ours(entry, root)
        for name in (written.removeprefix("/") for written in entry["Names"] or ())
        if name in names
    }


def _architecture(engine: Engine, image: str) -> str | None:
    with engine.asking(f"{image} cannot be looked at") as api:
        from docker.errors import NotFound  # noqa: PLC0415 - slow to import; here it is already

        try:
            return str(api.inspect_image(image).get("Architecture", ""))
        except NotFound:
            return None


def _is_ours(entry: Mapping[str, Any], root: Path) -> bool:
    return (entry.get("Labels") or {}).get(MACHINE) == str(root)
