"""The variables that bind a process to its slice.

Separate because every engine binds in the same way, and because what the simulator and the
container toolkit look for has to be written in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpuslice.engines.api import ServeRequest
from gpuslice.errors import StackError
from gpuslice.model.server import HandIn

CUDA_DEVICES = "CUDA_VISIBLE_DEVICES"
NVIDIA_DEVICES = "NVIDIA_VISIBLE_DEVICES"

_BY_CDI_ALONE = "void"  # what the toolkit's own CDI specifications set


def bind_environment(
    request: ServeRequest, defaults: Iterable[tuple[str, str]] = ()
) -> tuple[tuple[str, str], ...]:
    """Build the variables of a server: engine defaults, then the user's, then the binding.

    For a process ``CUDA_VISIBLE_DEVICES`` takes the full MIG UUID: an index would count every
    device of the machine. In a container it must not be set: the container toolkit shows one
    device, which ``NVIDIA_VISIBLE_DEVICES`` names, and inside it has number 0 whatever its UUID
    (several engines convert the entries of ``CUDA_VISIBLE_DEVICES`` to numbers). Where CDI hands it
    in, that variable says so, or a runtime of NVIDIA's would hand it in a second time. Nobody may
    replace the binding, or two models would share a slice without a word.

    Args:
        request: What is to be served, and on which slice.
        defaults: What the engine sets unless the user sets it.

    Returns:
        Sorted by name, so that equal requests give equal launches.
    """
    merged = dict(defaults) | dict(request.environment)
    merged |= {CUDA_DEVICES: request.slice_uuid, NVIDIA_DEVICES: request.slice_uuid}
    if request.in_container:
        del merged[CUDA_DEVICES]
        if request.surroundings.hand_in is HandIn.CDI:
            merged[NVIDIA_DEVICES] = _BY_CDI_ALONE
    return tuple(sorted(merged.items()))


def refuse_variables(request: ServeRequest, reserved: Mapping[str, str]) -> None:
    """Refuse variables of the user's that would part a server from its gateway.

    Args:
        request: Whose variables they are.
        reserved: Each refused variable and why, in words.

    Raises:
        StackError: One of them is there; ``details`` has one line for each.
    """
    found = sorted(name for name, _ in request.environment if name in reserved)
    if found:
        raise StackError(
            f"models.{request.replica.model}.environment: {', '.join(found)} cannot be set here",
            hint="remove it from environment",
            details=tuple(f"{name}: {reserved[name]}" for name in found),
        )
