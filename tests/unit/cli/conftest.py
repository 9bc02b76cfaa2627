"""A terminal on a simulated A100 80GB, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.agent.node import Node, open_node
from terminal import Terminal, a_terminal


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return a_terminal(tmp_path / "home", capsys, monkeypatch)


@pytest.fixture
def node(terminal: Terminal) -> Node:
    """The machine the terminal is on."""
    return open_node(terminal.machine)
