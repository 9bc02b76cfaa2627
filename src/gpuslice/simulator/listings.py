"""A simulated machine as ``nvidia-smi`` lists one: ``-L`` and the tables of ``nvidia-smi mig``.

Pure: a machine comes in, text goes out. Kept to the letter, so that people recognise what they know
and scripts written for ``nvidia-smi`` can be tried.

Layouts follow the driver. Up to about R570 the table of profiles is 79 columns wide; later drivers
give a name two columns more. That is recorded for ``-lgip``; for ``-lgi`` the wider width is
recorded (59) and its columns are taken to widen in the same place. ``-lci`` and ``-lcip`` were seen
in one width only.

Sources: recorded outputs of A100, H20 and, for all five with MIG off, H100 80GB HBM3 (580.159.04).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from gpuslice.model.geometry import Placement, Profile
from gpuslice.simulator.compute_profiles import (
    compute_geometry,
    compute_profile_name,
    device_profile_name,
)
from gpuslice.simulator.layout import device_uuid, occupied_in
from gpuslice.simulator.state import GpuInstance, MachineState, SimulatedGpu

NOTHING_ENABLED = "No MIG-enabled devices found."


class Listing(StrEnum):
    """What ``nvidia-smi`` can list, by its own option."""

    DEVICES = "L"
    GPU_INSTANCE_PROFILES = "lgip"
    PLACEMENTS = "lgipp"
    GPU_INSTANCES = "lgi"
    COMPUTE_INSTANCES = "lci"
    COMPUTE_INSTANCE_PROFILES = "lcip"


def listing(state: MachineState, what: Listing, *, narrow: bool = False) -> str:
    """List a machine as ``nvidia-smi`` does.

    Args:
        state: The machine.
        what: Which listing.
        narrow: As drivers up to about R570 do.

    Returns:
        Lines, without a newline at the end.
    """
    lines = _LISTINGS[what](state, "" if narrow else "  ")
    return "\n".join(lines)


def _devices(state: MachineState, _: str) -> Iterator[str]:
    for index, gpu in enumerate(state.gpus):
        yield f"GPU {index}: {gpu.board.names[0]} (UUID: {gpu.uuid})"
        devices = [(gi, ci) for gi in gpu.instances for ci in gi.compute_instances]
        for number, (gi, ci) in enumerate(devices):
            compute = compute_geometry(gpu.board_key, gi.profile_id).with_id(ci.profile_id)
            assert compute is not None
            name = device_profile_name(_profile(gpu, gi), compute)
            uuid = device_uuid(gpu, gi, ci)
            yield f"  MIG {name:<12}Device {number:2}: (UUID: {uuid})"


def _gpu_instance_profiles(state: MachineState, wide: str) -> Iterator[str]:
    rows = [
        _gpu_instance_profile(index, gpu, profile, wide)
        for index, gpu in _with_mig(state)
        for profile in _in_order(gpu)
    ]
    head = (
        f"| GPU instance profiles:{'':54}{wide}|",
        f"| GPU   Name             {wide}ID    Instances   Memory     P2P    SM    DEC   ENC  |",
        f"|                              {wide}Free/Total   GiB              CE    JPEG  OFA  |",
    )
    yield from _boxed(head, rows)


def _gpu_instance_profile(
    index: int, gpu: SimulatedGpu, profile: Profile, wide: str
) -> tuple[str, ...]:
    free = gpu.board.geometry.free(gpu.occupied, profile)
    share = f"{free}/{profile.max_instances}"
    gib = f"{profile.memory_mib / 1024:.2f}"
    name = f"{index:4}  MIG {profile.name:<{13 + len(wide)}}{profile.id:3}"
    upper = f"{profile.sm_count:<7}{profile.decoders:<6}{profile.encoders:<4}"
    lower = f"{profile.copy_engines:<6}{profile.jpeg_engines:<6}{profile.ofa_engines:<4}"
    return f"|{name}     {share:<11}{gib:<11}No     {upper}|", f"|{'':61}{wide}{lower}|"


def _placements(state: MachineState, _: str) -> Iterator[str]:
    for index, gpu in _with_mig(state):
        for profile in _in_order(gpu):
            starts = ",".join(str(at.start) for at in profile.placements)
            noun = "Placement " if len(profile.placements) == 1 else "Placements"
            size = profile.memory_slices
            yield f"GPU {index:2} Profile ID {profile.id:2} {noun}: {{{starts}}}:{size}"


def _gpu_instances(state: MachineState, wide: str) -> Iterator[str]:
    enabled = _enabled(state)
    rows = [
        (_gpu_instance(index, _profile(gpu, gi).name, gi, wide),)
        for index, gpu in enabled
        for gi in _instances_in_order(gpu)
    ]
    head = (
        f"| GPU instances:                                        {wide}|",
        f"| GPU   Name             {wide}Profile  Instance   Placement  |",
        f"|                        {wide}  ID       ID       Start:Size |",
    )
    yield from _boxed_or_nothing(head, rows, enabled, "No GPU instances found: Not Found")


def _gpu_instance(index: int, profile: str, gi: GpuInstance, wide: str) -> str:
    name = f"{index:4}  MIG {profile:<{13 + len(wide)}}"
    return f"|{name}{gi.profile_id:5}{gi.id:9}{_start_and_size(gi.placement)}|"


def _compute_instances(state: MachineState, _: str) -> Iterator[str]:
    enabled = _enabled(state)
    rows = [
        row
        for index, gpu in enabled
        for gi in _instances_in_order(gpu)
        for row in _compute_instances_of(index, gpu, gi)
    ]
    head = (
        "| Compute instances:                                                 |",
        "| GPU     GPU       Name             Profile   Instance   Placement  |",
        "|       Instance                       ID        ID       Start:Size |",
        "|         ID                                                         |",
    )
    yield from _boxed_or_nothing(head, rows, enabled, "No compute instances found: Not Found")


def _compute_instances_of(
    index: int, gpu: SimulatedGpu, gi: GpuInstance
) -> Iterator[tuple[str, ...]]:
    geometry = compute_geometry(gpu.board_key, gi.profile_id)
    for ci in sorted(gi.compute_instances, key=lambda ci: (ci.profile_id, ci.id)):
        compute = geometry.with_id(ci.profile_id)
        assert compute is not None
        name = compute_profile_name(_profile(gpu, gi), compute)
        ids = f"{ci.profile_id:3}{ci.id:10}"
        yield (f"|{index:4}{gi.id:7}       MIG {name:<15}{ids}{_start_and_size(ci.placement)}|",)


def _compute_instance_profiles(state: MachineState, _: str) -> Iterator[str]:
    enabled = _enabled(state)
    rows = [
        row
        for index, gpu in enabled
        for gi in _instances_in_order(gpu)
        for row in _compute_instance_profiles_of(index, gpu, gi)
    ]
    head = (
        "| Compute instance profiles:                                                           |",
        "| GPU     GPU       Name             Profile  Instances   Exclusive       Shared       |",
        "|       Instance                       ID     Free/Total     SM       DEC   ENC   OFA  |",
        "|         ID                                                          CE    JPEG       |",
    )
    yield from _boxed_or_nothing(head, rows, enabled, "No GPU instances found: Not Found")


def _compute_instance_profiles_of(
    index: int, gpu: SimulatedGpu, gi: GpuInstance
) -> Iterator[tuple[str, ...]]:
    geometry = compute_geometry(gpu.board_key, gi.profile_id)
    profile = _profile(gpu, gi)
    occupied = occupied_in(geometry, gi)
    for compute in geometry.profiles:
        name = compute_profile_name(profile, compute)
        mark = "*" if compute.compute_slices == profile.compute_slices else " "
        share = f"{geometry.free(occupied, compute)}/{compute.max_instances}"
        head = f"{index:4}{gi.id:7}       MIG {name:<15}{compute.id:3}{mark}     {share:<14}"
        upper = f"{compute.sm_count:<10}{compute.decoders:<6}{compute.encoders:<6}"
        lower = f"{compute.copy_engines:<6}{compute.jpeg_engines:<10}"
        yield f"|{head}{upper}{compute.ofa_engines:<4}|", f"|{'':70}{lower}|"


_LISTINGS: dict[Listing, Callable[[MachineState, str], Iterator[str]]] = {
    Listing.DEVICES: _devices,
    Listing.GPU_INSTANCE_PROFILES: _gpu_instance_profiles,
    Listing.PLACEMENTS: _placements,
    Listing.GPU_INSTANCES: _gpu_instances,
    Listing.COMPUTE_INSTANCES: _compute_instances,
    Listing.COMPUTE_INSTANCE_PROFILES: _compute_instance_profiles,
}


def _boxed_or_nothing(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    enabled: Sequence[tuple[int, SimulatedGpu]],
    nothing: str,
) -> Iterator[str]:
    if rows:
        yield from _boxed(head, rows)
    else:
        yield nothing if enabled else NOTHING_ENABLED


def _boxed(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    inside = len(head[0]) - 2
    rule = f"+{'-' * inside}+"
    yield rule
    yield from head
    yield f"|{'=' * inside}|"
    for row in rows:
        yield from row
        yield rule


def _start_and_size(placement: Placement) -> str:
    return f"{placement.start:11}:{placement.size:<6}"


def _profile(gpu: SimulatedGpu, gi: GpuInstance) -> Profile:
    profile = gpu.board.geometry.with_id(gi.profile_id)
    assert profile is not None
    return profile


def _in_order(gpu: SimulatedGpu) -> list[Profile]:
    """Profiles as ``nvidia-smi`` orders them: 1g, 1g+me, double 1g, 2g, 3g, 4g, 7g."""
    return sorted(
        gpu.board.geometry.profiles,
        key=lambda profile: (profile.compute_slices, profile.memory_slices, profile.name),
    )


def _instances_in_order(gpu: SimulatedGpu) -> list[GpuInstance]:
    """GPU instances by profile, then by id: they are asked for one profile after the other."""
    order = [profile.id for profile in _in_order(gpu)]
    return sorted(gpu.instances, key=lambda gi: (order.index(gi.profile_id), gi.id))


def _with_mig(state: MachineState) -> list[tuple[int, SimulatedGpu]]:
    return [(index, gpu) for index, gpu in enumerate(state.gpus) if gpu.board.has_mig]


def _enabled(state: MachineState) -> list[tuple[int, SimulatedGpu]]:
    return [(index, gpu) for index, gpu in enumerate(state.gpus) if gpu.mig_current]
