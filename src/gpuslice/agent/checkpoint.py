"""The state of a machine on file: as a mig-parted layout, or exactly, with every placement.

Two files for two wants. A **layout** (mig-parted's format) counts devices for each GPU by its
index, and any GPU of the product can be made so. A **checkpoint** is this machine's: it names GPUs
by UUID and slices by placement, and `restore` ends with exactly that. Coming back from disk it may
be old, damaged or edited, so nothing in it is believed: it is checked when it is read, and what it
asks for is planned and checked like any other wish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from gpuslice.agent.partition import Partition
from gpuslice.agent.versioned_file import VersionedFile
from gpuslice.errors import CheckpointError
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice
from gpuslice.planner.partition.wish import GpuWish, PlacedSlice, devices_on
from gpuslice.stack.mig_parted_write import WrittenEntry, mig_config_text

VERSION = 1
"""Raised when a file of an earlier gpuslice would be misread."""

MAX_BYTES = 4 * 1024 * 1024

_ANEW = "Make one anew: gpuslice slices checkpoint FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedGpu:
    """One GPU as it was.

    Attributes:
        uuid: ``GPU-…``, by which it is found again.
        index: NVML index it had, for messages.
        name: Product name, for messages.
        mig_on: Whether MIG mode was on.
        slices: Its slices, by placement; half-made ones are left out.
    """

    uuid: str
    index: int
    name: str
    mig_on: bool
    slices: tuple[PlacedSlice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A machine as it was.

    Attributes:
        gpus: Its GPUs, by index.
        simulated: True where they were simulated.
    """

    gpus: tuple[SavedGpu, ...]
    simulated: bool = False


def checkpoint_of(observed: Observed, gpus: Sequence[Gpu] | None = None) -> Checkpoint:
    """Take down how GPUs are; all of the machine where none are named."""
    chosen = observed.gpus if gpus is None else gpus
    return Checkpoint(
        gpus=tuple(_saved(gpu) for gpu in sorted(chosen, key=lambda gpu: gpu.index)),
        simulated=observed.simulated,
    )


def checkpoint_after(partition: Partition) -> Checkpoint:
    """Take down how GPUs will be once a plan has been carried out."""
    return Checkpoint(
        gpus=tuple(_planned(partition.observed, plan) for plan in partition.plan.gpus),
        simulated=partition.observed.simulated,
    )


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Write a checkpoint as the text of a file."""
    return _file().text(checkpoint)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint from a file.

    Raises:
        CheckpointError: There is none, it is damaged, or another version of gpuslice wrote it.
    """
    checkpoint = _file().read(path)
    if problems := tuple(_problems(checkpoint)):
        raise CheckpointError(f"{path} contradicts itself.", hint=_ANEW, details=problems)
    return checkpoint


def check_present(checkpoint: Checkpoint, observed: Observed, path: Path) -> None:
    """Refuse a checkpoint of which a GPU is not in this machine.

    Raises:
        CheckpointError: Names each that is missing.
    """
    missing = missing_gpus(checkpoint, observed)
    if missing:
        raise CheckpointError(
            f"{len(missing)} of the {len(checkpoint.gpus)} GPUs of {path} are not in this machine.",
            hint="Restore the others with --skip-missing, or take the layout alone: "
            "gpuslice slices apply FILE",
            details=tuple(f"{gpu.uuid} ({gpu.name}, was GPU {gpu.index})" for gpu in missing),
        )


def missing_gpus(checkpoint: Checkpoint, observed: Observed) -> tuple[SavedGpu, ...]:
    """List the GPUs of a checkpoint that are not in this machine."""
    there = {gpu.uuid for gpu in observed.gpus}
    return tuple(gpu for gpu in checkpoint.gpus if gpu.uuid not in there)


