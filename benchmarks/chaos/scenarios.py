"""What is tried: small changes of each sort, on a board of each family.

Separate from the trying. Every scenario is written by hand in terms of what its board offers (its
smallest profile, the one that fills half), so that it means the same on each and nothing of it
depends on the planner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpuslice.apply.refusals import Refusal
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.hardware.boards import board
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Record
from gpuslice.model.geometry import Placement, Profile
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Owned, PlannedSlice
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig, Step

FAMILIES = {
    "a100": "a100-80gb",
    "a30": "a30",
    "h100": "h100-80gb",
    "h200": "h200",
    "b200": "b200",
    "rtx-pro": "rtx-pro-6000",
}
"""One board of each sort: of each generation, with seven and with four slices."""

STACK = "assistants"
CHAT, CODER, EXTRA = ReplicaId("chat", 0), ReplicaId("coder", 0), ReplicaId("extra", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a board offers that every scenario uses."""

    small: Profile
    media: Profile
    half: Profile

    def starts(self) -> tuple[Placement, ...]:
        """Where the small one may lie, in order."""
        return tuple(sorted(self.small.placements))

    def upper(self) -> Placement:
        """Where the small one lies first in the upper half."""
        return next(at for at in self.starts() if at.start >= self.half.memory_slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A machine as it was made, and the change that is wanted on it.

    Attributes:
        record: What is recorded about it.
        steps: The change.
        foreign: Slices of somebody else.
        kept: Slices of ours that the change does not concern.
        allow: Refusals that are lifted for the change.
    """

    record: Record
    steps: tuple[Step, ...]
    foreign: tuple[Slice, ...] = ()
    kept: tuple[Slice, ...] = ()
    allow: tuple[str, ...] = ()


class Builder:
    """Makes the slices of a scenario on a machine. Owned by one call of `Scenario.build`."""

    def __init__(self, driver: NvmlDriver, key: str) -> None:
        self._driver = driver
        self.sizes = _sizes(key)
        self.gpus: tuple[Gpu, ...] = driver.read().gpus
        self._owned: list[Owned] = []

    def mig_on(self, gpu: int = 0) -> None:
        """Switch MIG mode on."""
        self._driver.set_mig_mode(self.gpus[gpu].uuid, enabled=True)

    def planned(self, profile: Profile, at: Placement, gpu: int = 0) -> PlannedSlice:
        """Say which slice is meant."""
        return PlannedSlice(
            gpu_uuid=self.gpus[gpu].uuid,
            placement=Placement(at.start, profile.memory_slices),
            profile=profile.name,
            profile_id=profile.id,
            memory_mib=profile.memory_mib,
        )

    def foreign(self, profile: Profile, at: Placement, gpu: int = 0) -> Slice:
        """Make a slice of somebody else."""
        return self._driver.create_slice(self.planned(profile, at, gpu))

    def ours(self, profile: Profile, at: Placement, replica: ReplicaId, gpu: int = 0) -> Slice:
        """Make a slice of ours."""
        made = self.foreign(profile, at, gpu)
        self._owned.append(Owned(slice=made.key, stack=STACK, replica=replica))
        return made

    def come(
        self, profile: Profile, at: Placement, replica: ReplicaId, gpu: int = 0
    ) -> CreateSlice:
        """Write the step that makes a slice."""
        return CreateSlice(planned=self.planned(profile, at, gpu), replica=replica)

    def record(self) -> Record:
        """What is recorded about the machine so far."""
        return Record(boot_id=self._driver.boot_id(), owned=tuple(self._owned))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One sort of change.

    Attributes:
        name: As on the command line.
        gpus: How many GPUs the machine has.
        build: Makes the machine.
        needs_reset: Whether a mode change waits for a reset on them.
    """

    name: str
    build: Callable[[Builder], Scene]
    gpus: int = 1
    needs_reset: bool = False

    def simulation(self, family: str) -> str:
        """The simulated machine, as ``--simulate`` takes it."""
        return f"{FAMILIES[family]}:{self.gpus}"


def _sizes(key: str) -> Sizes:
    profiles = board(key).geometry.profiles
    small = profiles[0]
    media = next(p for p in profiles if p.name == f"{small.name}+me")
    plain = [p for p in profiles if "+" not in p.name and "-" not in p.name]
    half = max((p for p in plain if len(p.placements) == 2), key=lambda p: p.memory_slices)
    return Sizes(small=small, media=media, half=half)


def _first_slice(make: Builder) -> Scene:
    sizes = make.sizes
    steps = (
        EnableMig(gpu_uuid=make.gpus[0].uuid),
        make.come(sizes.small, sizes.starts()[0], CHAT),
    )
    return Scene(record=make.record(), steps=steps)


def _mixed(make: Builder) -> Scene:
    """One goes, one stays, two come; somebody else's lies beside them."""
    sizes = make.sizes
    first, second, third, *_, last = sizes.starts()
    make.mig_on()
    going = make.ours(sizes.small, first, CHAT)
    staying = make.ours(sizes.small, second, CODER)
    theirs = make.foreign(sizes.small, last)
    steps = (
        make.come(sizes.small, third, CHAT),
        DestroySlice(slice=going),
        make.come(sizes.media, first, EXTRA),
    )
    return Scene(record=make.record(), steps=steps, foreign=(theirs,), kept=(staying,))


def _defragmenting(make: Builder) -> Scene:
    """A replica moves into the upper half, so that half a GPU becomes free for another."""
    sizes = make.sizes
    make.mig_on()
    going = make.ours(sizes.small, sizes.starts()[0], CHAT)
    theirs = make.foreign(sizes.small, sizes.starts()[-1])
    steps = (
        make.come(sizes.small, sizes.upper(), CHAT),
        DestroySlice(slice=going),
        make.come(sizes.half, Placement(0, sizes.half.memory_slices), EXTRA),
    )
    return Scene(record=make.record(), steps=steps, foreign=(theirs,))


def _mode_on(make: Builder) -> Scene:
    steps = tuple(EnableMig(gpu_uuid=gpu.uuid) for gpu in make.gpus)
    return Scene(record=make.record(), steps=steps)


def _mode_on_by_reset(make: Builder) -> Scene:
    """The mode only changes with a reset, which is allowed."""
    scene = _mode_on(make)
    return Scene(record=scene.record, steps=scene.steps, allow=(Refusal.GPU_RESET,))


def _mode_off(make: Builder) -> Scene:
    make.mig_on()
    going = make.ours(make.sizes.small, make.sizes.starts()[0], CHAT)
    steps = (DestroySlice(slice=going), DisableMig(gpu_uuid=make.gpus[0].uuid))
    return Scene(record=make.record(), steps=steps)


def _teardown(make: Builder) -> Scene:
    """All of ours go; somebody else's stays, and so does the mode."""
    sizes = make.sizes
    make.mig_on()
    going = (
        make.ours(sizes.half, Placement(0, sizes.half.memory_slices), CHAT),
        make.ours(sizes.small, sizes.upper(), CODER),
    )
    theirs = make.foreign(sizes.small, sizes.starts()[-1])
    steps = tuple(DestroySlice(slice=s) for s in going)
    return Scene(record=make.record(), steps=steps, foreign=(theirs,))


def _across(make: Builder) -> Scene:
    """A replica moves to another GPU, whose mode is off, and its old GPU is given back."""
    sizes = make.sizes
    one, two, three = make.gpus
    make.mig_on(0)
    make.mig_on(2)
    going = make.ours(sizes.small, sizes.starts()[0], CHAT)
    theirs = make.foreign(sizes.small, sizes.starts()[-1], 2)
    staying = make.ours(sizes.small, sizes.starts()[0], CODER, 2)
    steps = (
        EnableMig(gpu_uuid=two.uuid),
        make.come(sizes.small, sizes.starts()[0], CHAT, 1),
        make.come(sizes.small, sizes.starts()[1], EXTRA, 2),
        DestroySlice(slice=going),
        DisableMig(gpu_uuid=one.uuid),
    )
    assert three.mig is not None
    return Scene(record=make.record(), steps=steps, foreign=(theirs,), kept=(staying,))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="first-slice", build=_first_slice),
        Scenario(name="mixed", build=_mixed),
        Scenario(name="defragmenting", build=_defragmenting),
        Scenario(name="mode-on", build=_mode_on),
        Scenario(name="mode-on-by-reset", build=_mode_on_by_reset, needs_reset=True),
        Scenario(name="mode-off", build=_mode_off),
        Scenario(name="teardown", build=_teardown),
        Scenario(name="modes-of-two", build=_mode_on, gpus=2),
        Scenario(name="across-gpus", build=_across, gpus=3),
    )
}


def build(scenario: Scenario, driver: NvmlDriver, family: str) -> Scene:
    """Make a scenario's machine through a driver."""
    return scenario.build(Builder(driver, FAMILIES[family]))
