"""Any state of a simulated machine, written to a file and asked for again, is that state."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuslice.agent.checkpoint import (
    checkpoint_of,
    checkpoint_text,
    layout_text,
    read_checkpoint,
    wishes_for,
)
from gpuslice.agent.wishes import wishes_of
from gpuslice.hardware import board
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import PlannedSlice
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, EnableMig, steps
from gpuslice.planner.partition.plan import plan_partition
from gpuslice.planner.partition.wish import Claims, devices_on
from gpuslice.stack.mig_parted import parse_mig_config
from simulated_gpus import SimulatedGpus, simulated_gpus

BOARDS = ("a100-80gb", "h100-80gb", "h200", "b200", "a30", "rtx-pro-6000", "l4")


@st.composite
def states(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[tuple[PlannedSlice, ...] | None, ...]]:
    """Boards, and for each what lies on it; None where MIG is off or is not there at all."""
    keys = tuple(draw(st.lists(st.sampled_from(BOARDS), min_size=1, max_size=3)))
    return keys, tuple(draw(_layouts(board(key).geometry)) for key in keys)


@st.composite
def _layouts(draw: st.DrawFn, geometry: Geometry) -> tuple[PlannedSlice, ...] | None:
    if not geometry.profiles or not draw(st.booleans(), label="MIG is on"):
        return None
    places = [(p, at) for p in geometry.profiles for at in p.placements]
    found: list[PlannedSlice] = []
    for profile, at in draw(st.lists(st.sampled_from(places), max_size=5)):
        if geometry.allows([(s.profile, s.placement) for s in found], profile.name, at):
            parts: tuple[int, ...] = ()
            if profile.compute_slices > 1 and draw(st.booleans(), label="several instances"):
                twos = draw(st.integers(0, (profile.compute_slices - 1) // 2))
                ones = draw(st.integers(not twos, profile.compute_slices - 2 * twos))
                parts = (2,) * twos + (1,) * ones
            found.append(
                PlannedSlice(
                    gpu_uuid="",
                    placement=at,
                    profile=profile.name,
                    profile_id=profile.id,
                    memory_mib=profile.memory_mib,
                    parts=parts,
                )
            )
    return tuple(found)


def build(
    folder: str, keys: tuple[str, ...], layouts: tuple[tuple[PlannedSlice, ...] | None, ...]
) -> SimulatedGpus:
    machine = simulated_gpus(Path(folder), ",".join(keys), mig=False)
    for gpu, layout in zip(machine.driver.read().gpus, layouts, strict=True):
        if layout is not None:
            machine.driver.set_mig_mode(gpu.uuid, enabled=True)
        for planned in layout or ():
            fields = {name: getattr(planned, name) for name in PlannedSlice.__slots__}
            machine.driver.create_slice(PlannedSlice(**fields | {"gpu_uuid": gpu.uuid}))
    return machine


def ruin(machine: SimulatedGpus, draw: st.DataObject) -> None:
    """Destroy some slices, and switch some modes the other way."""
    for gpu in machine.driver.read().gpus:
        for slice_ in gpu.slices:
            if draw.draw(st.booleans(), label=f"{slice_.profile} at {slice_.placement} goes"):
                machine.driver.destroy_slice(slice_)
        now = machine.driver.read().gpu(gpu.uuid)
        if gpu.mig is not None and not now.slices and draw.draw(st.booleans(), label="mode"):
            machine.driver.set_mig_mode(gpu.uuid, enabled=not gpu.mig.current)


def exactly(observed: Observed) -> list[object]:
    """Modes, and every slice with its place and its compute instances."""
    return [
        (
            gpu.mig is not None and gpu.mig.current,
            sorted(
                (s.profile, s.placement, sorted(p.compute_slices for p in s.parts))
                for s in gpu.slices
            ),
        )
        for gpu in observed.gpus
    ]


@given(state=states())
@settings(max_examples=40, derandomize=True)
def test_an_exported_layout_is_what_is_there(
    state: tuple[tuple[str, ...], tuple[tuple[PlannedSlice, ...] | None, ...]],
) -> None:
    with TemporaryDirectory() as folder:
        observed = build(folder, *state).driver.read()

        config = parse_mig_config(layout_text(observed, "now").encode())
        found = wishes_of(config, observed)

        assert len(found.wishes) == len(observed.gpus)
        assert found.notes == ()
        assert not plan_partition(observed, found.wishes, Claims()).changes


@given(state=states(), data=st.data())
@settings(max_examples=25, derandomize=True)
def test_what_was_written_down_comes_back_place_by_place(
    state: tuple[tuple[str, ...], tuple[tuple[PlannedSlice, ...] | None, ...]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        machine = build(f"{folder}/gpus", *state)
        before = machine.driver.read()
        path = Path(folder, "saved.json")
        path.write_text(checkpoint_text(checkpoint_of(before)))
        layout = parse_mig_config(layout_text(before, "now").encode())
        ruin(machine, data)

        carry_out(machine, wishes_for(read_checkpoint(path), machine.driver.read()))
        assert exactly(machine.driver.read()) == exactly(before)

        ruin(machine, data)
        carry_out(machine, wishes_of(layout, machine.driver.read()).wishes)
        after = machine.driver.read()
        assert [devices_on(g) for g in after.gpus] == [devices_on(g) for g in before.gpus]


def carry_out(machine: SimulatedGpus, wishes: object) -> None:
    """Do the steps of the least change, as the agent would."""
    assert isinstance(wishes, tuple)
    driver = machine.driver
    for step in steps(plan_partition(driver.read(), wishes, Claims())):
        match step:
            case EnableMig(gpu_uuid=uuid):
                driver.set_mig_mode(uuid, enabled=True)
            case DisableMig(gpu_uuid=uuid):
                driver.set_mig_mode(uuid, enabled=False)
            case DestroySlice(slice=slice_):
                driver.destroy_slice(slice_)
            case CreateSlice(planned=planned):
                driver.create_slice(planned)
