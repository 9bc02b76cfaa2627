"""A failure that lasts is told once, and so is its end."""

from __future__ import annotations

import logging

import pytest

from gpuslice.agent.complaints import Complaints
from gpuslice.errors import ContainerError, DockerUnavailableError, GpusliceError

DOWN = DockerUnavailableError("The engine does not run.", hint="start it")
FULL = ContainerError("The disk is full.")


def told(caplog: pytest.LogCaptureFixture, *rounds: tuple[GpusliceError, ...]) -> list[str]:
    """What a log is told of a number of rounds."""
    complaints = Complaints(logging.getLogger("rounds"), end="well again")
    with caplog.at_level(logging.INFO, "rounds"):
        for errors in rounds:
            complaints.tell(errors)
    return [record.getMessage() for record in caplog.records]


def test_what_goes_on_failing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    once = told(caplog, (), (DOWN,), (DOWN, DOWN), (DOWN,))
    assert once == ["docker-unavailable: The engine does not run. (start it)"]


def test_its_end_is_told_and_its_coming_back(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, (DOWN,), (), (), (DOWN,))
    assert lines[1:] == ["well again", lines[0]]


def test_something_new_is_told_beside_what_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, (DOWN,), (DOWN, FULL), (FULL,))
    assert lines[1:] == ["container-refused: The disk is full."]
