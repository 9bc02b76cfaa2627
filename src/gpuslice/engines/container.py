"""The container around a server: image, mounts, user, limits. Pure, and the same for every engine.

Separate from the engines, which say what is run, and from the runtime, which runs it: what a
container may see and do is decided here, so that it can be shown, hashed and tested as values.

- **What it sees.** The folders of its model, read-only, at the paths they have on the machine, so
  that a command line reads the same in and out of a container. Models of the hub come through the
  machine's own cache, which is writable, because the server downloads into it.
- **Who it is.** The user its image is prepared for, unless only another one can read the model or
  write the cache. One whom the image does not know is given a home in memory and a name, because
  PyTorch asks for both (vllm #31959).
- **What it may do.** Nothing beyond a plain process: the runtime drops every capability. Where the
  image allows, nothing but its home and ``/tmp`` is writable.
- **What it is told.** A token for the hub is a file (``HF_TOKEN_PATH``), never a variable, which
  ``docker inspect`` would show.

Source: huggingface_hub, "Environment variables"; docs.vllm.ai, "Using Docker".
"""

from __future__ import annotations

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.images import Allowance, allowance_of, image_of
from gpuslice.errors import StackError
from gpuslice.model.server import Container, Mount, Secret

CACHE = "/var/cache/huggingface"
HOME = "/tmp/home"  # noqa: S108 - a folder of the container's own, in memory
TOKEN = Secret(name="hf-token", target="/run/secrets/hf-token")

_SHM_MIB = {"vllm": 8192, "sglang": 8192}  # PyTorch's workers share tensors there


def container_of(
    engine: str, request: ServeRequest, *, own_entrypoint: bool = False
) -> tuple[Container, tuple[tuple[str, str], ...]]:
    """Describe the container of a server, and the variables that belong to it.

    Args:
        engine: Name of the engine.
        request: What is served where.
        own_entrypoint: True when the image's own entry point is to be run.

    Returns:
        The container, and variables for its environment.

    Raises:
        StackError: There is no image to run.
    """
    around = request.surroundings
    image = image_of(engine, around.image)
    if not image:
        raise StackError(
            f"models.{request.replica.model}: `engine: {engine}` needs an image in a container",
            hint="name one with `image:`, or say `runtime: process`",
        )
    allowed = allowance_of(engine, image)
    container = Container(
        image=image,
        own_entrypoint=own_entrypoint,
        mounts=_mounts(request),
        secrets=(TOKEN,) if around.token and _on_hub(request) else (),
        user=around.user or allowed.user,
        read_only=allowed.read_only,
        writable=("/tmp",) if allowed.read_only else (),  # noqa: S108 - the container's own
        shm_mib=_SHM_MIB.get(engine, 64),
        memory_mib=around.memory_mib,
        network=around.network,
        hand_in=around.hand_in,
        labels=around.labels,
    )
    return container, _variables(allowed, container)


def _mounts(request: ServeRequest) -> tuple[Mount, ...]:
    around = request.surroundings
    folders = tuple(Mount(source=path, target=path) for path in around.folders)
    if not (around.cache and _on_hub(request)):
        return folders
    cache = Mount(source=around.cache, target=CACHE, read_only=False)
    hub = Mount(source=around.hub, target=f"{CACHE}/hub", read_only=False)
    return (*folders, cache, *((hub,) if around.hub else ()))


def _variables(allowed: Allowance, container: Container) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    if any(mount.target == CACHE for mount in container.mounts):
        found["HF_HOME"] = CACHE
    if container.secrets:
        found["HF_TOKEN_PATH"] = TOKEN.target
    if container.user not in ("", allowed.user) and not container.user.startswith("0:"):
        found |= {"HOME": HOME, "USER": "gpuslice", "XDG_CACHE_HOME": f"{HOME}/.cache"}
    return tuple(found.items())


def _on_hub(request: ServeRequest) -> bool:
    """Tell whether a model comes from the hub; everything local has an absolute path."""
    return bool(request.source) and not request.source.startswith("/")
