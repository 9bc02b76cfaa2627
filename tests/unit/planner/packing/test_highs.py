"""The solver as the room wants it: silent, within its limit, and left when it overruns."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import highspy
import pytest

from gpuslice.planner.packing import highs
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import OverrunError, run_within, silent_solver
from gpuslice.planner.packing.solver import IntegerProgram


class Endless:
    """A solver that does not look at its limit until it is let go."""

    def __init__(self, searches_only: bool) -> None:
        self.let_go = threading.Event()
        self.left: list[highspy.Highs] = []
        self._searches_only = searches_only

    def __call__(self, solver: highspy.Highs) -> None:
        if self._searches_only and not len(solver.getLp().integrality_):
            solver.run()
            return
        self.left.append(solver)
        assert self.let_go.wait(60)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highs, "_LEAST_GRACE_S", 0.01)


@pytest.fixture(params=[True, False], ids=["searches", "all"])
def endless(request: pytest.FixtureRequest) -> Iterator[Endless]:
    solver = Endless(searches_only=request.param)
    yield solver
    solver.let_go.set()


def a_solver() -> highspy.Highs:
    solver = silent_solver()
    solver.addVar(2.0, 9.0)
    solver.changeColCost(0, 1.0)
    return solver


def test_a_solver_runs_and_tells_what_it_took() -> None:
    solver = a_solver()
    assert run_within(solver, 60.0) >= 0
    assert solver.getInfo().objective_function_value == 2


def test_what_a_run_raises_is_raised() -> None:
    def broken(_: highspy.Highs) -> None:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        run_within(a_solver(), 60.0, broken)


@pytest.mark.usefixtures("impatient")
def test_a_solver_that_overruns_is_left() -> None:
    endless = Endless(searches_only=False)
    with pytest.raises(OverrunError, match=r"its limit of 0\.01 s"):
        run_within(a_solver(), 0.01, endless)
    endless.let_go.set()


@pytest.mark.usefixtures("impatient")
def test_a_program_whose_solver_overruns_keeps_what_it_knows(endless: Endless) -> None:
    program = IntegerProgram([9, 9], [(3, {0: 2, 1: 1}, 3)], (0, 3), endless)
    allowance = Allowance(limit_s=0.05)
    bound = program.minimise({0: 1, 1: 10}, allowance)
    assert program.values == (0, 3)
    assert bound is not None
    assert bound <= 11, "the optimum"
    assert program.trouble == "the solver reached its limit of 0.05 s"
    assert allowance.left_s == 0
    asked = len(endless.left)
    program.require(None, {0: 1}, 5)
    program.minimise({0: 1}, Allowance(limit_s=0.05))
    if program.failed:
        assert len(endless.left) == asked, "a solver that was left is not touched"


@pytest.mark.usefixtures("impatient")
def test_a_solver_that_was_left_is_known_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[threading.Event] = []
    waits: list[object] = []
    monkeypatch.setattr(highs, "_left", left)
    monkeypatch.setattr("atexit.register", waits.append)
    endless = Endless(searches_only=False)
    with pytest.raises(OverrunError):
        run_within(a_solver(), 0.01, endless)
    assert highs.still_running()
    endless.let_go.set()
    (wait,) = waits
    assert callable(wait)
    wait()
    assert not highs.still_running()


def test_ctrl_c_leaves_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[threading.Event] = []
    monkeypatch.setattr(highs, "_left", left)
    monkeypatch.setattr("atexit.register", lambda _: None)

    endless = Endless(searches_only=False)

    def interrupted(solver: highspy.Highs) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        endless(solver)

    with pytest.raises(KeyboardInterrupt):
        run_within(a_solver(), 60.0, interrupted)
    assert highs.still_running()
    endless.let_go.set()
    assert left[0].wait(60)
