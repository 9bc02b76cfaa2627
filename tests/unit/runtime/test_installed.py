"""A program's release is read from beside it, and the program is never run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuslice.runtime.installed import installed_version, search_path, which


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with an engine that must not be run."""
    program = tmp_path / "venv" / "bin" / "vllm"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\ntouch "$0.was-run"\n')
    program.chmod(0o755)
    return tmp_path / "venv"


def install(environment: Path, version: str, folder: str = "lib/python3.12/site-packages") -> None:
    metadata = environment / folder / f"vllm-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


@pytest.mark.parametrize("library", ["lib/python3.12", "lib/python3", "lib64/python3.11"])
@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_release_is_read_from_the_metadata_beside_the_program(
    environment: Path, library: str, folder: str
) -> None:
    install(environment, "0.20.1", f"{library}/{folder}")
    program = environment / "bin" / "vllm"
    assert installed_version(str(program), package="vllm") == "0.20.1"
    assert not program.with_name("vllm.was-run").exists()


def test_a_link_leads_to_the_environment_of_the_program(environment: Path, tmp_path: Path) -> None:
    install(environment, "0.24.0")
    link = tmp_path / "somewhere" / "bin" / "vllm"
    link.parent.mkdir(parents=True)
    link.symlink_to(environment / "bin" / "vllm")
    assert installed_version(str(link), package="vllm") == "0.24.0"


def test_a_name_is_looked_for_in_path(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(environment, "0.24.0")
    monkeypatch.setenv("PATH", str(environment / "bin"))
    assert installed_version("vllm", package="vllm") == "0.24.0"


def test_release_is_unknown_where_pip_installed_nothing(environment: Path) -> None:
    assert installed_version(str(environment / "bin" / "vllm"), package="vllm") == ""
    assert installed_version("/nowhere/vllm", package="vllm") == ""


def test_metadata_without_a_version_tells_nothing(environment: Path) -> None:
    metadata = environment / "lib/python3.12/site-packages/vllm-0.9.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("")
    assert installed_version(str(environment / "bin" / "vllm"), package="vllm") == ""


def test_programs_beside_this_interpreter_are_found_behind_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert search_path() == f"/nowhere:{Path(sys.executable).parent}"
    assert which(Path(sys.executable).name) is not None
    assert which("no-such-program") is None
