"""Creating and destroying instances on one simulated GPU: the rules, without the store.

Pure: a GPU goes in and a changed GPU comes out, or a `Refusal` with NVML's code. What fits is
decided by `gpuslice.model.geometry.Geometry`; here stands what the driver adds to it: the order in
which it tries placements, the ids it gives, and what must be gone before something goes.

Sources: recorded sequences of ``nvidia-smi mig -cgi`` without placement; nvml.h, MIG chapter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.compute_profiles import compute_geometry
from gpuslice.simulator.identity import gpu_instance_id, mig_uuid, physical_start
from gpuslice.simulator.state import ComputeInstance, GpuInstance, SimulatedGpu

_GRID_WITH_ORDER = 8
_DEFAULT_STARTS = {1: (6, 4, 5, 0, 1, 2, 3), 2: (4, 0, 2, 6), 4: (4, 0), 8: (0,)}
"""Order of starts by size on boards of eight memory slices: what destroys least room comes first.

Reproduces every recorded sequence; boards with another grid take the lowest start.
"""


def default_placements(geometry: Geometry, profile: Profile) -> tuple[Placement, ...]:
    """Return a profile's placements in the order the driver tries them."""
    if geometry.memory_slices != _GRID_WITH_ORDER:
        return profile.placements
    order = _DEFAULT_STARTS[profile.memory_slices]
    return tuple(sorted(profile.placements, key=lambda placement: order.index(placement.start)))


def add_gpu_instance(
    gpu: SimulatedGpu, profile: Profile, placement: Placement | None, serial: int
) -> tuple[SimulatedGpu, GpuInstance]:
    """Create a GPU instance.

    Args:
        gpu: The GPU, with MIG on.
        profile: One of its profiles.
        placement: Where, or None for the driver's choice.
        serial: A number not used before.

    Raises:
        Refusal: INVALID_ARGUMENT for a placement that is none of the profile's,
            INSUFFICIENT_RESOURCES where there is no room.
    """
    geometry = gpu.board.geometry
    if placement is not None and placement not in profile.placements:
        raise Refusal(Code.INVALID_ARGUMENT)
    wanted = default_placements(geometry, profile) if placement is None else (placement,)
    at = _first_allowed(geometry, gpu.occupied, profile, wanted)
    number = gpu_instance_id(at, grid=geometry.memory_slices, mirrored=gpu.mirrored)
    made = GpuInstance(id=number, profile_id=profile.id, placement=at, serial=serial)
    instances = sorted((*gpu.instances, made), key=lambda gi: gi.id)
    return replace(gpu, instances=tuple(instances)), made


def remove_gpu_instance(gpu: SimulatedGpu, gone: GpuInstance) -> SimulatedGpu:
    """Destroy a GPU instance.

    Raises:
        Refusal: IN_USE while it has compute instances.
    """
    if gone.compute_instances:
        raise Refusal(Code.IN_USE)
    left = tuple(gi for gi in gpu.instances if gi.serial != gone.serial)
    return replace(gpu, instances=left)


def add_compute_instance(
    gpu: SimulatedGpu,
    gi: GpuInstance,
    profile: Profile,
    placement: Placement | None,
    serial: int,
) -> tuple[SimulatedGpu, ComputeInstance]:
    """Create a compute instance in a GPU instance; it gets the lowest free id.

    Raises:
        Refusal: As `add_gpu_instance`.
    """
    geometry = compute_geometry(gpu.board_key, gi.profile_id)
    if placement is not None and placement not in profile.placements:
        raise Refusal(Code.INVALID_ARGUMENT)
    occupied = occupied_in(geometry, gi)
    wanted = (placement,) if placement else _sparing_most(geometry, occupied, profile)
    at = _first_allowed(geometry, occupied, profile, wanted)
    used = {ci.id for ci in gi.compute_instances}
    number = next(candidate for candidate in range(len(used) + 1) if candidate not in used)
    made = ComputeInstance(id=number, profile_id=profile.id, placement=at, serial=serial)
    everyone = sorted((*gi.compute_instances, made), key=lambda ci: ci.id)
    return _with_compute_instances(gpu, gi, everyone), made


def remove_compute_instance(
    gpu: SimulatedGpu, gi: GpuInstance, gone: ComputeInstance
) -> SimulatedGpu:
    """Destroy a compute instance; whether a process holds it is the caller's to know."""
    left = [ci for ci in gi.compute_instances if ci.serial != gone.serial]
    return _with_compute_instances(gpu, gi, left)


def occupied_in(geometry: Geometry, gi: GpuInstance) -> tuple[tuple[str, Placement], ...]:
    """Return what lies in a GPU instance, in the form `Geometry.allows` takes."""
    names = {profile.id: profile.name for profile in geometry.profiles}
    return tuple((names[ci.profile_id], ci.placement) for ci in gi.compute_instances)


def device_uuid(gpu: SimulatedGpu, gi: GpuInstance, ci: ComputeInstance) -> str:
    """Return the UUID of the MIG device that a compute instance is."""
    board = gpu.board
    geometry = board.geometry
    first = physical_start(gi.placement, grid=geometry.memory_slices, mirrored=gpu.mirrored)
    units_per_engine = geometry.profiles[0].memory_slices
    engine = first // units_per_engine + ci.placement.start
    return mig_uuid(chip_id=board.chip_id, pdi=gpu.pdi, gpu_instance=gi.id, engine=engine)


def _first_allowed(
    geometry: Geometry,
    occupied: tuple[tuple[str, Placement], ...],
    profile: Profile,
    wanted: Iterable[Placement],
) -> Placement:
    for at in wanted:
        if geometry.allows(occupied, profile.name, at):
            return at
    raise Refusal(Code.INSUFFICIENT_RESOURCES)


def _sparing_most(
    geometry: Geometry, occupied: tuple[tuple[str, Placement], ...], profile: Profile
) -> list[Placement]:
    """Order placements by how much room they leave, ties to the lowest, as the kernel does."""

    def room_left(at: Placement) -> int:
        then = (*occupied, (profile.name, at))
        return sum(geometry.free(then, other) for other in geometry.profiles)

    return sorted(profile.placements, key=lambda at: (-room_left(at), at.start))


def _with_compute_instances(
    gpu: SimulatedGpu, changed: GpuInstance, compute_instances: Iterable[ComputeInstance]
) -> SimulatedGpu:
    after = replace(changed, compute_instances=tuple(compute_instances))
    return replace(
        gpu, instances=tuple(after if gi.serial == after.serial else gi for gi in gpu.instances)
    )
