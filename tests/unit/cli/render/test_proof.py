"""The line that says how good a plan is known to be."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from gpuslice.cli.render.proof import proof_json, proof_line, proof_view
from gpuslice.model.certificate import Certificate, Goal, Method, Objective
from gpuslice.model.plan import Plan


def a_certificate(*objectives: Objective, **more: Any) -> Certificate:
    served = Objective(goal=Goal.SERVED, priority=0, value=8, bound=8)
    more = {"method": Method.HIGHS, **more}
    return Certificate(objectives=(served, *objectives), **more)


LIMIT = "the solver reached its limit of 60 s"
GPUS = Objective(goal=Goal.COST, value=7, bound=5)
ROOM = Objective(goal=Goal.ROOM, value=70, bound=71)

LINES = [
    (a_certificate(method=Method.ENUMERATION), "optimal: proved by looking at every layout"),
    (a_certificate(), "optimal: proved by HiGHS"),
    (
        a_certificate(GPUS, ROOM, note=LIMIT),
        (
            "within 2 GPUs of the proven bound "
            f"(price of the GPUs that are not whole afterwards); {LIMIT}"
        ),
    ),
    (
        a_certificate(Objective(goal=Goal.COST, value=7, bound=7), ROOM),
        "most served at least cost is proved; after that, within 1 weighted memory slice of the",
    ),
    (a_certificate(ROOM), "within 1 weighted memory slice of the proven bound"),
    (
        a_certificate(
            Objective(goal=Goal.COST, value=7, bound=None),
            method=Method.GREEDY,
            note="the solver failed: Not Set",
        ),
        (
            "gap unknown (price of the GPUs that are not whole afterwards); placed greedily; "
            "the solver failed: Not Set"
        ),
    ),
    (
        a_certificate(Objective(goal=Goal.SERVED_OF_MODEL, model="chat", value=1, bound=4)),
        "within 3 replicas of the proven bound (replicas of a model served: chat)",
    ),
    (
        a_certificate(Objective(goal=Goal.COST, value=7890, bound=5990), currency="EUR"),
        "within 1.90 EUR an hour of the proven bound",
    ),
    (
        a_certificate(Objective(goal=Goal.ADDED, value=2, bound=1)),
        "within 1 GPU of the proven bound (price of the GPUs that have to be added)",
    ),
    (
        a_certificate(Objective(goal=Goal.MOVED, value=12, bound=10)),
        "within 2 of the proven bound (cost of the moves of running replicas)",
    ),
    (
        a_certificate(Objective(goal=Goal.SERVED, priority=5, value=1, bound=2)),
        "within 1 replica of the proven bound (replicas served: priority 5)",
    ),
]


@pytest.mark.parametrize(("certificate", "line"), LINES)
def test_a_certificate_is_told_in_a_line(certificate: Certificate, line: str) -> None:
    assert proof_line(certificate).startswith(line)


def test_every_goal_can_be_told() -> None:
    for goal in Goal:
        far = Objective(goal=goal, value=3, bound=1)
        assert proof_line(a_certificate(far)).startswith("within 2")


def test_json_has_every_goal_with_its_priority_and_the_currency() -> None:
    plan = Plan(gpus=(), seats=(), certificate=a_certificate(currency="EUR"))
    found = proof_json(plan)["certificate"]
    assert found["currency"] == "EUR"
    assert found["objectives"] == [
        {
            "goal": "replicas served",
            "model": "",
            "priority": 0,
            "value": 8,
            "bound": 8,
            "gap": 0,
        }
    ]


def test_nothing_asked_for_shows_nothing() -> None:
    console = Console(record=True, width=100)
    console.print(proof_view(Plan(gpus=(), seats=()), prices=False))
    assert not console.export_text().strip()
    assert proof_json(Plan(gpus=(), seats=())) == {"certificate": None, "slice_prices": []}


def test_prices_that_could_not_be_computed_are_not_passed_over() -> None:
    console = Console(record=True, width=100)
    console.print(proof_view(Plan(gpus=(), seats=()), prices=True))
    assert "the solver did not finish" in console.export_text()
