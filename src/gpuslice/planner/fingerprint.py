"""A name for one state of a machine, so that a plan is carried out only on what it was made from.

Separate because applying a plan needs it without any planning.
"""

from __future__ import annotations

import hashlib
import json

from gpuslice.model.gpu import Gpu, Observed, Slice


def fingerprint(observed: Observed) -> str:
    """Hash what a plan depends on: GPUs, their mode, geometry and slices; not memory in use.

    Args:
        observed: The machine.

    Returns:
        16 hexadecimal digits, the same in every process and for every order of GPUs and slices.
    """
    state = sorted((_describe(gpu) for gpu in observed.gpus), key=json.dumps)
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def _describe(gpu: Gpu) -> list[object]:
    """Reduce a GPU to lists of plain values."""
    mode = None if gpu.mig is None else [gpu.mig.current, gpu.mig.pending]
    profiles = [] if gpu.geometry is None else gpu.geometry.profiles
    offers = [
        [p.name, p.id, p.memory_mib, p.max_instances, [str(a) for a in p.placements]]
        for p in profiles
    ]
    return [gpu.uuid, gpu.name, mode, offers, sorted(_describe_slice(s) for s in gpu.slices)]


def _describe_slice(slice_: Slice) -> list[str]:
    """Reduce a slice to what identifies it, and whether it is whole."""
    return [
        str(slice_.gpu_instance_id),
        slice_.profile,
        str(slice_.placement),
        str(slice_.compute_instance_id),
    ]
