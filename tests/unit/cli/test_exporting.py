"""``export compose`` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from machines import write_stack
from terminal import Terminal

CHAT = "chat: {model: Qwen/Qwen2.5-0.5B-Instruct, engine: vllm, slice: 2g.20gb}"


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    write_stack(tmp_path, CHAT)


def test_the_file_is_written_and_the_way_out_told(terminal: Terminal, tmp_path: Path) -> None:
    shown = terminal.type("export", "compose")
    assert shown.status == 0, shown.err
    assert "Wrote docker-compose.yaml: 1 server and the gateway." in shown.out
    assert "gpuslice down, then docker compose -f docker-compose.yaml up -d" in shown.out
    assert "SIMULATED GPU" in shown.out
    assert "no Docker engine was asked" in shown.err
    read = yaml.safe_load((tmp_path / "docker-compose.yaml").read_text())
    assert list(read["services"]) == ["chat-0", "gateway"]


def test_on_the_terminal_there_is_the_file_and_nothing_else(
    terminal: Terminal, tmp_path: Path
) -> None:
    shown = terminal.type("export", "compose", "--out", "-")
    assert shown.status == 0, shown.err
    assert shown.out.startswith("# Stack assistants, written by gpuslice")
    assert yaml.safe_load(shown.out)["name"] == "assistants"
    assert not (tmp_path / "docker-compose.yaml").exists()


def test_a_file_that_exists_is_overwritten_only_when_told_to(
    terminal: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "docker-compose.yaml"
    path.write_text("precious")
    refused = terminal.type("export", "compose")
    assert refused.status == 1
    assert "docker-compose.yaml exists already" in refused.error
    assert "--force" in refused.error
    assert path.read_text() == "precious"
    assert terminal.type("export", "compose", "--force").status == 0
    assert path.read_text() != "precious"


def test_export_alone_says_what_can_be_exported(terminal: Terminal) -> None:
    assert "compose" in terminal.type("export", "--help").out
