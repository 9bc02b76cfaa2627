"""Which share of a device's memory an engine may manage itself.

vLLM and SGLang are told a fraction of what CUDA reports as the device's total. On a MIG slice that
total is the slice's own memory, never the board's. Where CUDA MPS limits a client, the total does
not show the limit, so the fraction is worked out from both.

What an engine does not count in its fraction has to fit beside it: the CUDA context, NCCL's
buffers, captured graphs. With vLLM 0.20.0 on an H200 that was 0.16 to 0.61 GiB, whatever the size
of the model; so the fraction leaves at least that much, and three hundredths of large devices for
fragments.

Source: vLLM, ``gpu_memory_utilization``; NVIDIA MPS documentation, "Memory limit"; measurements in
docs/engines.md.
"""

from __future__ import annotations

import math
from fractions import Fraction

from gpuslice.engines.api import ServeRequest
from gpuslice.errors import StackError

LARGEST_SHARE = Fraction(97, 100)
_STEPS = 10_000


def managed_share(
    request: ServeRequest, *, beside_mib: int, largest: Fraction = LARGEST_SHARE
) -> str:
    """Say which fraction of the device's total memory an engine may manage.

    Args:
        request: For the device's memory and the limit on it.
        beside_mib: What the engine usually needs outside its fraction, MiB; the request may say
            that its model needs more.
        largest: The largest fraction of a device.

    Returns:
        The fraction as text with four digits, rounded down.

    Raises:
        StackError: Nothing is left beside what every server needs.
    """
    total, allowed = request.slice_memory_mib, request.allowed_mib
    beside_mib = max(beside_mib, request.beside_mib)
    managed = min(Fraction(allowed - beside_mib), largest * allowed)
    if managed <= 0:
        raise StackError(
            f"models.{request.replica.model}: {allowed:,} MiB are too little for any model: its "
            f"server needs {beside_mib:,} MiB for itself",
            hint="ask for a larger slice",
        )
    return f"{math.floor(_STEPS * managed / total) / _STEPS:.4f}"
