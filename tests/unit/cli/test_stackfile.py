"""``init`` writes a file that plans, and ``schema`` prints what may stand in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import the_small_model
from gpuslice.stack.load import load_stack
from terminal import Terminal


@pytest.mark.parametrize("board", ["a100-80gb", "a30", "h200", "rtx-pro-6000:2"])
def test_what_init_writes_is_a_stack_that_plans_on_the_gpus_found(
    terminal: Terminal, tmp_path: Path, board: str
) -> None:
    shown = terminal.type("init", "--gguf", str(the_small_model()), simulate=board)
    assert shown.status == 0, shown.err
    assert "gpuslice plan -f gpuslice.yaml" in shown.out
    assert load_stack(tmp_path / "gpuslice.yaml").stack.models
    assert terminal.type("plan", simulate=board).status == 0


def test_a_model_file_beside_the_stack_file_is_found_by_itself(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small.gguf").symlink_to(the_small_model())
    assert terminal.type("init").status == 0
    assert "models/small.gguf" in (tmp_path / "gpuslice.yaml").read_text()


def test_a_file_that_exists_is_overwritten_only_when_told_to(
    terminal: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "gpuslice.yaml"
    path.write_text("precious")
    refused = terminal.type("init")
    assert refused.status == 3
    assert "gpuslice.yaml exists already" in refused.error
    assert path.read_text() == "precious"
    assert terminal.type("init", "--force").status == 0
    assert path.read_text() != "precious"


def test_the_schema_is_json_that_names_every_key(terminal: Terminal) -> None:
    found = terminal.type("schema").json
    assert found["properties"].keys() == {
        "name",
        "gpus",
        "drain",
        "models",
        "runtime",
        "docker",
        "gateway",
        "hooks",
        "prices",
    }
