"""GPUs with slices of every kind on them, and devices that could be asked of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st

from builders import a_board_gpu, with_slices
from gpuslice.model.gpu import Gpu, Slice, SlicePart
from gpuslice.planner.partition.wish import Device

BOARDS = ("h100-80gb", "a100-40gb", "a30", "rtx-pro-6000")


@st.composite
def gpus_with_slices(draw: st.DrawFn) -> Gpu:
    """A GPU of some board with MIG on, and a legal layout of whole, shared and half-made slices."""
    gpu = a_board_gpu(draw(st.sampled_from(BOARDS)))
    assert gpu.geometry is not None
    places = [(p.name, at.start) for p in gpu.geometry.profiles for at in p.placements]
    for name, start in draw(st.lists(st.sampled_from(places), max_size=8)):
        profile = gpu.geometry.named(name)
        assert profile is not None
        at = next(p for p in profile.placements if p.start == start)
        if gpu.geometry.allows(gpu.occupied, name, at):
            gpu = with_slices(gpu, (name, start))
    return replace(gpu, slices=tuple(draw(_dressed(gpu, slice_)) for slice_ in gpu.slices))


@st.composite
def devices(draw: st.DrawFn, gpu: Gpu) -> Counter[Device]:
    """A few devices of profiles that a GPU has; whether it holds them side by side is open."""
    assert gpu.geometry is not None
    wanted = [
        Device(p.name, size) for p in gpu.geometry.profiles for size in range(p.compute_slices)
    ]
    return Counter(draw(st.lists(st.sampled_from(wanted), max_size=5)))


@st.composite
def _dressed(draw: st.DrawFn, gpu: Gpu, slice_: Slice) -> Slice:
    """The slice as it is, half made, or with several compute instances."""
    assert gpu.geometry is not None
    profile = gpu.geometry.named(slice_.profile)
    assert profile is not None
    key = slice_.placement.start + 1
    slice_ = replace(slice_, gpu_instance_id=key, uuid=f"MIG-{key}")
    kind = draw(st.sampled_from(["whole", "whole", "half made", "parts"]))
    if kind == "half made":
        return replace(slice_, compute_instance_id=None, uuid=None)
    sizes: list[int] = []
    if kind == "parts" and profile.compute_slices > 1:
        for size in draw(st.lists(st.integers(1, profile.compute_slices - 1), min_size=1)):
            if sum(sizes) + size <= profile.compute_slices:
                sizes.append(size)
    parts = tuple(
        SlicePart(compute_instance_id=n, compute_slices=size, start=sum(sizes[:n]))
        for n, size in enumerate(sizes)
    )
    return replace(slice_, parts=parts)
