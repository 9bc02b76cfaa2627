"""Machines that the tests of the simulator drive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simulated import SimulatedMachine

MakeMachine = Callable[..., SimulatedMachine]


@pytest.fixture
def a_machine(tmp_path: Path) -> MakeMachine:
    """Makes an initialised machine; equal simulations within a test share one directory."""

    def make(simulation: str = "a100-80gb", *, mig: bool = True) -> SimulatedMachine:
        machine = SimulatedMachine(tmp_path / simulation.replace(":", "-"), simulation)
        machine.holds()
        if mig:
            machine.enable_mig()
        return machine

    return make


@pytest.fixture
def machine(a_machine: MakeMachine) -> SimulatedMachine:
    """One A100-SXM4-80GB with MIG on, and no process that names it."""
    return a_machine()
