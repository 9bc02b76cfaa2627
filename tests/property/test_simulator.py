"""Whatever callers do in whatever order, a simulated GPU keeps the rules of MIG."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.hardware import board
from gpuslice.model.geometry import Placement
from property.strategies_simulator import Create, Destroy, sequences
from simulated import SimulatedMachine

BOARDS = ("a100-80gb", "h200", "a30", "rtx-pro-6000")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimulatedMachine]:
    """One machine per board with MIG on; examples clear it."""
    made = {}
    for key in BOARDS:
        machine = SimulatedMachine(tmp_path_factory.mktemp("machines") / key, key)
        machine.holds()
        machine.enable_mig()
        made[key] = machine
    return made


def instances(machine: SimulatedMachine, key: str) -> Iterator[tuple[str, Placement, Any]]:
    """What NVML lists: profile name, placement and handle."""
    for profile in board(key).geometry.profiles:
        count = ctypes.c_uint(profile.max_instances)
        found = (machine.nvml.c_nvmlGpuInstance_t * profile.max_instances)()
        list_them = machine.nvml.nvmlDeviceGetGpuInstances
        list_them(machine.gpu(), profile.id, found, ctypes.byref(count))
        for i in range(count.value):
            handle = ctypes.cast(found[i], machine.nvml.c_nvmlGpuInstance_t)
            _, start, size = machine.gi(handle)
            yield profile.name, Placement(start, size), handle


def clear(machine: SimulatedMachine, key: str) -> None:
    for _, _, handle in list(instances(machine, key)):
        machine.nvml.nvmlGpuInstanceDestroy(handle)


def carry_out(machine: SimulatedMachine, key: str, step: Create | Destroy) -> None:
    present = list(instances(machine, key))
    if isinstance(step, Destroy):
        if present:
            machine.nvml.nvmlGpuInstanceDestroy(present[step.which % len(present)][2])
        return
    geometry = board(key).geometry
    profile = geometry.with_id(step.profile_id)
    assert profile is not None
    occupied = [(name, at) for name, at, _ in present]
    legal = [at for at in profile.placements if step.start in (None, at.start)]
    possible = any(geometry.allows(occupied, profile.name, at) for at in legal)

    gpu, nvml = machine.gpu(), machine.nvml
    if step.start is None:
        code = machine.code(nvml.nvmlDeviceCreateGpuInstance, gpu, profile.id)
    else:
        at = nvml.c_nvmlGpuInstancePlacement_t(start=step.start, size=profile.memory_slices)
        create = nvml.nvmlDeviceCreateGpuInstanceWithPlacement
        code = machine.code(create, gpu, profile.id, ctypes.byref(at))

    refused = nvml.NVML_ERROR_INSUFFICIENT_RESOURCES if legal else nvml.NVML_ERROR_INVALID_ARGUMENT
    assert code == (nvml.NVML_SUCCESS if possible else refused)


def check(machine: SimulatedMachine, key: str) -> None:
    geometry = board(key).geometry
    present = list(instances(machine, key))
    occupied = [(name, at) for name, at, _ in present]
    for (_, one, _), (_, other, _) in itertools.combinations(present, 2):
        assert not one.overlaps(other)
    for i, (name, at) in enumerate(occupied):
        assert geometry.allows(occupied[:i] + occupied[i + 1 :], name, at)
    assert len({machine.gi(handle)[0] for _, _, handle in present}) == len(present)
    for profile in geometry.profiles:
        assert machine.free(profile.id) == geometry.free(occupied, profile)


@given(data=st.data(), key=st.sampled_from(BOARDS))
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_changes_keeps_the_rules(
    machines: dict[str, SimulatedMachine], data: st.DataObject, key: str
) -> None:
    machine = machines[key]
    clear(machine, key)

    for step in data.draw(sequences(key)):
        carry_out(machine, key, step)
        check(machine, key)


@given(data=st.data(), key=st.sampled_from(BOARDS))
@settings(max_examples=20, deadline=None)
def test_another_program_sees_the_same(
    machines: dict[str, SimulatedMachine], data: st.DataObject, key: str
) -> None:
    machine = machines[key]
    clear(machine, key)
    for step in data.draw(sequences(key)):
        carry_out(machine, key, step)

    other = SimulatedMachine(Path(machine.directory), key)

    def seen(by: SimulatedMachine) -> list[tuple[str, Placement]]:
        return [(name, at) for name, at, _ in instances(by, key)]

    assert seen(other) == seen(machine)
