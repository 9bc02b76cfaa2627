"""The driver over the simulator, beside a model of a few lines: whatever is asked, both agree.

The model knows a mode and what lies where; it is written from the rules of MIG, and from nothing
that the driver or the simulator does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpuslice.errors import DriverError, GpuBusyError, InsufficientResourcesError
from gpuslice.model.geometry import Placement, Profile
from gpuslice.model.gpu import Slice
from gpuslice.simulator.compute_profiles import compute_geometry
from simulated_gpus import SimulatedGpus, simulated_gpus

BOARDS = ("a100-80gb", "a30", "h100-80gb", "rtx-pro-6000")
IN_USE = 19


@dataclass(frozen=True)
class Lying:
    """What the model says lies at a placement: its profile, and the sizes of its parts."""

    profile: str
    parts: tuple[int, ...]  # one that fills: all compute slices; half made: none


class DriverMachine(RuleBasedStateMachine):
    """Two drivers over one GPU, as two programs would use it."""

    @initialize(key=st.sampled_from(BOARDS))
    def open(self, key: str) -> None:
        self.key = key
        self.folder = TemporaryDirectory()
        self.drivers = [simulated_gpus(Path(self.folder.name), key) for _ in "ab"]
        self.mig = True
        self.lying: dict[Placement, Lying] = {}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    # --- What is asked ----------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), enabled=st.booleans())
    def switch_mode(self, which: int, enabled: bool) -> None:
        machine = self.drivers[which]
        if self.lying and not enabled:
            with pytest.raises(GpuBusyError, match="while slices lie on it"):
                machine.driver.set_mig_mode(machine.gpu.uuid, enabled=False)
        else:
            machine.driver.set_mig_mode(machine.gpu.uuid, enabled=enabled)
            self.mig = enabled

    @precondition(lambda self: self.mig)
    @rule(which=st.integers(0, 1), data=st.data())
    def create(self, which: int, data: st.DataObject) -> None:
        machine = self.drivers[which]
        profile = data.draw(st.sampled_from(machine.geometry.profiles), label="profile")
        self.try_to_create(machine, data, profile, ())

    @precondition(lambda self: self.mig)
    @rule(which=st.integers(0, 1), data=st.data())
    def create_in_parts(self, which: int, data: st.DataObject) -> None:
        machine = self.drivers[which]
        large = [p for p in machine.geometry.profiles if p.compute_slices > 1]
        profile = data.draw(st.sampled_from(large), label="profile")
        sizes = st.integers(1, max(1, profile.compute_slices // 2))
        parts = data.draw(st.lists(sizes, min_size=1, max_size=3), label="parts")
        self.try_to_create(machine, data, profile, tuple(parts))

    def try_to_create(
        self, machine: SimulatedGpus, data: st.DataObject, profile: Profile, parts: tuple[int, ...]
    ) -> None:
        at = data.draw(st.sampled_from(profile.placements), label="placement")
        planned = replace(machine.planned(profile.name, at.start), parts=parts)
        wanted = parts or (profile.compute_slices,)
        if not self.fits(machine, profile.id, wanted):
            with pytest.raises(DriverError):
                machine.driver.create_slice(planned)
        elif not machine.geometry.allows(self.occupied(), profile.name, at):
            with pytest.raises(InsufficientResourcesError):
                machine.driver.create_slice(planned)
        else:
            made = machine.driver.create_slice(planned)
            self.lying[at] = Lying(profile.name, tuple(sorted(wanted)))
            assert made in machine.slices()

    @precondition(lambda self: self.mig)
    @rule(data=st.data())
    def leave_a_gpu_instance_without_compute_instance(self, data: st.DataObject) -> None:
        machine = self.drivers[0]
        profile = data.draw(st.sampled_from(machine.geometry.profiles), label="profile")
        at = data.draw(st.sampled_from(profile.placements), label="placement")
        if machine.geometry.allows(self.occupied(), profile.name, at):
            wanted = machine.nvml.c_nvmlGpuInstancePlacement_t(start=at.start, size=at.size)
            machine.nvml.nvmlDeviceCreateGpuInstanceWithPlacement(
                machine.handle(), profile.id, machine.nvml.byref(wanted)
            )
            self.lying[at] = Lying(profile.name, ())

    @precondition(lambda self: self.lying)
    @rule(which=st.integers(0, 1), number=st.integers(0, 6), refusals=st.integers(0, 2))
    def destroy(self, which: int, number: int, refusals: int) -> None:
        """Destroy a slice; the driver below is in use for a moment."""
        machine, goes = self.drivers[which], self.chosen(number)
        machine.nvml.fail("nvmlGpuInstanceDestroy", IN_USE, times=refusals)
        machine.driver.destroy_slice(goes)
        machine.nvml.restore("nvmlGpuInstanceDestroy")
        machine.driver.destroy_slice(goes)  # gone already: that is fine
        del self.lying[goes.placement]

    @precondition(lambda self: self.lying)
    @rule(which=st.integers(0, 1), number=st.integers(0, 6))
    def destroy_in_vain(self, which: int, number: int) -> None:
        """Destroy a slice whose GPU instance is in use for good: half of it is left."""
        machine, goes = self.drivers[which], self.chosen(number)
        machine.nvml.fail("nvmlGpuInstanceDestroy", IN_USE)
        with pytest.raises(GpuBusyError):
            machine.driver.destroy_slice(goes)
        machine.nvml.restore("nvmlGpuInstanceDestroy")
        self.lying[goes.placement] = replace(self.lying[goes.placement], parts=())

    # --- What has to hold -------------------------------------------------------------------------

    @invariant()
    def both_drivers_show_what_the_model_says(self) -> None:
        for machine in getattr(self, "drivers", ()):
            gpu = machine.gpu
            assert gpu.mig is not None
            assert (gpu.mig.current, gpu.mig.pending) == (self.mig, self.mig)
            shown = {slice_.placement: self.as_lying(machine, slice_) for slice_ in gpu.slices}
            assert shown == self.lying
            assert list(shown) == sorted(shown)

    # --- The rules, once more ---------------------------------------------------------------------

    def occupied(self) -> list[tuple[str, Placement]]:
        return [(one.profile, at) for at, one in self.lying.items()]

    def chosen(self, number: int) -> Slice:
        slices = self.drivers[0].slices()
        return slices[number % len(slices)]

    def fits(self, machine: SimulatedGpus, profile_id: int, parts: tuple[int, ...]) -> bool:
        """Try every way of laying parts side by side."""
        kinds = {
            kind.compute_slices: kind for kind in compute_geometry(self.key, profile_id).profiles
        }
        if not all(size in kinds for size in parts):
            return False
        whole = machine.geometry.with_id(profile_id)
        assert whole is not None
        return sum(parts) <= whole.compute_slices and any(
            not any(one.overlaps(two) for i, one in enumerate(seats) for two in seats[:i])
            for seats in product(*(kinds[size].placements for size in parts))
        )

    @staticmethod
    def as_lying(machine: SimulatedGpus, slice_: Slice) -> Lying:
        profile = machine.geometry.named(slice_.profile)
        assert profile is not None
        if slice_.uuid is None:
            return Lying(slice_.profile, ())
        sizes = tuple(sorted(part.compute_slices for part in slice_.parts))
        return Lying(slice_.profile, sizes or (profile.compute_slices,))


DriverMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, derandomize=True
)
TestDriverMachine = DriverMachine.TestCase
