"""The line that says how good a plan is known to be."""

from __future__ import annotations

import pytest
from rich.console import Console

from gpuslice.cli.render.proof import proof_json, proof_line, proof_view
from gpuslice.model.plan import Certificate, Goal, Method, Objective, Plan


def a_certificate(
    *objectives: Objective, method: Method = Method.HIGHS, note: str = ""
) -> Certificate:
    served = Objective(goal=Goal.SERVED, value=8, bound=8)
    return Certificate(method=method, objectives=(served, *objectives), note=note)


LIMIT = "the solver reached its limit of 60 s"
GPUS = Objective(goal=Goal.OCCUPIED, value=7, bound=5)
ROOM = Objective(goal=Goal.ROOM, value=70, bound=71)

LINES = [
    (a_certificate(method=Method.ENUMERATION), "optimal: proved by looking at every layout"),
    (a_certificate(), "optimal: proved by HiGHS"),
    (
        a_certificate(GPUS, ROOM, note=LIMIT),
        f"within 2 GPUs of the proven bound (GPUs not whole afterwards); {LIMIT}",
    ),
    (a_certificate(ROOM), "within 1 weighted memory slice of the proven bound"),
    (
        a_certificate(
            Objective(goal=Goal.OCCUPIED, value=7, bound=None),
            method=Method.GREEDY,
            note="the solver failed: Not Set",
        ),
        "gap unknown (GPUs not whole afterwards); placed greedily; the solver failed: Not Set",
    ),
    (
        a_certificate(Objective(goal=Goal.SERVED_OF_MODEL, model="chat", value=1, bound=4)),
        "within 3 replicas of the proven bound (replicas of a model served: chat)",
    ),
]


@pytest.mark.parametrize(("certificate", "line"), LINES)
def test_a_certificate_is_told_in_a_line(certificate: Certificate, line: str) -> None:
    assert proof_line(certificate).startswith(line)


def test_nothing_asked_for_shows_nothing() -> None:
    console = Console(record=True, width=100)
    console.print(proof_view(Plan(gpus=(), seats=()), prices=False))
    assert not console.export_text().strip()
    assert proof_json(Plan(gpus=(), seats=())) == {"certificate": None, "slice_prices": []}


def test_prices_that_could_not_be_computed_are_not_passed_over() -> None:
    console = Console(record=True, width=100)
    console.print(proof_view(Plan(gpus=(), seats=()), prices=True))
    assert "the solver did not finish" in console.export_text()
