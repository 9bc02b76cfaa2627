"""A plan as JSON is complete and in a fixed order; notes and counts beside tables and pictures."""

from __future__ import annotations

import json

from gpuslice.cli.render.drawing import picture_of
from gpuslice.cli.render.plan import plan_json, plan_view
from gpuslice.model.demand import Prices, Rules
from gpuslice.model.plan import Addition
from proposals import a_planned, a_proposal, on_new_slices
from terminal import screen

RULES = Rules(
    gpus=frozenset({"GPU-2", "GPU-0", "GPU-1"}),
    drained=frozenset({"GPU-9"}),
    prices=Prices(currency="EUR", milli_per_hour=(("NVIDIA A30", 411),)),
    most_moves=3,
)


def test_json_has_rules_servers_and_addition() -> None:
    plan = on_new_slices(a_planned(), addition=(Addition(board="NVIDIA A30", count=2),))
    found = json.loads(json.dumps(plan_json(a_proposal(plan, rules=RULES, notes=("so it is",)))))
    assert found["rules"] == {
        "gpus": ["GPU-0", "GPU-1", "GPU-2"],
        "drained": ["GPU-9"],
        "addable": [],
        "prices": {"currency": "EUR", "milli_per_hour": [["NVIDIA A30", 411]]},
        "most_moves": 3,
    }
    (server,) = found["servers"]
    assert server == {
        "replica": {"model": "chat", "replica": 0},
        "fate": "starts",
        "origin": None,
        "pause": False,
    }
    assert found["addition"] == [{"board": "NVIDIA A30", "count": 2}]
    assert found["notes"] == ["so it is"]


def test_notes_of_how_it_was_planned_are_shown_first() -> None:
    note = "GPUs count as one each: no price for NVIDIA A30"
    shown = screen(plan_view(a_proposal(on_new_slices(a_planned()), notes=(note,))))
    assert shown.splitlines()[:2] == ["Plan for stack assistants", note]


def test_the_picture_counts_servers_and_only_the_gpus_that_are_drawn() -> None:
    plan = on_new_slices(a_planned())
    picture = picture_of(a_proposal(plan), None)
    assert "Servers: 1 starts" in picture.notes
    assert picture.lines[0] == "1 × NVIDIA A100-SXM4-80GB; 1 used by this stack"