def wishes_for(checkpoint: Checkpoint, observed: Observed) -> tuple[GpuWish, ...]:
    """Say what GPUs are to look like: as they were; those that are missing are left out."""
    there = {gpu.uuid for gpu in observed.gpus}
    return tuple(
        GpuWish(gpu_uuid=gpu.uuid, mig_on=gpu.mig_on, placed=gpu.slices)
        for gpu in checkpoint.gpus
        if gpu.uuid in there
    )


def layout_text(observed: Observed, label: str) -> str:
    """Write a machine's layout as a mig-parted file; GPUs that look alike share an entry."""
    entries: dict[tuple[bool, tuple[tuple[str, int], ...]], list[int]] = {}
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        found = sorted(devices_on(gpu).items())
        devices = tuple((str(device), count) for device, count in found)
        entries.setdefault((_mig_on(gpu), devices), []).append(gpu.index)
    written = [
        WrittenEntry(devices=tuple(indexes), mig_enabled=mig_on, mig_devices=dict(devices))
        for (mig_on, devices), indexes in entries.items()
    ]
    products = ", ".join(dict.fromkeys(gpu.name for gpu in observed.gpus))
    what = "simulated GPUs" if observed.simulated else "GPUs"
    return mig_config_text(label, written, comment=f"{what}: {products}")


def half_made(observed: Observed) -> tuple[str, ...]:
    """Tell of slices without a compute instance: no file of a state can have them."""
    return tuple(
        f"GPU {gpu.index}: {s.profile} at {s.placement} has no compute instance and is left out."
        for gpu in observed.gpus
        for s in gpu.slices
        if s.compute_instance_id is None
    )


def _saved(gpu: Gpu) -> SavedGpu:
    whole = [s for s in gpu.slices if s.compute_instance_id is not None]
    return SavedGpu(
        uuid=gpu.uuid,
        index=gpu.index,
        name=gpu.name,
        mig_on=_mig_on(gpu),
        slices=tuple(_placed(s) for s in sorted(whole, key=lambda s: s.placement)),
    )


def _planned(observed: Observed, plan: GpuPlan) -> SavedGpu:
    gpu = observed.gpu(plan.gpu_uuid)
    final: tuple[Slice | PlannedSlice, ...] = (*plan.keep, *plan.foreign, *plan.create)
    ends = [_placed(slice_) for slice_ in final]
    mig_on = (_mig_on(gpu) or plan.enable_mig) and not plan.disable_mig
    slices = tuple(sorted(ends, key=lambda s: s.placement))
    return SavedGpu(uuid=gpu.uuid, index=gpu.index, name=gpu.name, mig_on=mig_on, slices=slices)


def _placed(slice_: Slice | PlannedSlice) -> PlacedSlice:
    parts = tuple(p if isinstance(p, int) else p.compute_slices for p in slice_.parts)
    return PlacedSlice(profile=slice_.profile, placement=slice_.placement, parts=parts)


def _mig_on(gpu: Gpu) -> bool:
    return gpu.mig is not None and gpu.mig.current


def _problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find what no machine can be; what its GPUs allow is the planner's question."""
    for uuid, count in Counter(gpu.uuid for gpu in checkpoint.gpus).items():
        if count > 1:
            yield f"{uuid} stands in it {count} times"
    for gpu in checkpoint.gpus:
        if gpu.slices and not gpu.mig_on:
            yield f"{gpu.uuid} has slices while its MIG mode is off"
        if any(_impossible(one.placement) or min(one.parts, default=1) < 1 for one in gpu.slices):
            yield f"{gpu.uuid} has a slice that no GPU can have"


def _impossible(placement: Placement) -> bool:
    return placement.start < 0 or placement.size < 1


@cache
def _file() -> VersionedFile[Checkpoint]:
    return VersionedFile(
        kind="checkpoint",
        key="gpuslice_checkpoint",
        version=VERSION,
        adapter=cache(lambda: TypeAdapter(Checkpoint)),
        error=CheckpointError,
        anew=_ANEW,
        most_bytes=MAX_BYTES,
    )
