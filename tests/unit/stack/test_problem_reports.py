"""Every report that a user may see: one folder per case in tests/golden/stack_problems.

After a change of wording, write them anew with ``pytest tests/unit/stack --update-golden`` and read
the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import StackError
from gpuslice.stack.load import load_stack

CASES = sorted((Path(__file__).parents[2] / "golden" / "stack_problems").iterdir())


def report(file: Path) -> str:
    with pytest.raises(StackError) as caught:
        load_stack(file)
    return "\n".join(
        (caught.value.message, *caught.value.details, f"hint: {caught.value.hint}", "")
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_report_is_the_reviewed_one(
    case: Path, update_golden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    said = report(Path("input.yaml"))
    expected = case / "expected.txt"
    if update_golden:
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


def test_there_are_cases() -> None:
    assert len(CASES) >= 12
