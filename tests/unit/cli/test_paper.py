"""``plan --fleet``: GPUs that are not there, few and many."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from machines import write_stack
from terminal import Shown, Terminal

PRICES = 'prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}'


def a_model(name: str, needs: str, replicas: int = 1) -> str:
    return f'{name}: {{engine: command, {needs}, replicas: {replicas}, command: ["serve"]}}'


def write_fleet(folder: Path, *entries: str) -> None:
    (folder / "fleet.yaml").write_text("gpus:\n" + "".join(f"- {{{e}}}\n" for e in entries))


@pytest.fixture
def bought(terminal: Terminal, tmp_path: Path) -> Shown:
    """What if we bought an H200 beside an A100, on a machine that has neither?"""
    write_stack(
        tmp_path,
        a_model("large", "memory: 60GiB"),
        a_model("chat", "slice: 3g.40gb", 2),
        more=PRICES,
    )
    write_fleet(tmp_path, "board: h200, price: {per_month: 2900}", "board: a100-80gb")
    return terminal.type("plan", "--fleet", "fleet.yaml", simulate="")


def test_a_fleet_is_planned_without_a_driver_or_a_simulation(bought: Shown) -> None:
    assert bought.status == 0, bought.err
    assert "PLANNED ON PAPER" in bought.out
    assert "SIMULATED" not in bought.out
    assert "GPU 0  NVIDIA H200  MIG off → on" in bought.out
    assert "GPU 1  NVIDIA A100-SXM4-80GB  MIG off → on" in bought.out


def test_prices_come_from_the_fleet_and_from_the_stack_file(bought: Shown) -> None:
    assert "Cards: 4,280.00 EUR a month" in bought.out


def test_nothing_is_recorded_of_a_plan_on_paper(bought: Shown, terminal: Terminal) -> None:
    assert bought.status == 0
    assert not terminal.home.exists()


def test_the_price_of_the_fleet_wins(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 3g.40gb"), more=PRICES)
    write_fleet(tmp_path, "board: a100-80gb, price: {per_month: 1000}")
    shown = terminal.type("plan", "--fleet", "fleet.yaml", "--json").json
    assert shown["on_paper"] is True
    assert shown["simulated"] is False
    assert shown["cost"]["totals"][0]["per_month"] == "1000.00"


def test_what_does_not_fit_the_fleet_ends_with_4(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 7g.80gb", 3))
    write_fleet(tmp_path, "board: a100-80gb, count: 2")
    shown = terminal.type("plan", "--fleet", "fleet.yaml", "--svg", "plan.svg")
    assert shown.status == 4
    assert "chat/2" in shown.error
    assert "1 without a slice" in (tmp_path / "plan.svg").read_text()


def test_the_stack_may_choose_among_the_gpus_of_the_fleet(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model("chat", "memory: 4GiB"), more="gpus: [1]")
    write_fleet(tmp_path, "board: a100-80gb", "board: a30")
    shown = terminal.type("plan", "--fleet", "fleet.yaml", "--json").json
    assert [gpu["gpu_uuid"] for gpu in shown["gpus"]] == ["GPU-on-paper-1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--fleet", "fleet.yaml", "--out", "plan.json"), "A fleet is on paper"),
        (("up", "--fleet", "fleet.yaml"), "cannot be brought up"),
    ],
)
def test_nothing_is_carried_out_on_paper(
    terminal: Terminal, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 3g.40gb"))
    write_fleet(tmp_path, "board: h200")
    shown = terminal.type(*arguments)
    assert shown.status == 2
    assert said in shown.error


def test_up_with_a_fleet_file_as_stack_file_says_where_it_belongs(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_fleet(tmp_path, "board: h200", "board: a30")
    shown = terminal.type("up", "-f", "fleet.yaml", "--yes")
    assert shown.status == 3
    assert shown.error.count("gpuslice plan --fleet") == 1


@pytest.fixture
def many(terminal: Terminal, tmp_path: Path) -> Shown:
    """A fleet of 40 GPUs, 27 of them used."""
    write_stack(
        tmp_path,
        a_model("chat", "slice: 3g.40gb", 50),
        a_model("small", "slice: 1g.6gb", 8),
        more=PRICES,
    )
    write_fleet(tmp_path, "board: a100-80gb, count: 30", "board: a30, count: 10")
    prices = 'prices: {"A100-SXM4-80GB": {per_month: 1380}, "A30": {per_month: 300}}'
    stack = tmp_path / "gpuslice.yaml"
    stack.write_text(stack.read_text().replace(PRICES, prices))
    return terminal.type("plan", "--fleet", "fleet.yaml", "--svg", "plan.svg")


def test_many_gpus_are_shown_by_layout(many: Shown) -> None:
    assert many.status == 0, many.err
    headings = [line for line in many.out.splitlines() if " × NVIDIA" in line]
    assert [" ".join(h.split()) for h in headings] == [
        "25 × NVIDIA A100-SXM4-80GB MIG off → on 50 come (GPU 0–24)",
        "5 × NVIDIA A100-SXM4-80GB MIG off no slices (GPU 25–29)",
        "2 × NVIDIA A30 MIG off → on 8 come (GPU 30–31)",
        "8 × NVIDIA A30 MIG off no slices (GPU 32–39)",
    ]
    assert many.out.count("+chat 3g.40gb") == 2


def test_many_seats_and_steps_are_added_up(many: Shown) -> None:
    rows = [line.split() for line in many.out.splitlines()]
    assert ["chat", "command", "3g.40gb,", "asked", "for", "by", "name"] in [r[:7] for r in rows]
    assert ["50", "50"] in [row[-2:] for row in rows]
    assert "Servers: 58 start" in many.out
    assert "enable MIG mode on 27 GPUs" in many.out
    assert "create 58 slices: 8 × 1g.6gb, 50 × 3g.40gb" in many.out
    assert "… and 55 more" in many.out
    assert many.out.count("nvidia-smi") == 6
    assert "Cards: 35,100.00 EUR a month" in many.out


def test_json_of_many_gpus_is_complete(many: Shown, terminal: Terminal) -> None:
    found = terminal.type("plan", "--fleet", "fleet.yaml", "--json").json
    assert len(found["gpus"]) == 40
    assert len(found["seats"]) == 58
    assert len(found["steps"]) == 27 + 58


def test_the_picture_of_many_gpus_is_by_layout_too(many: Shown, tmp_path: Path) -> None:
    root = ET.parse(tmp_path / "plan.svg").getroot()
    texts = ["".join(element.itertext()) for element in root.iter()]
    assert "25 × NVIDIA A100-SXM4-80GB · MIG off → on" in texts
    assert "Planned on paper: these GPUs are not there" in texts
    assert "comes or stays" in texts
    assert any(text.startswith("optimal: ") for text in texts)


@pytest.fixture
def growing(terminal: Terminal, tmp_path: Path) -> Shown:
    """Three whole cards are wanted, one is there."""
    write_stack(tmp_path, a_model("chat", "slice: 7g.80gb", 3), more=PRICES)
    text = "gpus: [{board: a100-80gb}]\nmay_add: [{board: a100-80gb, count: 6}]\n"
    (tmp_path / "fleet.yaml").write_text(text)
    return terminal.type("plan", "--fleet", "fleet.yaml", "--svg", "plan.svg")


def test_gpus_to_be_added_are_marked_counted_and_priced(growing: Shown, tmp_path: Path) -> None:
    assert growing.status == 0, growing.err
    assert "GPU 2  NVIDIA A100-SXM4-80GB  MIG off → on  to be added" in growing.out
    assert "To be added: 2 × NVIDIA A100-SXM4-80GB (3.78 EUR an hour)." in growing.out
    assert "not needed of those that may be added: 4 × NVIDIA A100-SXM4-80GB" in growing.out
    assert (tmp_path / "plan.svg").read_text().count(">to be added<") == 2


def test_json_says_which_gpus_may_be_added(growing: Shown, terminal: Terminal) -> None:
    found = terminal.type("plan", "--fleet", "fleet.yaml", "--json").json
    assert found["rules"]["addable"] == [f"GPU-to-add-{n}" for n in range(1, 7)]
    goals = {o["goal"]: o["value"] for o in found["certificate"]["objectives"]}
    assert goals["price of the GPUs that have to be added"] == 2 * 1890


def test_what_would_make_everything_fit_is_told(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 7g.80gb", 3), more=PRICES)
    write_fleet(tmp_path, "board: a100-80gb")
    shown = terminal.type("plan", "--fleet", "fleet.yaml")
    assert shown.status == 4
    said = "Everything would fit with 2 × NVIDIA A100-SXM4-80GB (3.78 EUR an hour) more."
    assert said in shown.out
    found = terminal.type("plan", "--fleet", "fleet.yaml", "--json").json
    assert found["addition"] == [{"board": "NVIDIA A100-SXM4-80GB", "count": 2}]


def test_a_product_without_a_price_is_a_problem_of_the_fleet_file(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 3g.40gb"), more=PRICES)
    write_fleet(tmp_path, "board: a100-80gb", "board: h200")
    shown = terminal.type("plan", "--fleet", "fleet.yaml")
    assert shown.status == 3
    assert "fleet.yaml:3:3: gpus[1]: the NVIDIA H200 has no price" in shown.error


def test_a_picture_in_a_folder_that_is_not_there_is_refused(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model("chat", "slice: 3g.40gb"))
    shown = terminal.type("plan", "--svg", "nowhere/plan.svg")
    assert shown.status == 1
    assert "[file-not-written]" in shown.error
