"""One A100 through everything that callers and bystanders do to it, beside a model of the rules.

The simulator is driven through the real binding. After every step all that can be read is read, and
compared with the model; every refusal must be the one the model foretells.
"""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpuslice import simulator
from gpuslice.simulator.machine import set_clients, set_mirrored
from gpuslice.simulator.state import new_machine
from property.model_of_mig import (
    COMPUTE_SLICES,
    IN_USE,
    INVALID_ARGUMENT,
    PART_SIZES,
    SIZES,
    STARTS,
    SUCCESS,
    Card,
    Instance,
    Part,
)
from property.model_of_mig import PARTS as PARTS_OF
from simulated import SimulatedMachine

WANTED = st.sampled_from(sorted(SIZES)).flatmap(
    lambda profile: st.tuples(
        st.just(profile), st.sampled_from((None, *STARTS[profile])) | st.integers(0, 7)
    )
)
"""A profile and a start: mostly one the profile has, or the driver's choice."""
PARTS = st.sampled_from(sorted(PART_SIZES))
PART_STARTS = st.none() | st.integers(0, 3)
WHICH = st.integers(0, 6)
PIDS = st.sampled_from([(), (), (1,), (1, 2)])
UPHEAVALS = ("off", "on", "restart", "reset", "reconnect")


