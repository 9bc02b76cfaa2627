"""Which image an engine comes in, of which release, and what that image allows.

Separate because it is a table that ages, like `defects`. Images are pinned: a tag such as
``latest`` would change a server without anybody having asked. What an image allows is written down
only where its makers say so; of any other image nothing is assumed, and it runs as it was built.

Source: docs.vllm.ai, "Using Docker" (``--user 2000:0``; vllm #40275, spring 2026, in every release
from 0.24.0 on); docs.sglang.io, "Install" (Docker); our own deploy/image/Dockerfile.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.version import __version__

OWN = f"gpuslice/gpuslice:{__version__}"
"""Our own image: the gateway, and llama.cpp's server for the CPU."""
OWN_USER = "65532:65532"
"""The user it is made for: nobody of any machine."""

USUAL = {
    "vllm": "vllm/vllm-openai:v0.24.0",
    "sglang": "lmsysorg/sglang:v0.5.19",
    "llama.cpp": OWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What an image bears without breaking.

    Attributes:
        user: ``uid:gid`` of a user that it is prepared for, "" where it has to be its own.
        read_only: True where it writes nothing but into ``/tmp``.
    """

    user: str = ""
    read_only: bool = False


_NOTHING = Allowance()
_ALLOWED = {
    "vllm": Allowance(user="2000:0"),
    "llama.cpp": Allowance(user=OWN_USER, read_only=True),
}


def image_of(engine: str, own: str) -> str:
    """Choose the image of a server: the user's own, else the engine's usual one, else ""."""
    return own or USUAL.get(engine, "")


def allowance_of(engine: str, image: str) -> Allowance:
    """Say what an image allows; nothing where it is not the engine's usual one."""
    return _ALLOWED.get(engine, _NOTHING) if image == USUAL.get(engine) else _NOTHING


def release_in(image: str) -> str:
    """Read the release that a tag names: ``0.24.0`` in ``vllm/vllm-openai:v0.24.0``, else ""."""
    name = image.partition("@")[0].rpartition("/")[2]
    tag = name.partition(":")[2].removeprefix("v")
    return tag if tag[:1].isdecimal() else ""
