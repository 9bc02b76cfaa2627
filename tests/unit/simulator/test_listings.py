"""The listings of a simulated machine are those recorded from real ones, to the letter.

Two recordings: everything one H100 80GB HBM3 (driver 580.159.04) printed with MIG off, and samples
of several public listings with MIG on. A simulated machine is brought into the state of each. Where
a sample shows rows of several cards or leaves rows out, the rows it shows are compared, in order,
and the rest of the table with its frame; each test says so.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gpuslice.hardware import board, load_boards
from gpuslice.simulator.compute_profiles import compute_geometry
from gpuslice.simulator.listings import Listing, listing
from gpuslice.simulator.machine import set_mirrored
from gpuslice.simulator.state import new_machine
from simulated import SimulatedMachine

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "nvidia_smi"
UUID = re.compile(r"(GPU|MIG)-[0-9a-f-]{36}")


def recorded(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text().rstrip("\n")


def a_machine_as_recorded(
    directory: Path, simulation: str, *, mirrored: bool = False
) -> SimulatedMachine:
    machine = SimulatedMachine(directory, simulation)
    machine.holds()
    set_mirrored(directory, 0, mirrored=mirrored)
    machine.enable_mig()
    return machine


def rows(table: str) -> list[str]:
    """The rows of a table, each with its second line, in order."""
    body = table.partition("=|\n")[2]
    return [row.strip("\n") for row in re.split(r"\+-+\+", body) if row.strip()]


def frame(table: str) -> str:
    """A table without its rows: everything down to the double rule."""
    return table.partition("=|\n")[0]


@pytest.mark.parametrize(
    "what",
    [
        Listing.GPU_INSTANCE_PROFILES,
        Listing.PLACEMENTS,
        Listing.GPU_INSTANCES,
        Listing.COMPUTE_INSTANCES,
        Listing.COMPUTE_INSTANCE_PROFILES,
    ],
)
def test_an_h100_with_mig_off_is_listed_as_the_real_one(what: Listing) -> None:
    assert listing(new_machine("h100-80gb"), what) == recorded(f"h100_mig_off/{what}")


def test_a_whole_h100_is_named_as_the_real_one() -> None:
    """Its UUID was left out of the recording."""
    shown = UUID.sub("GPU-UUID", listing(new_machine("h100-80gb"), Listing.DEVICES))

    assert shown == recorded("h100_mig_off/L")


def test_the_devices_of_an_h20_are_listed_as_recorded(tmp_path: Path) -> None:
    """All but the UUIDs of the MIG devices, which follow from a number burnt into that one card."""
    machine = a_machine_as_recorded(tmp_path, "h20-96gb", mirrored=False)
    machine.create_slice(9, 0)
    machine.create_slice(15, 4, compute=7)
    machine.create_slice(19, 6)
    state = machine.session.state
    gpu = replace(state.gpus[0], uuid="GPU-2f815c32-768d-d782-1073-db01d7b90215")
    wanted = recorded("samples/L")

    shown = listing(replace(state, gpus=(gpu,)), Listing.DEVICES)

    assert shown.splitlines()[0] == wanted.splitlines()[0]
    assert UUID.sub("UUID", shown) == UUID.sub("UUID", wanted)
    assert len(set(UUID.findall(shown))) == 2


@pytest.mark.parametrize(
    ("sample", "boards", "narrow"),
    [
        pytest.param("lgip_narrow", ("a100-40gb", "h100-80gb"), True, id="79 columns"),
        pytest.param("lgip_wide", ("h100-80gb",), False, id="81 columns"),
    ],
)
def test_profiles_are_listed_in_both_widths(
    sample: str, boards: tuple[str, ...], narrow: bool
) -> None:
    """The narrow sample has the first row of an A100 and the last of an H100, the wide one row."""
    wanted = recorded(f"samples/{sample}")
    shown = [
        listing(new_machine(key), Listing.GPU_INSTANCE_PROFILES, narrow=narrow) for key in boards
    ]

    assert {frame(table) for table in shown} == {frame(wanted)}
    found = [row for table in shown for row in rows(table) if row in rows(wanted)]
    assert found == rows(wanted)


@pytest.mark.parametrize("key", ["a100-40gb", "a100-80gb", "h100-80gb", "h200", "b200"])
def test_placements_of_every_board_with_seven_slices_are_the_recorded_ones(key: str) -> None:
    assert listing(new_machine(key), Listing.PLACEMENTS) == recorded("samples/lgipp")


def test_gpu_instances_are_listed_as_recorded(tmp_path: Path) -> None:
    """A mirrored A100: a 1g at 0 has id 11, a 3g at 4 has id 1."""
    machine = a_machine_as_recorded(tmp_path, "a100-40gb", mirrored=True)
    machine.create(9, 4)
    machine.create(19, 0)

    shown = listing(machine.session.state, Listing.GPU_INSTANCES, narrow=True)

    assert shown == recorded("samples/lgi")


def test_the_wider_table_of_gpu_instances_has_59_columns(tmp_path: Path) -> None:
    machine = a_machine_as_recorded(tmp_path, "a100-40gb")
    machine.create(9, 4)

    shown = listing(machine.session.state, Listing.GPU_INSTANCES)

    assert {len(line) for line in shown.splitlines()} == {59}


def test_compute_instances_are_listed_as_recorded(tmp_path: Path) -> None:
    """A mirrored A100: the 2g at 4 has id 3, the 4g at 0 has id 2."""
    machine = a_machine_as_recorded(tmp_path, "a100-40gb", mirrored=True)
    machine.create_slice(5, 0)
    half = machine.create(14, 4)
    at = machine.nvml.c_nvmlComputeInstancePlacement_t(start=0, size=1)
    machine.nvml.nvmlGpuInstanceCreateComputeInstanceWithPlacement(half, 0, ctypes.byref(at))

    shown = listing(machine.session.state, Listing.COMPUTE_INSTANCES)

    assert shown == recorded("samples/lci")


def test_compute_instance_profiles_are_listed_as_recorded(tmp_path: Path) -> None:
    """The sample leaves out the row between its two, for 2c.3g.20gb."""
    machine = a_machine_as_recorded(tmp_path, "a100-40gb", mirrored=True)
    machine.create(9, 4)
    wanted = recorded("samples/lcip")

    shown = listing(machine.session.state, Listing.COMPUTE_INSTANCE_PROFILES)

    assert frame(shown) == frame(wanted)
    first, left_out, last = rows(shown)
    assert [first, last] == rows(wanted)
    assert "2c.3g.20gb" in left_out


def test_free_counts_fall_as_instances_are_made(tmp_path: Path) -> None:
    machine = a_machine_as_recorded(tmp_path, "a100-40gb")
    _, ci = machine.create_slice(9, 4)
    profiles = listing(machine.session.state, Listing.GPU_INSTANCE_PROFILES)
    parts = listing(machine.session.state, Listing.COMPUTE_INSTANCE_PROFILES)
    machine.nvml.nvmlComputeInstanceDestroy(ci)
    without = listing(machine.session.state, Listing.COMPUTE_INSTANCE_PROFILES)

    assert re.findall(r"\d/\d", profiles) == ["4/7", "1/1", "2/4", "2/3", "1/2", "1/1", "0/1"]
    assert re.findall(r"\d/\d", parts) == ["0/3", "0/1", "0/1"]
    assert re.findall(r"\d/\d", without) == ["3/3", "1/1", "1/1"]


def test_a_gpu_with_mig_on_and_nothing_on_it_says_so(tmp_path: Path) -> None:
    state = a_machine_as_recorded(tmp_path, "a100-40gb").session.state

    assert listing(state, Listing.GPU_INSTANCES) == "No GPU instances found: Not Found"
    assert listing(state, Listing.COMPUTE_INSTANCES) == "No compute instances found: Not Found"


def line_with_long_name(line: str) -> bool:
    return any(len(name) > 15 for name in re.findall(r"MIG (\S+)", line))


@pytest.mark.parametrize("key", [board.key for board in load_boards() if board.has_mig])
def test_every_line_of_a_table_is_as_long_as_the_others(key: str, tmp_path: Path) -> None:
    """On every board, with each of its profiles made in turn.

    Where a part has a name longer than its column (``1c.2g.48gb+me.all``), what real tables do was
    not seen; here it pushes the line, as the format does in C.
    """
    machine = a_machine_as_recorded(tmp_path, key)
    for profile in board(key).geometry.profiles:
        gi = machine.create(profile.id)
        ci = machine.nvml.nvmlGpuInstanceCreateComputeInstance(
            gi, compute_geometry(key, profile.id).profiles[0].id
        )
        for what in set(Listing) - {Listing.DEVICES, Listing.PLACEMENTS}:
            shown = listing(machine.session.state, what)
            lines = [line for line in shown.splitlines() if not line_with_long_name(line)]
            assert len({len(line) for line in lines}) == 1, shown
        machine.nvml.nvmlComputeInstanceDestroy(ci)
        machine.nvml.nvmlGpuInstanceDestroy(gi)