@pytest.fixture(scope="module", autouse=True)
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One binding for all examples, since loading it takes longer than running one."""
    OneCard.machine = SimulatedMachine(tmp_path_factory.mktemp("card") / "machine", "a100-80gb")
    OneCard.machine.holds()


class OneCard(RuleBasedStateMachine):
    """A card, its model, and the handles that were ever given."""

    machine: SimulatedMachine

    @initialize(mirrored=st.booleans())
    def begin(self, mirrored: bool) -> None:
        self.nvml = self.machine.nvml
        self.machine.session.store.change(lambda state: (new_machine(state.simulation), None))
        set_mirrored(self.machine.directory, 0, mirrored=mirrored)
        self.card = Card()
        self.handles: dict[Instance | Part, Any] = {}
        self.stale: list[tuple[str, Any]] = []
        self.switch(True)

    def switch(self, wanted: bool) -> None:
        before = self.machine.gpu()
        status, changed = self.card.switch(wanted)
        assert self.nvml.nvmlDeviceSetMigMode(before, int(wanted)) == status
        if changed:
            self.stale.append(("gpu", before))

    @rule(wanted=WANTED)
    def create(self, wanted: tuple[int, int | None]) -> None:
        profile, start = wanted
        expected = self.card.refusal(profile, start)
        at = next(iter(self.card.free_starts(profile)), None) if start is None else start
        gpu, made = self.machine.gpu(), []
        if start is None:
            code = self.machine.code(
                lambda: made.append(self.nvml.nvmlDeviceCreateGpuInstance(gpu, profile))
            )
        else:
            place = self.nvml.c_nvmlGpuInstancePlacement_t(start=start, size=SIZES[profile])
            create = self.nvml.nvmlDeviceCreateGpuInstanceWithPlacement
            code = self.machine.code(lambda: made.append(create(gpu, profile, ctypes.byref(place))))
        assert code == expected
        if code == SUCCESS:
            assert at is not None
            instance = Instance(profile=profile, run=(at, SIZES[profile]))
            self.card.instances.append(instance)
            self.handles[instance] = made[0]

    @precondition(lambda self: self.card.instances)
    @rule(which=WHICH)
    def destroy(self, which: int) -> None:
        instance = self.card.instances[which % len(self.card.instances)]
        handle = self.handles[instance]
        expected = IN_USE if instance.parts else SUCCESS
        assert self.machine.code(self.nvml.nvmlGpuInstanceDestroy, handle) == expected
        if expected == SUCCESS:
            self.card.instances.remove(instance)
            self.stale.append(("gi", self.handles.pop(instance)))

    @precondition(lambda self: self.card.instances)
    @rule(which=WHICH, profile=PARTS, start=PART_STARTS)
    def create_part(self, which: int, profile: int, start: int | None) -> None:
        instance = self.card.instances[which % len(self.card.instances)]
        gi, made = self.handles[instance], []
        expected = instance.refusal_of_part(profile, start)
        if start is None:
            create = self.nvml.nvmlGpuInstanceCreateComputeInstance
            code = self.machine.code(lambda: made.append(create(gi, profile)))
        else:
            place = self.nvml.c_nvmlComputeInstancePlacement_t(
                start=start, size=PART_SIZES[profile]
            )
            create = self.nvml.nvmlGpuInstanceCreateComputeInstanceWithPlacement
            code = self.machine.code(lambda: made.append(create(gi, profile, ctypes.byref(place))))
        assert code == expected
        if code == SUCCESS:
            placed = self.nvml.nvmlComputeInstanceGetInfo_v2(made[0]).placement
            run = (placed.start, placed.size)
            assert instance.refusal_of_part(profile, run[0]) == SUCCESS
            assert run == (run[0] if start is None else start, PART_SIZES[profile])
            part = Part(profile=profile, run=run)
            instance.parts.append(part)
            self.handles[part] = made[0]

    @precondition(lambda self: any(not gi.parts for gi in self.card.instances))
    @rule()
    def fill(self) -> None:
        """Create the compute instances that fill their GPU instances, as slices have them."""
        for which, instance in enumerate(self.card.instances):
            if not instance.parts:
                self.create_part(which, max(PARTS_OF[COMPUTE_SLICES[instance.profile]]), None)

    @precondition(lambda self: self.every_part())
    @rule(which=WHICH)
    def destroy_part(self, which: int) -> None:
        everyone = self.every_part()
        instance, part = everyone[which % len(everyone)]
        expected = IN_USE if part.clients else SUCCESS
        assert (
            self.machine.code(self.nvml.nvmlComputeInstanceDestroy, self.handles[part]) == expected
        )
        if expected == SUCCESS:
            instance.parts.remove(part)
            self.stale.append(("ci", self.handles.pop(part)))

    @rule(pids=PIDS)
    def others_hold_the_card(self, pids: tuple[int, ...]) -> None:
        set_clients(self.machine.directory, 0, pids)
        self.card.clients = set(pids)

    @precondition(lambda self: self.card.instances)
    @rule(which=WHICH, pids=PIDS)
    def others_use_a_slice(self, which: int, pids: tuple[int, ...]) -> None:
        instance = self.card.instances[which % len(self.card.instances)]
        start = instance.run[0]
        set_clients(self.machine.directory, 0, pids, start=start)
        for part in instance.parts:
            part.clients = set(pids)

    @rule(upheaval=st.sampled_from(UPHEAVALS))
    def upheaval(self, upheaval: str) -> None:
        """What befalls the whole card; one rule, so that it is seldom."""
        match upheaval:
            case "off" | "on":
                self.switch(upheaval == "on")
            case "restart":
                self.restart()
            case "reset":
                self.reset()
            case _:
                self.connect_again()

    def restart(self) -> None:
        self.everything_goes_stale(self.machine.gpu())
        simulator.reboot(self.machine.directory)
        self.card.restart()

    def reset(self) -> None:
        in_use, before = self.card.is_in_use, self.machine.gpu()
        answer = simulator.reset_gpu(self.machine.directory, 0, processes=lambda: ())
        assert answer == (IN_USE if in_use else SUCCESS)
        if not in_use:
            self.everything_goes_stale(before)
            self.card.restart()

    def connect_again(self) -> None:
        """A shutdown makes all handles invalid; those of what is there are found again by id."""
        ids = {
            instance: self.nvml.nvmlGpuInstanceGetInfo(self.handles[instance]).id
            for instance in self.card.instances
        }
        parts = {
            part: self.nvml.nvmlComputeInstanceGetInfo_v2(self.handles[part]).id
            for _, part in self.every_part()
        }
        self.everything_goes_stale(self.machine.gpu())
        self.nvml.nvmlShutdown()
        self.nvml.nvmlInit()
        for instance, number in ids.items():
            gpu = self.machine.gpu()
            gi = self.nvml.nvmlDeviceGetGpuInstanceById(gpu, number)
            self.handles[instance] = gi
            for part in instance.parts:
                find = self.nvml.nvmlGpuInstanceGetComputeInstanceById
                self.handles[part] = find(gi, parts[part])

    @invariant()
    def the_mode_is_the_model_s(self) -> None:
        mode = self.nvml.nvmlDeviceGetMigMode(self.machine.gpu())
        assert mode == [int(self.card.mig), int(self.card.pending)]

    @invariant()
    def what_lies_there_is_the_model_s(self) -> None:
        for profile in SIZES:
            assert self.machine.free(profile) == self.card.capacity(profile)
        seen = {
            self.machine.gi(self.handles[instance])[1:]: instance
            for instance in self.card.instances
        }
        assert all(run == instance.run for run, instance in seen.items())
        if self.card.mig:
            assert sorted(seen) == sorted(self.listed())
        for instance, part in self.every_part():
            info = self.nvml.nvmlComputeInstanceGetInfo_v2(self.handles[part])
            assert (info.placement.start, info.placement.size) == part.run
            owner = ctypes.cast(info.gpuInstance, self.nvml.c_nvmlGpuInstance_t)
            assert self.machine.gi(owner)[1:] == instance.run

    @invariant()
    def every_part_is_a_device_with_its_own_uuid_and_clients(self) -> None:
        clients = {}
        for index in range(self.nvml.nvmlDeviceGetMaxMigDeviceCount(self.machine.gpu())):
            ask = self.nvml.nvmlDeviceGetMigDeviceHandleByIndex
            if self.machine.code(ask, self.machine.gpu(), index) == SUCCESS:
                device = ask(self.machine.gpu(), index)
                running = self.nvml.nvmlDeviceGetComputeRunningProcesses(device)
                uuid = self.nvml.nvmlDeviceGetUUID(device)
                clients[uuid] = {process.pid for process in running}
        expected = {
            self.machine.uuid(self.handles[part]): part.clients for _, part in self.every_part()
        }
        assert len(expected) == len(self.every_part())
        assert clients == expected

    @invariant()
    def what_is_gone_is_never_taken_for_what_is_there(self) -> None:
        destroy = {
            "gi": self.nvml.nvmlGpuInstanceDestroy,
            "ci": self.nvml.nvmlComputeInstanceDestroy,
            "gpu": self.nvml.nvmlDeviceGetMigMode,
        }
        for kind, handle in self.stale[-8:]:
            assert self.machine.code(destroy[kind], handle) == INVALID_ARGUMENT

    def every_part(self) -> list[tuple[Instance, Part]]:
        return [(instance, part) for instance in self.card.instances for part in instance.parts]

    def everything_goes_stale(self, gpu: Any) -> None:
        """Put away the handles of whatever there is: none of them means anything afterwards."""
        self.stale.append(("gpu", gpu))
        for owner, handle in self.handles.items():
            self.stale.append(("gi" if isinstance(owner, Instance) else "ci", handle))
        self.handles.clear()

    def listed(self) -> list[tuple[int, int]]:
        """Runs of all GPU instances, as they are listed profile by profile."""
        found = []
        for profile in SIZES:
            count = ctypes.c_uint(7)
            handles = (self.nvml.c_nvmlGpuInstance_t * 7)()
            ask = self.nvml.nvmlDeviceGetGpuInstances
            ask(self.machine.gpu(), profile, handles, ctypes.byref(count))
            found += [self.machine.gi(handles[i])[1:] for i in range(count.value)]
        return found


TestOneCard = OneCard.TestCase
TestOneCard.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
