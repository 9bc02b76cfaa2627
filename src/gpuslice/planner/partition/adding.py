"""Single slices more or less: what ``slices create`` and ``slices destroy`` ask for.

Separate from the planning of wishes, because here everything else stays as it is: a slice that
comes has to find room beside all that lie there, and none makes way for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from gpuslice.errors import (
    GpusliceError,
    MigUnsupportedError,
    NoRoomError,
    UnknownProfileError,
)
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Observed, SliceKey
from gpuslice.model.plan import Plan
from gpuslice.planner.partition.names import device_named
from gpuslice.planner.partition.parts import held_alone, instances_for
from gpuslice.planner.partition.placing import Lying, Placed, place_all
from gpuslice.planner.partition.plan import assemble
from gpuslice.planner.partition.settling import Settled, settled
from gpuslice.planner.partition.wish import Claims, Device, mode_is


def plan_creation(
    observed: Observed,
    gpus: Sequence[Gpu],
    name: str,
    claims: Claims,
    *,
    count: int = 1,
    start: int | None = None,
) -> Plan:
    """Place some more devices of one kind; nothing that is there goes.

    GPUs are filled one after the other, those on which MIG is on first.

    Args:
        observed: The machine.
        gpus: The GPUs that may take them, in the order in which they are asked.
        name: Such as ``3g.40gb`` or ``1c.3g.40gb``; looked up on each GPU.
        claims: Whose slices those are that are there.
        count: How many.
        start: First memory slice of the one slice that is made, or None for wherever most room is
            left.

    Raises:
        NoRoomError: They do not fit; says how many would.
        UnknownProfileError: No GPU has that profile.
        MigUnsupportedError: No GPU has MIG.
    """
    found: dict[str, tuple[Settled, bool]] = {}
    devices = _devices(gpus, name)
    left = count
    for gpu in sorted(gpus, key=lambda gpu: not mode_is(gpu, on=True)):
        if left and gpu.uuid in devices:
            placed, taken = _fill(gpu, devices[gpu.uuid], left, start)
            if taken:
                found[gpu.uuid] = settled(gpu, gpu.slices, placed), True
                left -= taken
    if left:
        raise _no_room(gpus, name, count, count - left, start)
    return assemble(observed, found, claims)


def plan_removal(observed: Observed, going: Collection[SliceKey], claims: Claims) -> Plan:
    """Let some slices go, and leave everything else, MIG mode too, as it is.

    Args:
        observed: The machine.
        going: The slices; each of them is there.
        claims: Whose slices those are that are there.
    """
    found: dict[str, tuple[Settled, bool]] = {}
    for gpu in observed.gpus:
        kept = [slice_ for slice_ in gpu.slices if slice_.key not in going]
        if len(kept) < len(gpu.slices):
            found[gpu.uuid] = settled(gpu, kept, ()), True
    return assemble(observed, found, claims)


def _devices(gpus: Sequence[Gpu], name: str) -> dict[str, Device]:
    """Look a name up on every GPU; those that have nothing of it are left out.

    Raises:
        UnknownProfileError: None of them has it.
        MigUnsupportedError: None of them has MIG.
    """
    found: dict[str, Device] = {}
    refused: list[GpusliceError] = []
    for gpu in gpus:
        try:
            found[gpu.uuid] = device_named(name, gpu)
        except (UnknownProfileError, MigUnsupportedError) as error:
            refused.append(error)
    if not found and refused:
        raise refused[0]
    return found


def _fill(gpu: Gpu, device: Device, wanted: int, start: int | None) -> tuple[Placed, int]:
    """Place as many devices beside those on a GPU as fit; what comes, and how many they are."""
    assert gpu.geometry is not None, "the name was looked up on it"
    _check_start(gpu, device, start)
    lying: Lying = gpu.occupied
    geometry = gpu.geometry if start is None else _only_at(gpu.geometry, device, start)
    for count in range(min(wanted, held_alone(device, gpu.geometry)), 0, -1):
        instances = instances_for(Counter({device: count}), geometry)
        if (placed := place_all(geometry, lying, instances)) is not None:
            return placed[0], count
    return (), 0


def _check_start(gpu: Gpu, device: Device, start: int | None) -> None:
    """Refuse a place at which no slice of that profile can begin, whatever lies there."""
    profile = gpu.geometry.named(device.profile) if gpu.geometry else None
    starts = [at.start for at in profile.placements] if profile else []
    if start is not None and start not in starts:
        raise NoRoomError(
            f"GPU {gpu.index}: {device.profile} cannot begin at memory slice {start}.",
            hint=f"It begins at {', '.join(map(str, starts))}.",
        )


def _only_at(geometry: Geometry, device: Device, start: int) -> Geometry:
    """The geometry with one placement left of the profile that is asked for."""
    profiles = tuple(
        replace(p, placements=tuple(at for at in p.placements if at.start == start))
        if p.name == device.profile
        else p
        for p in geometry.profiles
    )
    return replace(geometry, profiles=profiles)


def _no_room(
    gpus: Sequence[Gpu], name: str, count: int, fitting: int, start: int | None
) -> NoRoomError:
    where = "GPU " + ", ".join(str(gpu.index) for gpu in gpus)
    at = "" if start is None else f" at {start}"
    lying = [f"GPU {g.index}: {s.profile} at {s.placement}" for g in gpus for s in g.slices]
    return NoRoomError(
        f"{where}: there is no room for {count} × {name}{at} beside what lies there; "
        f"{fitting} would fit.",
        hint="`gpuslice slices list` shows what lies where, `gpuslice profiles` what is free.",
        details=tuple(lying),
    )
