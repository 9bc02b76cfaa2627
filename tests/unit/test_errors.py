"""Every error has a code and a place in the documentation, and no other is documented."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from documents import ROOT, rows
from gpuslice import errors
from gpuslice.cli.app import app
from gpuslice.errors import GpusliceError

CLASSES = tuple(
    found
    for found in vars(errors).values()
    if inspect.isclass(found) and issubclass(found, GpusliceError)
)
TABLE = [row for row in rows(ROOT / "docs" / "errors.md") if len(row) == 4]
STATUSES = {row[0] for row in rows(ROOT / "docs" / "errors.md", heading="Exit statuses")}


def test_no_two_errors_share_a_code() -> None:
    codes = Counter(error.code for error in CLASSES)

    assert [code for code, count in codes.items() if count > 1] == []


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_says_what_it_is_and_how_the_command_exits(error: type[GpusliceError]) -> None:
    assert "code" in vars(error), "a code of its own, not its family's"
    assert error.code == error.code.lower().replace("_", "-").strip("-")
    assert 1 <= error.exit_status <= 130
    assert inspect.getdoc(error) != inspect.getdoc(error.__base__)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_is_documented_with_its_exit_status(error: type[GpusliceError]) -> None:
    documented = [row for row in TABLE if row[0] == f"`{error.code}`"]

    assert len(documented) == 1, f"docs/errors.md has to have one row for {error.code}"
    [[_, status, when, what_to_do]] = documented
    assert status == str(error.exit_status)
    assert when
    assert what_to_do


def test_no_code_is_documented_that_does_not_exist() -> None:
    assert {row[0].strip("`") for row in TABLE} == {error.code for error in CLASSES}


def test_every_exit_status_is_explained_in_the_documentation() -> None:
    assert {str(error.exit_status) for error in CLASSES} <= STATUSES


def test_every_exit_status_is_named_in_the_help() -> None:
    epilog = str(app.info.epilog)
    named = {part.split()[0] for part in epilog.removeprefix("Exit status: ").split("·")}

    assert {str(error.exit_status) for error in CLASSES} <= named


def test_an_error_carries_what_it_was_given() -> None:
    error = errors.NoRoomError("2 of 5 find no slice.", hint="Ask for less.", details=("chat/3",))

    assert (str(error), error.hint, error.details) == (
        "2 of 5 find no slice.",
        "Ask for less.",
        ("chat/3",),
    )
