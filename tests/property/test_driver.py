"""Whatever is asked of the driver in whatever order, it agrees with geometry and with itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.errors import InsufficientResourcesError
from property.strategies_driver import Create, Destroy, changes
from simulated_gpus import SimulatedGpus, simulated_gpus

BOARDS = ("a100-80gb", "a30", "rtx-pro-6000")


def carry_out(machine: SimulatedGpus, change: Create | Destroy) -> None:
    """Carry a change out and check it against what lay there before."""
    before = machine.gpu
    assert before.geometry is not None
    if isinstance(change, Destroy):
        if before.slices:
            goes = before.slices[change.which % len(before.slices)]
            machine.driver.destroy_slice(goes)
            assert machine.slices() == tuple(s for s in before.slices if s != goes)
        return
    planned = machine.planned(change.profile, change.placement.start)
    if before.geometry.allows(before.occupied, change.profile, change.placement):
        made = machine.driver.create_slice(planned)
        after = sorted((*before.slices, made), key=lambda s: s.placement)
        assert machine.slices() == tuple(after)
    else:
        with pytest.raises(InsufficientResourcesError):
            machine.driver.create_slice(planned)
        assert machine.slices() == before.slices


@given(data=st.data(), key=st.sampled_from(BOARDS))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_slice_is_made_exactly_where_the_geometry_has_room(data: st.DataObject, key: str) -> None:
    with TemporaryDirectory() as directory:
        machine = simulated_gpus(Path(directory), key)
        for change in data.draw(changes(key)):
            carry_out(machine, change)
