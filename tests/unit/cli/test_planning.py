"""``plan`` and ``cost`` as a person and as a script reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import owned
from gpuslice.agent.node import Node, open_node
from machines import layout_of, make_slice, modes_of, record_owned, write_stack
from terminal import Shown, Terminal

PRICES = 'prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}'


def a_model(name: str, profile: str) -> str:
    return f'{name}: {{engine: command, slice: {profile}, command: ["my-server", "{{port}}"]}}'


@pytest.fixture
def shown(terminal: Terminal, tmp_path: Path) -> Shown:
    """The plan of two halves on an empty card, priced."""
    write_stack(tmp_path, a_model("chat", "3g.40gb"), a_model("coder", "3g.40gb"), more=PRICES)
    shown = terminal.type("plan")
    assert shown.status == 0, shown.err
    return shown


def row(text: str, start: str) -> list[str]:
    return next(re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if start in line)


def test_each_model_has_its_need_and_slice_and_why(shown: Shown) -> None:
    assert row(shown.out, "chat/0  ") == [
        "chat/0",
        "command",
        "3g.40gb, asked for by name",
        "3g.40gb",
        "0",
        "0:4",
        "40,192 MiB",
        "starts",
    ]


def test_the_picture_has_all_eight_memory_slices_and_a_legend(shown: Shown) -> None:
    assert "GPU 0  NVIDIA A100-SXM4-80GB  MIG off → on" in shown.out
    picture = next(line for line in shown.out.splitlines() if "+chat/0 3g.40gb" in line)
    assert picture.count("▕") == 2
    assert "+coder/0 3g.40gb" in picture
    assert "+ comes" in shown.out
    assert "! somebody else's" in shown.out


def test_every_step_stands_with_what_one_would_type(shown: Shown) -> None:
    assert row(shown.out, "1.  GPU 0") == [
        "1.",
        "GPU 0: enable MIG mode",
        "nvidia-smi -i 0 -mig 1",
    ]
    assert row(shown.out, "3.  GPU 0") == [
        "3.",
        "GPU 0: create 3g.40gb at 4:4 for coder/0",
        "nvidia-smi mig -i 0 -cgi 9:4 -C",
    ]


def test_the_cost_stands_under_the_plan(shown: Shown) -> None:
    assert row(shown.out, " chat  ")[2:6] == ["690.00", "690.00", "1,380.00", "690.00"]
    assert "Cards: 1,380.00 EUR a month" in shown.out


def test_every_screen_says_that_the_gpu_is_simulated(shown: Shown, terminal: Terminal) -> None:
    assert shown.out.startswith(" SIMULATED GPU  a100-80gb; servers and answers are real")
    for command in ("ps", "gpus", "profiles", "doctor", "cost"):
        assert "SIMULATED GPU" in terminal.type(command).out


def test_planning_changes_nothing(shown: Shown, node: Node) -> None:
    assert layout_of(node) == []
    assert modes_of(node) == [False]
    assert not node.machine.record_file.exists()


def test_a_change_is_drawn_now_and_then_with_every_sign(
    terminal: Terminal, node: Node, tmp_path: Path
) -> None:
    keep, goes = make_slice(node, "2g.20gb", 0), make_slice(node, "1g.10gb", 2)
    make_slice(node, "1g.10gb", 3)
    record_owned(node, owned(keep, "chat"), owned(goes, "old"))
    write_stack(tmp_path, a_model("chat", "2g.20gb"), a_model("coder", "3g.40gb"))

    shown = terminal.type("plan").out

    now = next(line for line in shown.splitlines() if line.strip().startswith("now"))
    then = next(line for line in shown.splitlines() if line.strip().startswith("then"))
    assert [sign for sign in "=-!+·" if sign in now] == ["=", "-", "!", "·"]
    assert [sign for sign in "=-!+·" if sign in then] == ["=", "!", "+", "·"]
    assert row(shown, "chat/0  ")[-1] == "stays"
    assert "GPU 0: destroy 1g.10gb at 2:1" in shown
    assert "nvidia-smi mig -i 0 -dci -gi" in shown


def test_a_plan_that_changes_nothing_says_so(
    terminal: Terminal, node: Node, tmp_path: Path
) -> None:
    record_owned(node, owned(make_slice(node, "2g.20gb", 0), "chat"))
    write_stack(tmp_path, a_model("chat", "2g.20gb"))
    shown = terminal.type("plan")
    assert "No slice and no mode has to change." in shown.out
    assert terminal.type("plan", "--json").json["changes"] is False


def test_json_has_demands_seats_steps_and_cost(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model("chat", "3g.40gb"), more=PRICES)
    found = terminal.type("plan", "--json").json
    assert found["simulated"] is True
    assert found["stack"] == "assistants"
    assert found["changes"] is True
    assert [d["profiles"] for d in found["demands"]] == [[{"profile": "3g.40gb", "board": ""}]]
    (seat,) = found["seats"]
    assert seat["replica"] == {"model": "chat", "replica": 0}
    assert seat["kept"] is None
    assert seat["created"]["profile"] == "3g.40gb"
    assert seat["created"]["placement"].keys() == {"start", "size"}
    assert found["steps"][0]["by_hand"] == "nvidia-smi -i 0 -mig 1"
    assert found["cost"]["models"][0]["per_month"] == "690.00"
    assert found["unplaced"] == []


def test_json_of_a_plan_without_room_names_who_is_left_and_ends_with_4(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_stack(tmp_path, a_model("chat", "7g.80gb"), a_model("coder", "1g.10gb"))
    shown = terminal.type("plan", "--json")
    assert shown.status == 4
    assert [u["replica"]["model"] for u in shown.json["unplaced"]] == ["coder"]


def test_cost_as_json_keeps_every_cent_as_text(terminal: Terminal, tmp_path: Path) -> None:
    write_stack(tmp_path, a_model("chat", "1g.10gb"), more=PRICES)
    found = terminal.type("cost", "--json").json
    assert found["simulated"] is True
    assert found["slices"] == [
        {
            "gpu": 0,
            "profile": "1g.10gb",
            "placement": "6:1",  # where it leaves most room for others
            "replica": "chat/0",
            "share": pytest.approx(1 / 7),
            "per_month": "197.14",
            "currency": "EUR",
        }
    ]
    assert found["totals"] == [
        {
            "currency": "EUR",
            "per_month": "1380.00",
            "unused_per_month": "1182.86",
            "own_cards_per_month": "1380.00",
        }
    ]
    assert "larger share" in found["rule"]


@pytest.mark.parametrize(("board", "slices"), [("a30", 4), ("rtx-pro-6000", 4), ("h200", 8)])
def test_boards_with_other_grids_are_drawn_with_their_own_numbers(
    terminal: Terminal, tmp_path: Path, board: str, slices: int
) -> None:
    write_stack(tmp_path, 'chat: {engine: command, memory: 4GiB, command: ["serve"]}')
    shown = terminal.type("plan", simulate=board)
    assert shown.status == 0, shown.err
    numbers = next(
        line.split() for line in shown.out.splitlines() if re.fullmatch(r"\s+0\s+1\s.*", line)
    )
    assert numbers[:slices] == [str(n) for n in range(slices)]


def test_the_proof_stands_in_one_line(shown: Shown, terminal: Terminal) -> None:
    assert "optimal: proved by looking at every layout" in shown.out
    certificate = terminal.type("plan", "--json").json["certificate"]
    assert certificate["optimal"] is True
    assert {o["gap"] for o in certificate["objectives"]} == {0}
    assert certificate["objectives"][0] == {
        "goal": "replicas served",
        "model": "",
        "priority": 0,
        "value": 2,
        "bound": 2,
        "gap": 0,
    }


def test_slice_prices_are_shown_only_when_asked_for(shown: Shown, terminal: Terminal) -> None:
    assert "One more slice" not in shown.out
    assert terminal.type("plan", "--json").json["slice_prices"] == []
    asked = terminal.type("plan", "--slice-prices").out
    assert row(asked, "2g.20gb")[-2:] == ["2g.20gb", "0.25"]
    prices = terminal.type("plan", "--slice-prices", "--json").json["slice_prices"]
    assert {"board": "NVIDIA A100-SXM4-80GB", "profile": "3g.40gb", "gpus": 0.5} in prices


@pytest.fixture
def half_empty(terminal: Terminal, tmp_path: Path) -> Node:
    """Two cards, each with one running server that would fit on the other's rest."""
    terminal.simulation = "a100-80gb:2"
    node = open_node(terminal.machine)
    runs = [make_slice(node, "3g.40gb", 0, gpu=gpu) for gpu in (0, 1)]
    record_owned(node, *(owned(slice_, "chat", n) for n, slice_ in enumerate(runs)))
    write_stack(tmp_path, a_model("chat", "3g.40gb, replicas: 2"))
    return node


