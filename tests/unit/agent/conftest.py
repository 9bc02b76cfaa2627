"""Simulated machines in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.agent.node import Node
from machines import open_simulated


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A simulated A100 80GB, MIG off."""
    return open_simulated(tmp_path / "home")
