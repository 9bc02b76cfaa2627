"""Images: is one here, and if not, bring it, telling how far it is.

Separate from starting containers, because an image of ten gigabytes takes minutes: it is fetched
before anything is touched, with progress and a way to stop, and never while the agent's loop waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from gpuslice.engines.images import OWN
from gpuslice.errors import ImageMissingError
from gpuslice.model.desired import Pull
from gpuslice.runtime.docker.engine import Engine
from gpuslice.runtime.docker.trouble import explained

BUILD = f"build it in a checkout of gpuslice: docker build -t {OWN} -f deploy/image/Dockerfile ."
_TELL_EVERY_S = 1.0
_STILL_S = 120.0
"""How long the engine may say nothing while it fetches."""

Tell = Callable[[str], None]


def fetch(engine: Engine, images: Collection[str], pull: Pull, tell: Tell) -> None:
    """Bring images here, as `pull` says.

    Args:
        engine: Where to.
        images: Names with tags.
        pull: Whether those that are here are asked for again, or none is fetched at all.
        tell: Takes progress in words; what it raises stops the fetching.

    Raises:
        ImageMissingError: One is not here and may not or cannot be fetched.
        DockerUnavailableError: The engine cannot be asked.
    """
    for image in sorted(set(images)):
        here = is_here(engine, image)
        if here and (pull is not Pull.ALWAYS or image == OWN):
            continue
        if pull is Pull.NEVER or image == OWN:
            raise missing(image)
        _pull(engine, image, tell)


def is_here(engine: Engine, image: str) -> bool:
    """Tell whether the engine has an image."""
    with engine.asking(f"{image} cannot be looked for") as api:
        return bool(api.images(name=image, quiet=True))


def missing(image: str) -> ImageMissingError:
    """Say that an image is not here, and how to get it."""
    hint = BUILD if image == OWN else f"fetch it: docker pull {image}; or say `pull: missing`"
    return ImageMissingError(f"The image {image} is not on this machine.", hint=hint)


def _pull(engine: Engine, image: str, tell: Tell) -> None:
    tell(f"fetching {image}")
    doing = f"{image} cannot be fetched"
    last = time.monotonic()
    with engine.asking(doing, timeout_s=_STILL_S) as api:
        for said, share in progress(api.pull(image, stream=True, decode=True), doing):
            if time.monotonic() - last >= _TELL_EVERY_S:
                last = time.monotonic()
                tell(f"fetching {image}: {share or said}")


def progress(events: Iterable[Mapping[str, Any]], doing: str) -> Iterator[tuple[str, str]]:
    """Turn the engine's reports on layers into one state of the whole.

    Yields:
        What was said last, and how much of the layers known so far is here.

    Raises:
        GpusliceError: The engine gave up, in its words.
    """
    here: dict[str, int] = {}
    whole: dict[str, int] = {}
    for event in events:
        if "error" in event:
            raise explained(str(event["error"]), doing)
        layer, detail = event.get("id", ""), event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            here[layer], whole[layer] = detail["current"], detail["total"]
        elif event.get("status") in ("Download complete", "Pull complete") and layer in whole:
            here[layer] = whole[layer]
        yield str(event.get("status", "")), _share(here, whole)


def _share(here: Mapping[str, int], whole: Mapping[str, int]) -> str:
    total = sum(whole.values())
    return f"{sum(here.values()) / 1e9:.1f} of {total / 1e9:.1f} GB" if total else ""
