"""The variables that bind a process to its slice.

Separate because every engine binds in the same way, and because what the simulator and the
container toolkit look for has to be written in one place.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpuslice.engines.api import ServeRequest

CUDA_DEVICES = "CUDA_VISIBLE_DEVICES"
NVIDIA_DEVICES = "NVIDIA_VISIBLE_DEVICES"


def bind_environment(
    request: ServeRequest, defaults: Iterable[tuple[str, str]] = ()
) -> tuple[tuple[str, str], ...]:
    """Build the variables of a server: engine defaults, then the user's, then the binding.

    ``CUDA_VISIBLE_DEVICES`` takes the full MIG UUID: an index would count every device of the
    machine. ``NVIDIA_VISIBLE_DEVICES`` says the same to container tooling. Nobody may replace
    either, or two models would share a slice without a word.

    Args:
        request: What is to be served, and on which slice.
        defaults: What the engine sets unless the user sets it.

    Returns:
        Sorted by name, so that equal requests give equal launches.
    """
    binding = {CUDA_DEVICES: request.slice_uuid, NVIDIA_DEVICES: request.slice_uuid}
    merged = dict(defaults) | dict(request.environment) | binding
    return tuple(sorted(merged.items()))
