"""A name for one state of a machine, so that a plan is carried out only on what it was made from.

Separate because applying a plan needs it without any planning.

GPUs of a fleet share their geometries, so each geometry is described once; what is left to do for
a GPU is a line of text. 100,000 GPUs take about a second.
"""

from __future__ import annotations

import hashlib

from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Observed


def fingerprint(observed: Observed) -> str:
    """Hash what a plan depends on: GPUs, their mode, geometry and slices; not memory in use.

    Args:
        observed: The machine.

    Returns:
        16 hexadecimal digits, the same in every process and for every order of GPUs and slices.
    """
    # By identity: hashing a geometry by value for every GPU would cost more than all the rest.
    geometries = {id(gpu.geometry): gpu.geometry for gpu in observed.gpus}
    offers = {key: _digest(geometry) for key, geometry in geometries.items()}
    digest = hashlib.sha256()
    for line in sorted(_describe(gpu, offers[id(gpu.geometry)]) for gpu in observed.gpus):
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _describe(gpu: Gpu, offers: str) -> str:
    """Reduce a GPU to one line; `ascii` keeps its parts apart whatever characters names have."""
    mode = None if gpu.mig is None else (gpu.mig.current, gpu.mig.pending)
    slices = sorted(
        (
            slice_.gpu_instance_id,
            slice_.profile,
            slice_.placement.start,
            slice_.placement.size,
            # None does not sort beside numbers, and NVML counts from 0.
            -1 if slice_.compute_instance_id is None else slice_.compute_instance_id,
            # Only where there are several: without, the name is what it was before there were any.
            *((part.start, part.compute_slices) for part in slice_.parts),
        )
        for slice_ in gpu.slices
    )
    return ascii((gpu.uuid, gpu.name, mode, offers, slices)) + "\n"


def _digest(geometry: Geometry | None) -> str:
    """Hash what a geometry offers, as far as plans depend on it."""
    profiles = () if geometry is None else geometry.profiles
    offers = [
        (
            profile.name,
            profile.id,
            profile.compute_slices,
            profile.memory_mib,
            profile.max_instances,
            [(at.start, at.size) for at in profile.placements],
        )
        for profile in profiles
    ]
    return hashlib.sha256(ascii(offers).encode()).hexdigest()
