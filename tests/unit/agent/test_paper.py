"""GPUs of a fleet file, and those that may be added, as the planner sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.agent.paper import gpus_on_paper, prepare_on_paper
from gpuslice.agent.proposal import Prepared
from gpuslice.errors import StackError
from gpuslice.stack.fleet import load_fleet, parse_fleet
from gpuslice.stack.load import load_stack
from machines import write_stack

SERVED = "chat: {engine: command, command: [serve], slice: 7g.80gb, replicas: 3}"
FLEET = """
gpus: [{board: a100-80gb, price: {per_month: 1380}}]
may_add:
- {board: h100-80gb, count: 3, price: {per_month: 2190}}
- {board: a100-80gb, count: 4}
"""


def on_paper(folder: Path, fleet: str, more: str = "") -> Prepared:
    (folder / "fleet.yaml").write_text(fleet)
    loaded = load_stack(write_stack(folder, SERVED, more=more))
    return prepare_on_paper(loaded, load_fleet(folder / "fleet.yaml"))


def test_gpus_that_may_be_added_come_last_and_are_called_so() -> None:
    observed = gpus_on_paper(parse_fleet(FLEET.encode()))
    assert [(gpu.index, gpu.uuid) for gpu in observed.gpus][:3] == [
        (0, "GPU-on-paper-0"),
        (1, "GPU-to-add-1"),
        (2, "GPU-to-add-2"),
    ]
    assert len({gpu.uuid for gpu in observed.gpus}) == 8


def test_as_few_and_as_cheap_gpus_as_will_do_are_added(tmp_path: Path) -> None:
    made = on_paper(tmp_path, FLEET)
    assert len(made.rules.addable) == 7
    assert {seat.slice.gpu_uuid for seat in made.plan.seats} == {
        "GPU-on-paper-0",
        "GPU-to-add-4",
        "GPU-to-add-5",
    }


def test_a_choice_of_gpus_in_the_stack_file_leaves_those_that_may_be_added(tmp_path: Path) -> None:
    made = on_paper(tmp_path, FLEET, more="gpus: [0]")
    assert made.rules.gpus == made.rules.addable | {"GPU-on-paper-0"}
    assert made.plan.unplaced == ()


def test_prices_for_some_products_of_a_fleet_and_none_for_others_are_a_problem(
    tmp_path: Path,
) -> None:
    fleet = FLEET.replace(", price: {per_month: 2190}", "")
    with pytest.raises(StackError) as caught:
        on_paper(tmp_path, fleet)
    (line,) = caught.value.details
    assert ":4:3: may_add[0]: the NVIDIA H100 80GB HBM3 has no price" in line
    made = on_paper(tmp_path, fleet, more="prices: {H100 80GB HBM3: {per_hour: 3}}")
    assert made.rules.prices is not None
    assert dict(made.rules.prices.milli_per_hour) == {
        "NVIDIA A100-SXM4-80GB": 1890,
        "NVIDIA H100 80GB HBM3": 3000,
    }
