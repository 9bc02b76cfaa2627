from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import StackError, StackNotFoundError
from gpuslice.stack.fleet import check_prices, load_fleet, parse_fleet
from gpuslice.stack.fleet_rules import MAX_GPUS


def problems(text: str) -> list[str]:
    """What is wrong, without the file's name."""
    with pytest.raises(StackError) as caught:
        parse_fleet(text.encode())
    return [line.removeprefix("fleet.yaml:") for line in caught.value.details]


def test_boards_stand_in_the_order_of_the_file_with_their_number() -> None:
    fleet = parse_fleet(b"gpus: [{board: h200, count: 2}, {board: a100-80gb}]")
    assert [board.key for board in fleet.boards] == ["h200", "h200", "a100-80gb"]


def test_a_board_may_be_called_by_any_of_its_keys() -> None:
    assert parse_fleet(b"gpus: [{board: A100}]").gpus[0].board == "a100-80gb"


def test_a_price_is_that_of_the_product() -> None:
    fleet = parse_fleet(b"gpus: [{board: h200, price: {per_month: 2900, currency: USD}}]")
    price = fleet.prices["NVIDIA H200"]
    assert (price.per_month, price.currency) == (2900, "USD")


def test_the_largest_fleet_may_be_made_of_several_entries() -> None:
    half = MAX_GPUS // 2
    text = f"gpus: [{{board: h200, count: {half}}}, {{board: a30, count: {half}}}]"
    assert len(parse_fleet(text.encode()).boards) == MAX_GPUS


def test_gpus_that_may_be_added_are_a_list_of_their_own() -> None:
    text = b"gpus: [{board: a30}]\nmay_add: [{board: h200, count: 2, price: {per_hour: 4}}]"
    fleet = parse_fleet(text)
    assert [board.key for board in fleet.boards] == ["a30"]
    assert [board.key for board in fleet.addable_boards] == ["h200", "h200"]
    assert fleet.prices["NVIDIA H200"].per_hour == 4


@pytest.mark.parametrize("gpus", ["", "gpus: []\n"])
def test_a_fleet_may_be_empty_where_gpus_may_be_added(gpus: str) -> None:
    assert parse_fleet(f"{gpus}may_add: [{{board: h200}}]".encode()).boards == ()


def test_a_product_without_a_price_beside_others_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("gpus:\n- {board: a30}\n- {board: h200}\nmay_add:\n- {board: a30}\n")
    loaded = load_fleet(path)
    with pytest.raises(StackError) as caught:
        check_prices(loaded, ["NVIDIA A30"])
    (line,) = caught.value.details
    assert line.startswith(f"{path}:2:3: gpus[0]: the NVIDIA A30 has no price")
    check_prices(loaded, [])
    check_prices(loaded, ["NVIDIA A30", "NVIDIA H200"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty; write for instance: gpus: [{board: h200, count: 4}]"),
        ("[h200]", "1:1: a fleet file is a mapping with the keys gpus and may_add, not a list"),
        ("name: x", "1:1: gpus: is missing; a fleet is like gpus: [{board: h200, count: 4}]"),
        ("gpus: []", "1:1: gpus: is empty; a fleet is like gpus: [{board: h200, count: 4}]"),
        ("gpus: 3", "1:7: gpus: must be a list, such as [{board: h200, count: 4}], not 3"),
        (
            "gpus: [{board: h300}]",
            "1:16: gpus[0].board: no board is called 'h300'; did you mean 'h200'?",
        ),
        ("gpus: [{board: t4}]", "1:16: gpus[0].board: the Tesla T4 cannot be sliced (no MIG)"),
        ("gpus: [{bord: h200}]", "1:9: gpus[0].bord: unknown key; did you mean 'board'?"),
        ("gpus: [{board: h200, count: 0}]", "1:29: gpus[0].count: must be at least 1, not 0"),
        (
            "gpus: [{board: h200, replicas: 2}]",
            "1:22: gpus[0].replicas: unknown key; did you mean 'count'?",
        ),
        (
            "gpus: [{board: h200, per_month: 2}]",
            "1:22: gpus[0].per_month: unknown key here; it belongs below gpus[…].price",
        ),
        (
            "gpus: [{board: h200, price: {currency: EUR}}]",
            "1:22: gpus[0].price: has no amount; write per_month or per_hour",
        ),
        (
            "gpus: [{board: h200, count: 16384}]\nmay_add: [{board: a30}]",
            "2:11: may_add[0]: makes 16,385 GPUs; a fleet has at most 16,384",
        ),
        (
            "gpus:\n- {board: h200, price: {per_hour: 1}}\n- {board: h200, price: {per_hour: 2}}",
            "3:17: gpus[1].price: h200 has another price on line 2; a board has one price",
        ),
        (
            (
                "gpus: [{board: a30, price: {per_hour: 1}}]\n"
                "may_add:\n- {board: a30, price: {per_hour: 2}}"
            ),
            "3:16: may_add[0].price: a30 has another price on line 1; a board has one price",
        ),
        ("may_add: [{bord: h200}]", "1:12: may_add[0].bord: unknown key; did you mean 'board'?"),
        (
            "gpus: [{board: h200}]\nmay_add: 3",
            "2:10: may_add: must be a list, such as [{board: h200, count: 4}], not 3",
        ),
        ("gpus: [{board: h200}]\nadd: []", "2:1: add: unknown key; did you mean 'may_add'?"),
        ("may_add: []", "1:1: gpus: is missing; a fleet is like gpus: [{board: h200, count: 4}]"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_would_be_right(text: str, said: str) -> None:
    assert said in problems(text)


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = "gpus:\n- {board: h300}\n- {board: h200, count: no}\nmodels: {}\n"
    assert [line.partition(":")[0] for line in problems(text)] == ["2", "3", "4"]


def test_a_file_that_is_not_there_is_no_stack_file_but_a_fleet_file(tmp_path: Path) -> None:
    with pytest.raises(StackNotFoundError, match="no fleet file"):
        load_fleet(tmp_path / "fleet.yaml")


def test_a_loaded_fleet_knows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("gpus: [{board: a30, count: 3}]")
    loaded = load_fleet(path)
    assert (loaded.path, len(loaded.fleet.boards)) == (path, 3)