def test_a_move_that_saves_a_gpu_is_shown_with_where_it_goes(
    half_empty: Node, terminal: Terminal
) -> None:
    shown = " ".join(terminal.type("plan").out.split())
    assert "Servers: 1 stays, 1 moves" in shown
    assert "its new slice is there before the old one goes" in shown
    assert "A server that moves answers until its new one is ready" in shown
    assert "In between nobody answers" not in shown
    steps = shown.partition("Steps")[2]
    assert steps.index("create 3g.40gb") < steps.index("let the old server of chat/")
    assert steps.index("let the old server of chat/") < steps.index("destroy 3g.40gb")
    assert "GPUs in use afterwards: 1." in shown


def test_with_no_moves_every_server_stays(half_empty: Node, terminal: Terminal) -> None:
    shown = terminal.type("plan", "--moves", "0")
    assert shown.status == 0, shown.err
    assert "Servers: 2 stay" in shown.out
    assert "GPUs in use afterwards: 2." in shown.out
    found = terminal.type("plan", "--moves", "0", "--json").json
    assert found["rules"]["most_moves"] == 0
    assert {server["fate"] for server in found["servers"]} == {"stays"}


def test_the_frontier_has_a_row_for_each_number_of_moves(
    half_empty: Node, terminal: Terminal
) -> None:
    shown = terminal.type("plan", "--frontier").out
    rows = [line.split() for line in shown.splitlines() if "--moves" in line]
    assert [row[:4] for row in rows] == [["1", "1", "--moves", "1"], ["2", "0", "--moves", "0"]]
    assert rows[0][-2:] == ["this", "plan"]
    points = terminal.type("plan", "--frontier", "--moves", "0", "--json").json["frontier"]
    assert [(p["gpus"], p["moves"], p["taken"]) for p in points] == [(1, 1, False), (2, 0, True)]
    assert "frontier" not in terminal.type("plan", "--json").json


