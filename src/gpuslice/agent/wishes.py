"""From a mig-parted file to wishes for the GPUs at hand.

Separate from the file, which knows no GPU, and from the planner, which knows no file. Names are
looked up for each GPU anew, since one name is another id, or nothing, on another product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpuslice.errors import (
    GpusliceError,
    MigUnsupportedError,
    PlanningError,
    UnknownProfileError,
)
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.planner.partition.names import device_named
from gpuslice.planner.partition.wish import Device, GpuWish
from gpuslice.stack.mig_parted import MigConfig, MigEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a layout file says of the GPUs at hand.

    Attributes:
        wishes: One for each GPU that an entry matches and that can be what it says, by index.
        notes: What a person should know: GPUs that are passed over, entries about no GPU here.
    """

    wishes: tuple[GpuWish, ...]
    notes: tuple[str, ...]


def wishes_of(config: MigConfig, observed: Observed) -> Wishes:
    """Say what each GPU is to look like; the last entry that matches it counts.

    A GPU without MIG that only ``devices: all`` would have sliced is passed over and told, the
    same for applying and for asserting; one that is named by its index is an error.

    Raises:
        PlanningError: A GPU that is named has no MIG, or has no such profile; says on which line.
    """
    wishes: list[GpuWish] = []
    notes = list(_absent(config, observed))
    refused: list[GpusliceError] = []
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        number = _last_match(config, gpu)
        if number is None:
            continue
        entry, where = config.entries[number], f"{config.file}:{config.lines[number]}"
        if gpu.mig is None and entry.mig_enabled and entry.devices == "all":
            notes.append(f"GPU {gpu.index} ({gpu.name}) has no MIG and is passed over ({where}).")
            continue
        try:
            wishes.append(_wish(entry, gpu))
        except (UnknownProfileError, MigUnsupportedError) as error:
            refused.append(_located(error, where))
    if refused:
        raise _all_of(refused, config)
    return Wishes(wishes=tuple(wishes), notes=tuple(notes))


def _last_match(config: MigConfig, gpu: Gpu) -> int | None:
    matching = [
        number
        for number, entry in enumerate(config.entries)
        if entry.matches(gpu.index, gpu.pci_device_id, gpu.pci_subsystem_id)
    ]
    return matching[-1] if matching else None


def _wish(entry: MigEntry, gpu: Gpu) -> GpuWish:
    if entry.mig_enabled and gpu.mig is None:
        raise MigUnsupportedError(
            f"GPU {gpu.index} ({gpu.name}) has no MIG, and mig-enabled is true for it.",
            hint="Leave that GPU out.",
        )
    devices = [
        device
        for name, count in entry.mig_devices.items()
        if count
        for device in [device_named(name, gpu)] * count
    ]
    return GpuWish(gpu_uuid=gpu.uuid, mig_on=entry.mig_enabled, devices=_sorted(devices))


def _sorted(devices: list[Device]) -> tuple[Device, ...]:
    return tuple(sorted(devices))


def _absent(config: MigConfig, observed: Observed) -> Iterator[str]:
    """Tell of indexes that no GPU here has: nothing is wrong with the others."""
    there = {gpu.index for gpu in observed.gpus}
    for entry, line in zip(config.entries, config.lines, strict=True):
        if entry.devices != "all" and (gone := sorted(set(entry.devices) - there)):
            listed = ", ".join(map(str, gone))
            yield f"There is no GPU {listed} here ({config.file}:{line})."


def _located(error: GpusliceError, where: str) -> GpusliceError:
    """Say on which line it is asked for."""
    return type(error)(f"{where}: {error.message}", hint=error.hint, details=error.details)


def _all_of(refused: list[GpusliceError], config: MigConfig) -> GpusliceError:
    if len(refused) == 1:
        return refused[0]
    return PlanningError(
        f"{config.file}#{config.label} cannot be applied to {len(refused)} GPUs.",
        hint="Correct those lines, or filter by device.",
        details=tuple(f"{error.message} {error.hint}".strip() for error in refused),
    )
