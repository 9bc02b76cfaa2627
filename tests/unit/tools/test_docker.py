"""Where no engine can run, that is said: by name in the error, and loudly at the end of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools import docker_programs
from tools.docker_engine import HOST_VARIABLE, engine_host, main
from tools.docker_leftovers import create_folder, remove_abandoned
from tools.docker_programs import NoEngineError, ensure_programs

ROOT = Path(__file__).parents[3]
NEEDS_ENGINE = "tests/containers/test_images.py::test_last_words_and_status_are_kept"
NEEDS_NONE = "tests/unit/test_private_files.py"


def run_pytest(*arguments: str, required: str = "") -> subprocess.CompletedProcess[str]:
    """Run the tests named where the engine named does not answer."""
    own = {HOST_VARIABLE: "unix:///nowhere/engine.sock", "GPUSLICE_REQUIRE_DOCKER": required}
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments),
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_docker_tests_that_did_not_run_are_told_at_the_end() -> None:
    done = run_pytest(NEEDS_ENGINE)
    assert done.returncode == 0, done.stdout
    told = "1 DOCKER TESTS DID NOT RUN: no Docker engine: nothing answers at unix:///nowhere"
    assert told in done.stdout


@pytest.mark.slow
def test_docker_tests_that_must_run_fail_instead() -> None:
    done = run_pytest(NEEDS_ENGINE, required="1")
    assert done.returncode == 1
    assert "no Docker engine: nothing answers at unix:///nowhere" in done.stdout


@pytest.mark.slow
def test_docker_tests_that_nobody_asked_for_are_left_out_and_told() -> None:
    done = run_pytest("--collect-only", NEEDS_ENGINE, NEEDS_NONE)
    assert done.returncode == 0, done.stdout
    assert "test_last_words" not in done.stdout
    assert "1 Docker tests were left out; make test-docker runs them" in done.stdout


@pytest.mark.slow
def test_docker_tests_that_were_asked_for_are_not_left_out() -> None:
    done = run_pytest("--collect-only", "-m", "docker", NEEDS_ENGINE, NEEDS_NONE)
    assert "test_last_words" in done.stdout
    assert "left out" not in done.stdout


def test_command_without_an_engine_says_why_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "unix:///nowhere/engine.sock")
    assert main(["run", "--", sys.executable, "-c", "print('ran')"]) == 1
    told = capfd.readouterr()
    assert "no Docker engine: nothing answers at unix:///nowhere/engine.sock" in told.err
    assert told.out == ""


def test_engine_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "tcp://192.0.2.1:2375")
    with pytest.raises(NoEngineError, match="not an engine of this machine"), engine_host():
        pass


def test_others_than_root_are_told_what_they_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoEngineError, match=HOST_VARIABLE):
        ensure_programs()


def test_missing_programs_are_named_where_nothing_can_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(docker_programs, "_SYSTEM_FOLDERS", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoEngineError, match="dockerd, containerd, runc not found; install Docker"):
        ensure_programs()


def test_only_folders_whose_owner_has_gone_are_removed(tmp_path: Path) -> None:
    ours, lock = create_folder(tmp_path)
    theirs, their_lock = create_folder(tmp_path)
    os.close(their_lock)
    stranger = tmp_path / "gpuslice-dockyard"
    stranger.mkdir()
    remove_abandoned([tmp_path])
    assert ours.exists()
    assert not theirs.exists()
    assert stranger.exists()
    os.close(lock)