@pytest.mark.parametrize("more", ["", "drain: [1]"])
def test_a_gpu_is_drained_by_the_file_or_by_an_option(
    half_empty: Node, terminal: Terminal, tmp_path: Path, more: str
) -> None:
    write_stack(tmp_path, a_model("chat", "3g.40gb, replicas: 2"), more=more)
    found = terminal.type("plan", "--json", *(() if more else ("--drain", "1"))).json
    gpus = half_empty.driver.read().gpus
    assert found["rules"]["drained"] == [gpus[1].uuid]
    seated = {(seat["kept"] or seat["created"])["gpu_uuid"] for seat in found["seats"]}
    assert seated == {gpus[0].uuid}


@pytest.mark.parametrize("name", ["7", "GPU-00000000-0000-0000-0000-000000000000", "first"])
def test_draining_what_is_no_gpu_lists_those_there_are(
    half_empty: Node, terminal: Terminal, name: str
) -> None:
    shown = terminal.type("plan", "--drain", name)
    assert shown.status == 4
    assert "[unknown-gpu]" in shown.error
    assert f"GPU {name}" in shown.error
    assert half_empty.driver.read().gpus[1].uuid in shown.error


@pytest.mark.parametrize("wrong", [("--moves", "-1"), ("--moves", "few"), ("--limit", "-1")])
def test_options_that_cannot_be_meant_are_wrong_usage(
    terminal: Terminal, wrong: tuple[str, str]
) -> None:
    assert terminal.type("plan", *wrong).status == 2


def test_a_plan_with_too_few_prices_is_shown_and_says_so(
    terminal: Terminal, tmp_path: Path
) -> None:
    prices = 'prices: {"NVIDIA A30": {per_hour: 0.4}}'
    write_stack(tmp_path, a_model("chat", "3g.40gb"), more=prices)
    shown = terminal.type("plan")
    assert shown.status == 0, shown.err
    assert "GPUs count as one each: no price for NVIDIA A100-SXM4-80GB" in shown.out
    assert terminal.type("cost").status == 4


def test_prices_make_the_plan_count_in_money(shown: Shown) -> None:
    assert "GPUs in use afterwards: 1 (1.89 EUR an hour)." in shown.out
