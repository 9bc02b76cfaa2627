"""The public API: which names it has, and that importing the package stays cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gpuslice
from gpuslice.model.gpu import MigMode

PUBLIC = {
    "CostReport",
    "Demand",
    "Geometry",
    "Gpu",
    "GpusliceError",
    "NamedProfile",
    "Node",
    "Observed",
    "Placement",
    "Plan",
    "Prepared",
    "Profile",
    "Rules",
    "Slice",
    "Stack",
    "__version__",
    "board",
    "frontier",
    "load_stack",
    "machine_for",
    "open_node",
    "plan",
    "prepare",
    "price_plan",
    "size_model",
}
STACK = """
models:
  chat: {model: Qwen/Qwen3-4B, slice: 3g.40gb, replicas: 2}
prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}
"""


def test_the_public_names_are_these_and_no_more_than_25() -> None:
    assert set(gpuslice.__all__) == PUBLIC
    assert set(dir(gpuslice)) == PUBLIC
    assert len(PUBLIC) <= 25


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_every_public_name_is_documented_where_it_lives(name: str) -> None:
    found = getattr(gpuslice, name)

    assert found.__name__ == name
    assert inspect.getdoc(found)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serve'"):
        _ = gpuslice.serve


def test_importing_the_package_imports_none_of_its_rooms() -> None:
    program = "import sys, gpuslice; print([m for m in sys.modules if m.startswith('gpuslice.')])"

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "['gpuslice.version']"


def test_a_program_can_plan_and_price_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUSLICE_HOME", str(tmp_path / "home"))
    file = tmp_path / "gpuslice.yaml"
    file.write_text(STACK)

    node = gpuslice.open_node(gpuslice.machine_for("a100-80gb"))
    prepared = gpuslice.prepare(node, gpuslice.load_stack(file))
    report = gpuslice.price_plan(prepared)

    assert [str(seat.slice.placement) for seat in prepared.plan.seats] == ["0:4", "4:4"]
    assert [cost.per_month for cost in report.slices] == [690, 690]


def test_a_program_can_plan_without_a_stack_file() -> None:
    known = gpuslice.board("a100-80gb")
    gpu = gpuslice.Gpu(
        index=0,
        uuid="GPU-0",
        name=known.names[0],
        architecture=known.architecture,
        memory_mib=known.memory_mib,
        pci_bus_id="00000000:01:00.0",
        geometry=known.geometry,
    )
    machine = gpuslice.Observed(gpus=(gpu,), driver_version="580.159.04")
    wanted = gpuslice.Demand(model="chat", replicas=8, memory_mib=9000)

    made = gpuslice.plan(machine, [wanted], [])

    assert made.seats == ()  # MIG is None: this GPU cannot be sliced
    assert len(made.unplaced) == 8


def test_a_program_can_name_profiles_and_lay_down_rules() -> None:
    known = gpuslice.board("a100-80gb")
    gpus = tuple(
        gpuslice.Gpu(
            index=index,
            uuid=f"GPU-{index}",
            name=known.names[0],
            architecture=known.architecture,
            memory_mib=known.memory_mib,
            pci_bus_id="",
            mig=MigMode(current=True, pending=True),
            geometry=known.geometry,
        )
        for index in range(2)
    )
    machine = gpuslice.Observed(gpus=gpus, driver_version="")
    either = (gpuslice.NamedProfile(profile="3g.40gb"), gpuslice.NamedProfile(profile="4g.40gb"))
    wanted = gpuslice.Demand(model="chat", replicas=2, profiles=either)
    rules = gpuslice.Rules(drained=frozenset({"GPU-0"}))

    made = gpuslice.plan(machine, [wanted], [], rules)

    assert {seat.slice.gpu_uuid for seat in made.seats} == {"GPU-1"}
    assert [point.moves for point in gpuslice.frontier(machine, [wanted], [], rules)] == [0]
