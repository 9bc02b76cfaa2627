"""How the command line ends beside a solver that was left."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import NoReturn

import pytest

from gpuslice.cli import main

HIGHS = "gpuslice.planner.packing.highs"


class EndedError(Exception):
    """Stands for the end of the process; says with which status."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> NoReturn:
        raise EndedError(status)

    monkeypatch.setattr(os, "_exit", end)


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (None, 0),
        (SystemExit(None), 0),
        (SystemExit(0), 0),
        (SystemExit(4), 4),
        (SystemExit("words"), 1),
        (RuntimeError("a bug"), 1),
    ],
)
def test_a_solver_that_was_left_is_not_waited_for(
    ending: BaseException | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, HIGHS, SimpleNamespace(still_running=lambda: True))
    with pytest.raises(EndedError) as found:
        main._end_beside_a_solver(ending)
    assert found.value.args == (status,)


@pytest.mark.usefixtures("ended")
def test_otherwise_the_interpreter_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HIGHS, SimpleNamespace(still_running=lambda: False))
    main._end_beside_a_solver(SystemExit(4))
    monkeypatch.delitem(sys.modules, HIGHS)
    main._end_beside_a_solver(SystemExit(4))
