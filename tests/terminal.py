"""The command line in the test's own process, and screens as plain text."""

from __future__ import annotations

import gc
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gpuslice.cli import console
from gpuslice.cli.main import main
from machines import a_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """What stands on standard error, as if the terminal never broke a line."""
        return " ".join(self.err.split())


class Terminal:
    """Types commands and reads what they show. Owned by its fixture.

    Attributes:
        home: GPUSLICE_HOME.
        simulation: What ``--simulate`` says where a test says nothing.
    """

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.simulation = "a100-80gb"
        self._capsys = capsys

    @property
    def machine(self) -> Any:
        return a_machine(self.home, self.simulation)

    def type(self, *arguments: str, simulate: str | None = None) -> Shown:
        """Run ``gpuslice`` with those arguments."""
        simulation = self.simulation if simulate is None else simulate
        thresholds = gc.get_threshold()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["gpuslice", *arguments])
            patch.setenv("GPUSLICE_SIMULATE", simulation)
            status = _status_of_main()
        gc.set_threshold(*thresholds)
        out, err = self._capsys.readouterr()
        return Shown(status=status, out=out, err=err)


def a_terminal(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    columns: int = 200,
) -> Terminal:
    """A terminal without colour, that wide, on a home of its own."""
    monkeypatch.setenv("GPUSLICE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    console.out.cache_clear()
    console.err.cache_clear()
    return Terminal(home, capsys)


def screen(view: RenderableType, *, columns: int = 160) -> str:
    """What a view looks like, without colour and trailing spaces."""
    terminal = Console(file=io.StringIO(), width=columns, color_system=None)
    terminal.print(view)
    assert isinstance(terminal.file, io.StringIO)
    return "\n".join(line.rstrip() for line in terminal.file.getvalue().splitlines())


def _status_of_main() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0
