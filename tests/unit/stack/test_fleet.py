from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import StackError, StackNotFoundError
from gpuslice.stack.fleet import MAX_GPUS, load_fleet, parse_fleet


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty; write for instance: gpus: [{board: h200, count: 4}]"),
        ("[h200]", "1:1: a fleet file is a mapping with the key gpus, not a list"),
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
            "gpus: [{board: h200, count: 4096}, {board: a30}]",
            "1:36: gpus[1]: makes 4,097 GPUs; a fleet has at most 4,096",
        ),
        (
            "gpus:\n- {board: h200, price: {per_hour: 1}}\n- {board: h200, price: {per_hour: 2}}",
            "3:17: gpus[1].price: h200 has another price on line 2; a board has one price",
        ),
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
